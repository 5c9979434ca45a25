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
	var workers sync.WaitGroup
	for i := range n {
		workers.Go(func() { s.work(ctx, i) })
	}
	workers.Wait()
}

// work is one worker.
func (s *schedule) work(ctx context.Context, worker int) {
	for !s.run.stopping() && ctx.Err() == nil {
		w, t := s.pick(worker)
		if t == nil {
			return
		}
		err := context.Cause(ctx)
		if end := s.run.shared.turn(ctx); end != nil {
			err = t.do(ctx)
			end()
		}
		s.run.mu.Lock()
		if err != nil && !errors.Is(err, errHalted) {
			w.fail(err)
		}
		t.done()
		w.flying--
		s.flying--
		s.changed.Broadcast()
		s.run.mu.Unlock()
		w.countOnce(ctx)
	}
}

// pick waits for a turn; nil: the round is over.
func (s *schedule) pick(worker int) (*work, *turn) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	for {
		for i := range s.works {
			n := (s.first + i) % len(s.works)
			w := s.works[n]
			if w.ended() || w.guarded.stopped != "" || w.flying > 0 && w.plan.Policy.Limits.Alone {
				continue
			}
			if t := w.walk.next(worker); t != nil {
				s.first = n + 1
				w.flying++
				s.flying++
				return w, t
			}
		}
		if s.flying == 0 {
			return nil, nil
		}
		s.changed.Wait()
	}
}
