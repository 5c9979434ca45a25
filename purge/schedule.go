package purge

import (
	"context"
	"errors"
	"sync"
)

// turn is a piece of work of one policy: on one tenant for a moment, or a
// reading that finds more of them.
type turn struct {
	do   func(context.Context) error // its part beside the other workers
	done func()                      // what it leaves behind, told when none looks
}

// walk finds candidates. Its methods are called by one worker at a time.
type walk interface {
	// next gives what is to be done next, by the worker with this number; nil:
	// nothing, unless a turn under way leaves something behind. No two turns
	// under way are on one tenant.
	next(worker int) *turn
	// unfinished are the tenants that the walk has left with something due.
	unfinished() map[string]bool
}

// schedule gives the policies of a round their turns, one after the other, so
// that none has to wait for another's backlog.
type schedule struct {
	run     *Run
	works   []*work
	first   int        // whose turn it is
	flying  int        // turns under way
	changed *sync.Cond // a turn has ended
}

// round works on policies, with so many workers, until each has ended its pass.
func (r *Run) round(ctx context.Context, open []*work, n int) {
	s := &schedule{run: r, works: open, changed: sync.NewCond(&r.mu)}
	r.mu.Lock()
	r.rounding = s
	r.mu.Unlock()
	var workers sync.WaitGroup
	for i := range n {
		workers.Go(func() { s.work(ctx, i) })
	}
	workers.Wait()
}

// work is one worker.
func (s *schedule) work(ctx context.Context, worker int) {
	for !s.run.stopping() && ctx.Err() == nil {
		w, t := s.pick(worker, true)
		if t == nil {
			return
		}
		s.take(ctx, w, t)
	}
}

// take carries out a turn.
func (s *schedule) take(ctx context.Context, w *work, t *turn) {
	err := context.Cause(ctx)
	if end := s.run.shared.turn(ctx); end != nil {
		err = t.do(ctx)
		end()
	}
	if lockedOut(err) {
		s.run.tell(func(o Observer) { o.Retry(w.plan.Policy.Name, reasonOf(err)) })
	}
	s.run.mu.Lock()
	switch {
	case err == nil, errors.Is(err, errHalted):
	case lockedOut(err):
		w.pass.busy = true // another round comes back for it
	default:
		w.fail(err)
	}
	t.done()
	w.flying--
	s.flying--
	s.changed.Broadcast()
	s.run.mu.Unlock()
	w.countOnce(ctx)
}

// lockedOut tells that a turn has found nothing since others have a whole table locked.
func lockedOut(err error) bool { return isCode(err, "55P03") && !errors.Is(err, ErrTenants) }

// lend has a worker whose policy is paused take a turn of another policy meanwhile;
// false: there is none for it now.
func (r *Run) lend(ctx context.Context, worker int) bool {
	r.mu.Lock()
	s := r.rounding
	r.mu.Unlock()
	if s == nil || r.stopping() || ctx.Err() != nil {
		return false
	}
	w, t := s.pick(worker, false)
	if t == nil {
		return false
	}
	s.take(ctx, w, t)
	return true
}

// pick waits for a turn of a policy that is not paused; nil: the round is over, or,
// without wait, there is none now.
func (s *schedule) pick(worker int, wait bool) (*work, *turn) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	for {
		for i := range s.works {
			n := (s.first + i) % len(s.works)
			w := s.works[n]
			if w.ended() || w.guarded.stopped != "" || !w.guarded.since.IsZero() || w.flying > 0 && w.plan.Policy.Limits.Alone {
				continue
			}
			if t := w.next(worker); t != nil {
				s.first = n + 1
				w.flying++
				s.flying++
				return w, t
			}
			if w.flying == 0 {
				w.reserved = 0 // it needs no more
			}
		}
		if s.flying == 0 || !wait {
			return nil, nil
		}
		s.changed.Wait()
	}
}

// next gives what is to be done next of a policy: first of all, its partitions.
func (w *work) next(worker int) *turn {
	switch w.drops {
	case dropsDone:
		return w.walk.next(worker)
	case dropsDue:
		w.drops = dropsUnderWay
		return &turn{
			do: func(ctx context.Context) error {
				w.dropPartitions(ctx, worker)
				return nil
			},
			done: func() { w.drops = dropsDone },
		}
	}
	return nil
}

// dropping tells that the policy's partitions are not done with: before, nothing is
// known of the rows that are left for batches.
func (w *work) dropping() bool {
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	return w.drops != dropsDone
}

// drops is how far a policy is with its partitions.
type drops int

const (
	dropsDue drops = iota
	dropsUnderWay
	dropsDone
)
