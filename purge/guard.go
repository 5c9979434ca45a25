package purge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/pg"
)

// Guard says whether a policy's rows may be deleted now. guard.Advice and Changed
// answer at once, from memory.
type Guard interface {
	// guard.Advice leaves out the guards named in but.
	Advice(policy string, but ...string) guard.Advice
	// Changed is closed when there may be another advice than before the call.
	Changed() <-chan struct{}
	// Wrote is told how many bytes of WAL a batch has written.
	Wrote(bytes int64)
	// Room reads what there is for a run to write.
	Room(ctx context.Context) (guard.Room, error)
	// Checkpoint asks the server for a checkpoint, unless another gives little back so
	// soon; an error says that it may not be asked. It may be called often.
	Checkpoint(ctx context.Context) (asked bool, err error)
}

// handRecheck is how long a policy that was found paused by hand waits before it
// looks again, where no guard tells when to.
const manualPauseRecheck = time.Second

// errHandPaused is a batch that has found its policy paused by hand.
var errPausedByHand = errors.New("paused by hand")

// errGuarded is a batch that a guard stands against, found before it is tried again.
var errGuarded = errors.New("a guard stands against it")

// heldUp tells that the guards let no batch begin now.
func (r *Run) guardsForbid(policy string) bool {
	return r.guard != nil && r.guard.Advice(policy).Forbids()
}

// waitForGuards waits while a guard pauses the policy, with no lock and no transaction,
// and with the worker's turn given back: it takes those of other policies meanwhile.
// false: the policy's run ends.
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
			if !w.run.guardsForbid(w.plan.Policy.Name) { // fits may take its time
				return true
			}
			continue
		}
		w.run.shared.yieldSlot(func() { w.wait(ctx, worker, a, changed) })
	}
}

// wait waits for another advice, at most until the longest pause is over, which
// ends the policy's run.
func (w *policyRun) wait(ctx context.Context, worker int, a guard.Advice, changed <-chan struct{}) {
	if a.Checkpoint {
		w.askCheckpoint(ctx)
	}
	since := w.state.pausedSince()
	if since.IsZero() { // another worker has seen the pause end
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

// tooLong ends the policy's run after the longest pause.
func (w *policyRun) stopAfterMaxPause(a guard.Advice) {
	why := fmt.Sprintf("paused for %s, the longest that max_pause allows, by the guard %s", w.run.maxPause, a.Because())
	w.state.stop(why)
	w.noteAdvice(guard.Advice{State: guard.Stop, Guard: a.Guard, Reason: why, Since: time.Now()})
}

// advice is what the guards say, and what is closed when they may say something
// else. A pause by hand that a batch has found counts before they know of it.
func (w *policyRun) advice() (a guard.Advice, changed <-chan struct{}) {
	if changed = w.state.pausedByHand(); changed != nil {
		return guard.Advice{State: guard.Pause, Guard: guard.ByHand, Reason: "the policy is paused by hand (reaper resume ends it)", Since: time.Now()}, changed
	}
	if w.run.guard == nil {
		return guard.Advice{State: guard.Go, Share: 1}, nil
	}
	changed = w.run.guard.Changed() // before the advice
	return w.run.guard.Advice(w.plan.Policy.Name), changed
}

// findByHand notes that a batch has found its policy paused by hand.
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

// retellAfter is how often the reason of what lasts is told anew: figures change.
const repeatReasonAfter = 10 * time.Second

// advised notes what the guards say, and tells it when it is something else than
// before: one worker after the other, so that the newest is told last.
func (w *policyRun) noteAdvice(a guard.Advice) {
	w.telling.Lock()
	defer w.telling.Unlock()
	isNew, resumed := w.state.setAdvice(a)
	if resumed && w.run.currentRound != nil {
		w.run.currentRound.resume()
	}
	if !isNew {
		return
	}
	// The guards have said it to the log themselves.
	w.run.log.Debug("guards", "policy", w.plan.Policy.Name, "state", a.State, "guard", a.Guard, "reason", a.Reason)
	w.run.notify(func(o Observer) { o.Advised(w.plan.Policy.Name, a) })
	w.recordAdvice(a)
}

// recordTimeout bounds the writing of what guards say: a database that does not
// answer may be the reason for it.
const recordTimeout = 2 * time.Second

// recordAdvice writes into the ledger what the guards say from now on.
func (w *policyRun) recordAdvice(a guard.Advice) {
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	state := ""
	if a.State != guard.Go {
		state = a.State.String()
	}
	if err := w.run.ledger.RecordAdvice(ctx, w.run.control, w.run.id, w.plan.Policy.Name, state, a.Guard, a.Reason); err != nil {
		w.run.log.Warn("cannot record what the guards say", "policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
	}
}

// stopping reports whether the policy's part of the run ends after the batch under way.
func (w *policyRun) stopping() bool { return w.run.stopping() || w.state.stopped() != "" }

// stopReason says why; empty: nothing has ended it.
func (w *policyRun) stopReason() string {
	if reason := w.run.stopReason(); reason != "" {
		return reason
	}
	return w.state.stopped()
}

// heldAtLast says which guard was pausing the policy when something else has ended it;
// empty: none was.
func (w *policyRun) pauseSuffix() string {
	a, paused := w.state.pausedBy()
	if !paused {
		return ""
	}
	return "; paused by the guard " + a.Because()
}

// askCheckpoint asks for a checkpoint: only then does the server give WAL back. The
// guards know when the next is worth it. A role that may not ask waits for the server's
// own.
func (w *policyRun) askCheckpoint(ctx context.Context) {
	asked, err := w.run.guard.Checkpoint(ctx)
	checkpointErr := ""
	if err != nil {
		checkpointErr = err.Error()
	}
	isNew := w.state.noteCheckpoint(checkpointErr)
	switch {
	case asked:
		w.run.log.Info("asked for a checkpoint, so that WAL is given back", "policy", w.plan.Policy.Name)
	case isNew:
		w.run.log.Warn("no checkpoint was asked for: waiting for the server's own", "policy", w.plan.Policy.Name, "error", err)
	}
}
