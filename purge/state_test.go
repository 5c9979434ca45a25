package purge

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/reaperdb/reaper/partition"
)

// A worker whose run was cancelled while it waited for its turn used to record the policy's
// failure without the mutex, racing with workers that picked their next turn.
func TestFailureBesideAWorkerThatPicks(t *testing.T) {
	t.Parallel()
	r := &Run{state: &runState{}, shared: NewShared(1), halt: t.Context()}
	w := &policyRun{run: r, state: r.state.addPolicy(&PolicyReport{})}
	w.state.beginDrops()             // so that there is no turn
	r.shared.exclusive <- struct{}{} // another run has it
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var waiting sync.WaitGroup
	waiting.Go(func() { w.exclusively(ctx, func(context.Context) { t.Error("it had its turn") }) })
	newSchedule(r, []*policyRun{w}).pick(1, false)
	waiting.Wait()
	if !w.ended() {
		t.Error("the policy has not failed")
	}
}

// Space reserved for one policy of a run is not free for the next.
func TestUnreserved(t *testing.T) {
	t.Parallel()
	r := &runState{}
	var policies []*policyState
	for _, p := range []struct{ reserved, written int64 }{
		{0, 0},
		{500, 100},
		{200, 300}, // more than reserved
	} {
		s := r.addPolicy(&PolicyReport{WALBytes: p.written})
		s.setSize(runSize{reserved: p.reserved})
		policies = append(policies, s)
	}
	for i, want := range []int64{600, 1000, 600} {
		if got := policies[i].unreserved(1000); got != want {
			t.Errorf("policy %d: %d bytes free, want %d", i, got, want)
		}
	}
}

// WAL written by two concurrent batches counts once, whatever their policies and whichever is
// counted first.
func TestWALCountsOnce(t *testing.T) {
	t.Parallel()
	r := &runState{}
	one, other := r.addPolicy(&PolicyReport{Rows: map[string]int64{}}), r.addPolicy(&PolicyReport{Rows: map[string]int64{}})
	rows := map[string]int64{"public.mails": 1}
	got := []int64{
		one.addBatch(&batchTx{rows: rows, wal: [2]int64{100, 200}}, outcome{roots: 1, rows: 1}, time.Millisecond),
		other.addBatch(&batchTx{rows: rows, wal: [2]int64{50, 260}}, outcome{roots: 1, rows: 1}, time.Millisecond),
		one.addDrop("public.mails", "public.p1", &partition.Dropped{Batches: 1, Rows: 7, WAL: [2]int64{150, 240}}, time.Millisecond),
	}
	for i, want := range []int64{100, 60, 0} {
		if got[i] != want {
			t.Errorf("%d. counts %d bytes, want %d", i+1, got[i], want)
		}
	}
	if deleted, _ := r.progress(); deleted != 9 || r.rootsDeleted() != 9 {
		t.Errorf("%d rows and %d roots deleted, want 9 of both", deleted, r.rootsDeleted())
	}
}
