package purge

import (
	"context"
	"errors"
	"sync"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/preview"
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
	run      *Run
	policies []*policyRun

	// mu guards what follows and the policies' walks. The run's state may be asked
	// while it is held, never the other way round.
	mu       sync.Mutex
	first    int                // whose turn it is
	inFlight map[*policyRun]int // turns under way of each policy
	changed  *sync.Cond         // a turn has ended, or a pause
}

func newSchedule(r *Run, policies []*policyRun) *schedule {
	s := &schedule{run: r, policies: policies, inFlight: map[*policyRun]int{}}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// round works on policies, with so many workers, until each has ended its pass.
func (r *Run) round(ctx context.Context, open []*policyRun, n int) {
	s := newSchedule(r, open)
	r.currentRound = s
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
func (s *schedule) take(ctx context.Context, w *policyRun, t *turn) {
	err := context.Cause(ctx)
	if end := s.run.shared.turn(ctx); end != nil {
		err = t.do(ctx)
		end()
	}
	switch {
	case err == nil, errors.Is(err, errHalted):
	case lockedOut(err):
		s.run.notify(func(o Observer) { o.Retry(w.plan.Policy.Name, reasonOf(err)) })
		w.state.lockedOut()
	default:
		w.fail(err)
	}
	s.end(w, t)
	w.countOnce(ctx)
}

// end ends a turn.
func (s *schedule) end(w *policyRun, t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.done()
	if s.inFlight[w]--; s.inFlight[w] == 0 {
		delete(s.inFlight, w)
	}
	s.changed.Broadcast()
}

// lockedOut reports whether a turn has found nothing since others have a whole table
// locked.
func lockedOut(err error) bool {
	return pg.HasCode(err, "55P03") && !errors.Is(err, preview.ErrTenants)
}

// runAnotherPolicy has a worker whose policy is paused take a turn of another one
// meanwhile; false: there is none for it now.
func (r *Run) runAnotherPolicy(ctx context.Context, worker int) bool {
	s := r.currentRound
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
func (s *schedule) pick(worker int, wait bool) (*policyRun, *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		for i := range s.policies {
			n := (s.first + i) % len(s.policies)
			w := s.policies[n]
			if !w.state.mayRun() || s.inFlight[w] > 0 && w.plan.Policy.Limits.Alone {
				continue
			}
			if t := w.next(worker); t != nil {
				s.first = n + 1
				s.inFlight[w]++
				return w, t
			}
			if s.inFlight[w] == 0 {
				w.state.release()
			}
		}
		if len(s.inFlight) == 0 || !wait {
			return nil, nil
		}
		s.changed.Wait()
	}
}

// resume has the workers that wait look again: a pause has ended.
func (s *schedule) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// next gives what is to be done next of a policy: first of all, its partitions.
func (w *policyRun) next(worker int) *turn {
	switch {
	case !w.state.dropping():
		return w.walk.next(worker)
	case w.state.beginDrops():
		return &turn{
			do: func(ctx context.Context) error {
				w.dropPartitions(ctx, worker)
				return nil
			},
			done: w.state.endDrops,
		}
	}
	return nil
}
