package purge

import (
	"testing"
	"time"
)

// While one worker asks for a checkpoint another may see the pause end: the first
// then took a pause that began in the year 1 for one that was too long, and ended
// the run.
func TestPauseThatAnotherWorkerSawEnd(t *testing.T) {
	t.Parallel()
	w := &work{run: &Run{maxPause: time.Minute, halt: t.Context()}}
	w.wait(t.Context(), Advice{State: GuardPause, Guard: "storage"}, nil)
	if reason := w.stopReason(); reason != "" {
		t.Errorf("the run ends: %s", reason)
	}
}
