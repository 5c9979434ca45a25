package purge

import (
	"context"
)

// Shared limits concurrent runs to the connections they have together.
type Shared struct {
	turns                chan struct{} // one per concurrent batch
	exclusive, vacuuming chan struct{} // one run at a time
}

// NewShared allows this many concurrent batches.
func NewShared(connections int) *Shared {
	return &Shared{turns: make(chan struct{}, max(connections, 1)), exclusive: make(chan struct{}, 1), vacuuming: make(chan struct{}, 1)}
}

// yieldSlot gives up the worker's slot during pause.
func (s *Shared) yieldSlot(pause func()) {
	<-s.turns
	pause()
	s.turns <- struct{}{}
}

// turn waits for a slot and returns a function that releases it; nil: ctx ended.
func (s *Shared) turn(ctx context.Context) func() {
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }
	case <-ctx.Done():
		return nil
	}
}

// exclusively runs do, which holds one connection while it waits for another. One run at a time
// may: two could deadlock.
func (w *policyRun) exclusively(ctx context.Context, do func(context.Context)) {
	select {
	case w.run.shared.exclusive <- struct{}{}:
		defer func() { <-w.run.shared.exclusive }()
		do(ctx)
	case <-ctx.Done():
		w.fail(ctx.Err())
	case <-w.run.halt.Done():
	}
}
