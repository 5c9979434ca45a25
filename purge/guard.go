package purge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/pg"
)

// Guard decides whether a policy's rows may be deleted now. Advice and Changed answer at once,
// from memory.
type Guard interface {
	// Advice ignores the guards named in but.
	Advice(policy string, but ...string) guard.Advice
	// Changed returns a channel that is closed when the advice may have changed.
	Changed() <-chan struct{}
	// Wrote adds the bytes of WAL that a batch wrote.
	Wrote(bytes int64)
	// Room reads how much a run may write.
	Room(ctx context.Context) (guard.Room, error)
	// Checkpoint requests a checkpoint, unless another one would free little so soon. It may be
	// called often; an error means that the role may not request one.
	Checkpoint(ctx context.Context) (asked bool, err error)
}

// manualPauseRecheck is how long to wait before checking a manual pause again, where no guard
// reports its end.
const manualPauseRecheck = time.Second

// errPausedByHand: the batch found its policy paused by hand.
var errPausedByHand = errors.New("paused by hand")

// errGuarded: a guard forbids the batch, found before a retry.
var errGuarded = errors.New("a guard forbids the batch")

// errMoved: the batch found that the server was promoted, or restored, since the run began.
var errMoved = errors.New("WAL is written in another timeline")

// guardsForbid reports whether the guards forbid starting a batch now.
func (r *Run) guardsForbid(policy string) bool {
	return r.guard != nil && r.guard.Advice(policy).Forbids()
}

// waitForGuards waits while a guard pauses the policy, without a lock or transaction. It gives
// up the worker's slot and works on other policies meanwhile. false: the policy's run ends.
func (w *policyRun) waitForGuards(ctx context.Context, worker int) bool {
	for {
		a, changed := w.advice()
		w.noteAdvice(a)
		if w.stopping() || ctx.Err() != nil {
			return false
		}
		if a.State == guard.Stop {
			w.state.stop("stopped by the guard " + a.Because())
			return false
		}
		if a.State != guard.Pause {
			if !w.state.dropping() && !w.fits(ctx) {
				return false
			}
			if !w.run.guardsForbid(w.plan.Policy.Name) { // fits may take a while
				return true
			}
			continue
		}
		w.run.shared.yieldSlot(func() { w.wait(ctx, worker, a, changed) })
	}
}

// wait waits until the advice changes, at most for the longest allowed pause, which ends the
// policy's run.
func (w *policyRun) wait(ctx context.Context, worker int, a guard.Advice, changed <-chan struct{}) {
	if a.Checkpoint {
		w.askCheckpoint(ctx)
	}
	since := w.state.pausedSince()
	if since.IsZero() { // another worker saw the pause end
		return
	}
	over := time.NewTimer(time.Until(since.Add(w.run.maxPause)))
	defer over.Stop()
	for another := true; ; {
		if another = another && w.run.runAnotherPolicy(ctx, worker); another {
			select {
			case <-changed:
				return
			case <-over.C:
				w.stopAfterMaxPause(a)
				return
			default:
				continue
			}
		}
		select {
		case <-changed:
		case <-over.C:
			w.stopAfterMaxPause(a)
		case <-ctx.Done():
		case <-w.run.halt.Done():
		}
		return
	}
}

// stopAfterMaxPause ends the policy's run after the longest allowed pause.
func (w *policyRun) stopAfterMaxPause(a guard.Advice) {
	why := fmt.Sprintf("paused for %s (max_pause) by the guard %s", w.run.maxPause, a.Because())
	w.state.stop(why)
	w.noteAdvice(guard.Advice{State: guard.Stop, Guard: a.Guard, Reason: why, Since: time.Now()})
}

// advice returns the guards' advice and a channel that is closed when it may change. A manual
// pause found by a batch applies before the guards notice it.
func (w *policyRun) advice() (a guard.Advice, changed <-chan struct{}) {
	if changed = w.state.pausedByHand(); changed != nil {
		return guard.Advice{State: guard.Pause, Guard: guard.ByHand, Reason: "the policy is paused by hand (reaper resume ends it)", Since: time.Now()}, changed
	}
	if a, ended := w.state.archivePause(); ended != nil {
		return a, ended
	}
	if w.run.guard == nil {
		return guard.Advice{State: guard.Go, Share: 1}, nil
	}
	changed = w.run.guard.Changed() // before the advice
	return w.run.guard.Advice(w.plan.Policy.Name), changed
}

// notePausedByHand records that a batch found its policy paused by hand.
func (w *policyRun) notePausedByHand() {
	var changed <-chan struct{}
	if w.run.guard != nil {
		changed = w.run.guard.Changed()
	} else {
		later := make(chan struct{})
		time.AfterFunc(manualPauseRecheck, func() { close(later) })
		changed = later
	}
	w.state.pauseByHand(changed)
}

// repeatReasonAfter is how often a lasting reason is reported again, as its figures change.
const repeatReasonAfter = 10 * time.Second

// noteAdvice records the guards' advice and reports it if it changed. The mutex keeps reports
// of several workers in order.
func (w *policyRun) noteAdvice(a guard.Advice) {
	w.adviceMu.Lock()
	defer w.adviceMu.Unlock()
	isNew, resumed := w.state.setAdvice(a)
	if resumed && w.run.currentRound != nil {
		w.run.currentRound.resume()
	}
	if !isNew {
		return
	}
	// The guards have already logged this.
	w.run.log.Debug("guard advice", "policy", w.plan.Policy.Name, "state", a.State, "guard", a.Guard, "reason", a.Reason)
	w.run.notify(func(o Observer) { o.Advised(w.plan.Policy.Name, a) })
	w.recordAdvice(a)
}

// recordTimeout bounds recording advice: an unresponsive database may be the reason for it.
const recordTimeout = 2 * time.Second

// recordAdvice writes the guards' current advice to the ledger.
func (w *policyRun) recordAdvice(a guard.Advice) {
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	state := ""
	if a.State != guard.Go {
		state = a.State.String()
	}
	if err := w.run.ledger.RecordAdvice(ctx, w.run.control, w.run.id, w.plan.Policy.Name, state, a.Guard, a.Reason); err != nil {
		w.run.log.Warn("cannot record guard advice", "policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
	}
}

// stopping reports whether the policy's part of the run ends after the current batch.
func (w *policyRun) stopping() bool { return w.run.stopping() || w.state.stopped() != "" }

// stopReason says why; empty: not stopping.
func (w *policyRun) stopReason() string {
	if reason := w.run.stopReason(); reason != "" {
		return reason
	}
	return w.state.stopped()
}

// pauseSuffix names the guard that was pausing the policy when something else ended it; empty:
// none.
func (w *policyRun) pauseSuffix() string {
	a, paused := w.state.pausedBy()
	if !paused {
		return ""
	}
	return "; paused by the guard " + a.Because()
}

// askCheckpoint requests a checkpoint, after which the server recycles WAL. The guards decide
// when the next one is worthwhile. A role without the privilege waits for the server's own.
func (w *policyRun) askCheckpoint(ctx context.Context) {
	asked, err := w.run.guard.Checkpoint(ctx)
	checkpointErr := ""
	if err != nil {
		checkpointErr = err.Error()
	}
	isNew := w.state.noteCheckpoint(checkpointErr)
	switch {
	case asked:
		w.run.log.Info("requested a checkpoint to recycle WAL", "policy", w.plan.Policy.Name)
	case isNew:
		w.run.log.Warn("cannot request a checkpoint; waiting for the server's own", "policy", w.plan.Policy.Name, "error", err)
	}
}
