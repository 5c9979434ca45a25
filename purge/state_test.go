package purge

import (
	"context"
	"sync"
	"testing"
)

// A worker whose run was cancelled while it waited for its turn noted the policy's
// failure without the mutex, beside workers that looked for their next turn.
func TestFailureBesideAWorkerThatPicks(t *testing.T) {
	t.Parallel()
	r := &Run{shared: NewShared(1), halt: t.Context()}
	w := &work{run: r, drops: dropsUnderWay}
	s := &schedule{run: r, works: []*work{w}, changed: sync.NewCond(&r.mu)}
	r.shared.alone <- struct{}{} // another run has it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var waiting sync.WaitGroup
	waiting.Go(func() { w.alone(ctx, func(context.Context) { t.Error("it had its turn") }) })
	s.pick(1, false)
	waiting.Wait()
	if !w.ended() {
		t.Error("the policy has not failed")
	}
}
