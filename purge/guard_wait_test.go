package purge

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/reaperdb/reaper/policy"
)

// While one worker asks for a checkpoint another may see the pause end: the first
// then took a pause that began in the year 1 for one that was too long, and ended
// the run.
func TestPauseThatAnotherWorkerSawEnd(t *testing.T) {
	t.Parallel()
	w := &work{run: &Run{maxPause: time.Minute, halt: t.Context()}}
	w.wait(t.Context(), 0, Advice{State: GuardPause, Guard: "storage"}, nil)
	if reason := w.stopReason(); reason != "" {
		t.Errorf("the run ends: %s", reason)
	}
}

// What one policy of a run was sized for is not free for the next.
func TestUnreserved(t *testing.T) {
	t.Parallel()
	r := &Run{}
	for _, reserved := range []int64{0, 500, 200} {
		r.works = append(r.works, &work{run: r, reserved: reserved, report: &PolicyReport{}})
	}
	r.works[1].report.WALBytes = 100
	r.works[2].report.WALBytes = 300 // more than it was sized for
	for i, want := range []int64{600, 1000, 600} {
		if got := r.works[i].unreserved(1000); got != want {
			t.Errorf("policy %d: %d bytes free, want %d", i, got, want)
		}
	}
}

// counted is a guard that counts how often it is asked for a checkpoint.
type counted struct {
	Guard
	checkpoints int
}

func (c *counted) Checkpoint(context.Context) (bool, error) {
	c.checkpoints++
	return true, nil
}

// A checkpoint gives no WAL back of a batch that was still under way when it was
// asked for, and the pause did not end.
func TestCheckpointAfterTheLastBatch(t *testing.T) {
	t.Parallel()
	g := &counted{}
	w := &work{run: &Run{guard: g, log: slog.New(slog.DiscardHandler)}, plan: &Plan{Policy: &policy.Policy{}}}
	for range 3 {
		w.askCheckpoint(t.Context())
	}
	if g.checkpoints != 1 {
		t.Errorf("asked for %d checkpoints in a pause without batches, want 1", g.checkpoints)
	}
	w.run.deleted += 100 // by a batch that ends
	for range 3 {
		w.askCheckpoint(t.Context())
	}
	if g.checkpoints != 2 {
		t.Errorf("asked for %d checkpoints after a batch in the pause, want one more", g.checkpoints)
	}
}
