package purge

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// While one worker requested a checkpoint, another could see the pause end. The first then took
// the zero time for the start of the pause, considered the pause too long and ended the run.
func TestPauseThatAnotherWorkerSawEnd(t *testing.T) {
	t.Parallel()
	w := &policyRun{run: &Run{maxPause: time.Minute, halt: t.Context()}, state: (&runState{}).addPolicy(&PolicyReport{})}
	w.wait(t.Context(), 0, guard.Advice{State: guard.Pause, Guard: "storage"}, nil)
	if reason := w.stopReason(); reason != "" {
		t.Errorf("the run ends: %s", reason)
	}
}

// refusing is a guard that may not request a checkpoint.
type refusing struct{ Guard }

func (refusing) Checkpoint(context.Context) (bool, error) {
	return false, errors.New("this role may not")
}

// A checkpoint that cannot be requested is logged once per pause, however often it is tried.
func TestCheckpointRefused(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	w := &policyRun{run: &Run{guard: refusing{}, log: slog.New(slog.NewTextHandler(&log, nil))}, plan: &plan.Plan{Policy: &policy.Policy{}}, state: (&runState{}).addPolicy(&PolicyReport{})}
	for range 3 {
		w.askCheckpoint(t.Context())
	}
	if text := log.String(); strings.Count(text, "cannot request a checkpoint") != 1 || !strings.Contains(text, "this role may not") {
		t.Errorf("the log has not one line of why:\n%s", text)
	}
}
