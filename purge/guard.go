package purge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/reaperdb/reaper/guard"
)

// Guard says whether a policy's rows may be deleted now. Advice and Changed
// answer at once, from memory.
type Guard interface {
	// Advice leaves out the guards named in but.
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
const handRecheck = time.Second

// errHandPaused is a batch that has found its policy paused by hand.
var errHandPaused = errors.New("paused by hand")

// guarded is what the guards make of one policy's run. Run.mu guards it.
type guarded struct {
	now     guard.Advice
	since   time.Time // when the pause under way began; zero: there is none
	paused  time.Duration
	stopped string // why the guards have ended the run; empty: they have not
	unasked string // why no checkpoint could be asked for, as told; empty: one could
	told    time.Time
	// byHand is closed when the guards have been read again since a batch has found
	// the policy paused by hand; nil: none has.
	byHand <-chan struct{}
}

// errGuarded is a batch that a guard stands against, found before it is tried again.
var errGuarded = errors.New("a guard stands against it")

// heldUp tells that the guards let no batch begin now.
func (r *Run) heldUp(policy string) bool {
	return r.guard != nil && r.guard.Advice(policy).Forbids()
}

// heed waits while a guard pauses the policy, with no lock and no transaction, and
// with the worker's turn given back: it takes those of other policies meanwhile.
// false: the policy's run ends.
func (w *work) heed(ctx context.Context, worker int) bool {
	for {
		a, changed := w.advice()
		w.advised(a)
		if w.stopping() || ctx.Err() != nil {
			return false
		}
		if a.State == guard.Stop {
			w.stopFor("stopped by the guard " + a.Because())
			return false
		}
		if a.State != guard.Pause {
			if !w.dropping() && !w.fits(ctx) {
				return false
			}
			if !w.run.heldUp(w.plan.Policy.Name) { // fits may take its time
				return true
			}
			continue
		}
		w.run.shared.rest(func() { w.wait(ctx, worker, a, changed) })
	}
}

// wait waits for another advice, at most until the longest pause is over, which
// ends the policy's run.
func (w *work) wait(ctx context.Context, worker int, a guard.Advice, changed <-chan struct{}) {
	if a.Checkpoint {
		w.askCheckpoint(ctx)
	}
	w.run.mu.Lock()
	since := w.guarded.since
	w.run.mu.Unlock()
	if since.IsZero() { // another worker has seen the pause end
		return
	}
	over := time.NewTimer(time.Until(since.Add(w.run.maxPause)))
	defer over.Stop()
	for lent := true; ; {
		if lent = lent && w.run.lend(ctx, worker); lent {
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
func (w *work) tooLong(a guard.Advice) {
	why := fmt.Sprintf("paused for %s, the longest that max_pause allows, by the guard %s", w.run.maxPause, a.Because())
	w.stopFor(why)
	w.advised(guard.Advice{State: guard.Stop, Guard: a.Guard, Reason: why, Since: time.Now()})
}

// advice is what the guards say, and what is closed when they may say something
// else. A pause by hand that a batch has found counts before they know of it.
func (w *work) advice() (a guard.Advice, changed <-chan struct{}) {
	if changed = w.foundByHand(); changed != nil {
		return guard.Advice{State: guard.Pause, Guard: guard.ByHand, Reason: "the policy is paused by hand (reaper resume ends it)", Since: time.Now()}, changed
	}
	if w.run.guard == nil {
		return guard.Advice{State: guard.Go, Share: 1}, nil
	}
	changed = w.run.guard.Changed() // before the advice
	return w.run.guard.Advice(w.plan.Policy.Name), changed
}

// foundByHand is guarded.byHand, nil when it is closed.
func (w *work) foundByHand() <-chan struct{} {
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	select {
	case <-w.guarded.byHand:
		w.guarded.byHand = nil
	default:
	}
	return w.guarded.byHand
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
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	w.guarded.byHand = changed
}

// retellAfter is how often the reason of what lasts is told anew: figures change.
const retellAfter = 10 * time.Second

// advised notes what the guards say, and tells it when it is something else than
// before: one worker after the other, so that the newest is told last.
func (w *work) advised(a guard.Advice) {
	w.telling.Lock()
	defer w.telling.Unlock()
	w.run.mu.Lock()
	g := &w.guarded
	before := g.now
	now := time.Now()
	if g.stopped != "" && a.State != guard.Stop {
		w.run.mu.Unlock()
		return // it has ended, whatever they say now
	}
	g.now = a
	switch {
	case a.State == guard.Pause && g.since.IsZero():
		g.since, g.unasked = now, ""
	case a.State != guard.Pause && !g.since.IsZero():
		g.paused += now.Sub(g.since)
		g.since = time.Time{}
		if w.run.rounding != nil {
			w.run.rounding.changed.Broadcast() // its turns may be taken again
		}
	}
	same := before.State == a.State && before.Guard == a.Guard
	news := !same || before.Reason != a.Reason && a.State != guard.Go && now.Sub(g.told) > retellAfter
	if news {
		g.told = now
	}
	w.run.mu.Unlock()
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
func (w *work) recordAdvice(a guard.Advice) {
	ctx, cancel := context.WithTimeout(context.Background(), recordTimeout)
	defer cancel()
	state := ""
	if a.State != guard.Go {
		state = a.State.String()
	}
	if err := w.run.ledger.RecordAdvice(ctx, w.run.control, w.run.id, w.plan.Policy.Name, state, a.Guard, a.Reason); err != nil {
		w.run.log.Warn("cannot record what the guards say", "policy", w.plan.Policy.Name, "error", plain(err))
	}
}

// stopFor ends the policy's part of the run after the batches at hand.
func (w *work) stopFor(reason string) {
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	if w.guarded.stopped == "" {
		w.guarded.stopped = reason
	}
}

// stopping tells whether the policy's part of the run ends after the batch at
// hand.
func (w *work) stopping() bool {
	if w.run.stopping() {
		return true
	}
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	return w.guarded.stopped != ""
}

// stopReason says why; empty: nothing has ended it.
func (w *work) stopReason() string {
	if reason := w.run.stopReason(); reason != "" {
		return reason
	}
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	return w.guarded.stopped
}

// heldAtLast says which guard was pausing the policy when something else has ended it;
// empty: none was.
func (w *work) heldAtLast() string {
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	if g := w.guarded; g.stopped != "" || g.now.State != guard.Pause {
		return ""
	}
	return "; paused by the guard " + w.guarded.now.Because()
}

// share is the share of the time that batches may take now.
func (w *work) share() float64 {
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	if w.guarded.now.State != guard.Slow {
		return 1
	}
	return w.guarded.now.Share
}

// pausedFor is for how long the guards have paused the policy so far.
func (w *work) pausedFor() time.Duration {
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	if w.guarded.since.IsZero() {
		return w.guarded.paused
	}
	return w.guarded.paused + time.Since(w.guarded.since)
}

// askCheckpoint asks for a checkpoint: only then does the server give WAL back. The
// guards know when the next is worth it. A role that may not ask waits for the server's
// own.
func (w *work) askCheckpoint(ctx context.Context) {
	asked, err := w.run.guard.Checkpoint(ctx)
	w.run.mu.Lock()
	known := w.guarded.unasked
	if w.guarded.unasked = ""; err != nil {
		w.guarded.unasked = err.Error()
	}
	w.run.mu.Unlock()
	switch {
	case asked:
		w.run.log.Info("asked for a checkpoint, so that WAL is given back", "policy", w.plan.Policy.Name)
	case err != nil && known != err.Error():
		w.run.log.Warn("no checkpoint was asked for: waiting for the server's own", "policy", w.plan.Policy.Name, "error", err)
	}
}
