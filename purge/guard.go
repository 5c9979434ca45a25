package purge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Guard says whether a policy's rows may be deleted now. Advice and Changed
// answer at once, from memory.
type Guard interface {
	// Advice leaves out the guards named in but.
	Advice(policy string, but ...string) Advice
	// Changed is closed when there may be another advice than before the call.
	Changed() <-chan struct{}
	// Wrote is told how many bytes of WAL a batch has written.
	Wrote(bytes int64)
	// Room reads what there is for a run to write.
	Room(ctx context.Context) (Room, error)
	// Checkpoint asks the server for a checkpoint, unless another gives little back so
	// soon; an error says that it may not be asked. It may be called often.
	Checkpoint(ctx context.Context) (asked bool, err error)
}

// GuardState is what a guard makes of a run.
type GuardState string

// The states of a guard. Slow: batches are smaller, with longer pauses between
// them. Pause: there are none, until that changes. Stop: the run ends.
const (
	GuardGo    GuardState = "go"
	GuardSlow  GuardState = "slow"
	GuardPause GuardState = "pause"
	GuardStop  GuardState = "stop"
)

// Advice is what a guard says of this moment.
type Advice struct {
	State GuardState
	// Share is the share of the time that batches may take, of what the pace leaves
	// them: above 0, up to 1. It counts in GuardSlow.
	Share float64
	Guard string // which one
	// Reason says why, with the figures; empty in GuardGo.
	Reason string
	Since  time.Time
	// Checkpoint tells that a checkpoint would give back what is missing.
	Checkpoint bool
}

// because is the advice as a reason for not going on.
func (a Advice) because() string { return a.Guard + ": " + a.Reason }

// forbids tells that nothing may begin now.
func (a Advice) forbids() bool { return a.State == GuardPause || a.State == GuardStop }

// DefaultMaxPause is for how long a run is paused unless the policy file says
// otherwise.
const DefaultMaxPause = 30 * time.Minute

// GuardByHand names the guard that a person's pause is.
const GuardByHand = "by_hand"

// handRecheck is how long a policy that was found paused by hand waits before it
// looks again, where no guard tells when to.
const handRecheck = time.Second

// errHandPaused is a batch that has found its policy paused by hand.
var errHandPaused = errors.New("paused by hand")

// errGuarded is a batch that a guard stands against, found before it is tried again.
var errGuarded = errors.New("a guard stands against it")

// heldUp tells that the guards let no batch begin now.
func (r *Run) heldUp(policy string) bool {
	return r.guard != nil && r.guard.Advice(policy).forbids()
}

// waitForGuards waits while a guard pauses the policy, with no lock and no transaction,
// and with the worker's turn given back: it takes those of other policies meanwhile.
// false: the policy's run ends.
func (w *work) waitForGuards(ctx context.Context, worker int) bool {
	for {
		a, changed := w.advice()
		w.advised(a)
		if w.stopping() || ctx.Err() != nil {
			return false
		}
		if a.State == GuardStop {
			w.state.stop("stopped by the guard " + a.because())
			return false
		}
		if a.State != GuardPause {
			if !w.state.dropping() && !w.fits(ctx) {
				return false
			}
			if !w.run.heldUp(w.plan.Policy.Name) { // fits may take its time
				return true
			}
			continue
		}
		w.run.shared.yieldSlot(func() { w.wait(ctx, worker, a, changed) })
	}
}

// wait waits for another advice, at most until the longest pause is over, which
// ends the policy's run.
func (w *work) wait(ctx context.Context, worker int, a Advice, changed <-chan struct{}) {
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
				w.tooLong(a)
				return
			default:
				continue
			}
		}
		select {
		case <-changed:
		case <-over.C:
			w.tooLong(a)
		case <-ctx.Done():
		case <-w.run.halt.Done():
		}
		return
	}
}

// tooLong ends the policy's run after the longest pause.
func (w *work) tooLong(a Advice) {
	why := fmt.Sprintf("paused for %s, the longest that max_pause allows, by the guard %s", w.run.maxPause, a.because())
	w.state.stop(why)
	w.advised(Advice{State: GuardStop, Guard: a.Guard, Reason: why, Since: time.Now()})
}

// advice is what the guards say, and what is closed when they may say something
// else. A pause by hand that a batch has found counts before they know of it.
func (w *work) advice() (a Advice, changed <-chan struct{}) {
	if changed = w.state.pausedByHand(); changed != nil {
		return Advice{State: GuardPause, Guard: GuardByHand, Reason: "the policy is paused by hand (reaper resume ends it)", Since: time.Now()}, changed
	}
	if w.run.guard == nil {
		return Advice{State: GuardGo, Share: 1}, nil
	}
	changed = w.run.guard.Changed() // before the advice
	return w.run.guard.Advice(w.plan.Policy.Name), changed
}

// findByHand notes that a batch has found its policy paused by hand.
func (w *work) findByHand() {
	var changed <-chan struct{}
	if w.run.guard != nil {
		changed = w.run.guard.Changed()
	} else {
		later := make(chan struct{})
		time.AfterFunc(handRecheck, func() { close(later) })
		changed = later
	}
	w.state.pauseByHand(changed)
}

// retellAfter is how often the reason of what lasts is told anew: figures change.
const retellAfter = 10 * time.Second

// advised notes what the guards say, and tells it when it is something else than
// before: one worker after the other, so that the newest is told last.
func (w *work) advised(a Advice) {
	w.telling.Lock()
	defer w.telling.Unlock()
	news, resumed := w.state.advise(a)
	if resumed && w.run.rounding != nil {
		w.run.rounding.resume()
	}
	if !news {
		return
	}
	// The guards have said it to the log themselves.
	w.run.log.Debug("guards", "policy", w.plan.Policy.Name, "state", a.State, "guard", a.Guard, "reason", a.Reason)
	w.run.tell(func(o Observer) { o.Advised(w.plan.Policy.Name, a) })
	w.recordAdvice(a)
}

// recordTimeout bounds the writing of what guards say: a database that does not
// answer may be the reason for it.
const recordTimeout = 2 * time.Second

// recordAdvice writes into the ledger what the guards say from now on.
func (w *work) recordAdvice(a Advice) {
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	state := ""
	if a.State != GuardGo {
		state = string(a.State)
	}
	if err := w.run.ledger.RecordAdvice(ctx, w.run.control, w.run.id, w.plan.Policy.Name, state, a.Guard, a.Reason); err != nil {
		w.run.log.Warn("cannot record what the guards say", "policy", w.plan.Policy.Name, "error", plain(err))
	}
}

// stopping reports whether the policy's part of the run ends after the batch under way.
func (w *work) stopping() bool { return w.run.stopping() || w.state.stopped() != "" }

// stopReason says why; empty: nothing has ended it.
func (w *work) stopReason() string {
	if reason := w.run.stopReason(); reason != "" {
		return reason
	}
	return w.state.stopped()
}

// heldAtLast says which guard was pausing the policy when something else has ended it;
// empty: none was.
func (w *work) heldAtLast() string {
	a, paused := w.state.pausedBy()
	if !paused {
		return ""
	}
	return "; paused by the guard " + a.because()
}

// askCheckpoint asks for a checkpoint: only then does the server give WAL back. The
// guards know when the next is worth it. A role that may not ask waits for the server's
// own.
func (w *work) askCheckpoint(ctx context.Context) {
	asked, err := w.run.guard.Checkpoint(ctx)
	unasked := ""
	if err != nil {
		unasked = err.Error()
	}
	news := w.state.noteCheckpoint(unasked)
	switch {
	case asked:
		w.run.log.Info("asked for a checkpoint, so that WAL is given back", "policy", w.plan.Policy.Name)
	case news:
		w.run.log.Warn("no checkpoint was asked for: waiting for the server's own", "policy", w.plan.Policy.Name, "error", err)
	}
}
