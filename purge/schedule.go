package purge

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/preview"
)

// turn is a unit of work of one policy: a slice of one tenant, or a search that finds more.
type turn struct {
	do   func(context.Context) error // runs in parallel with other workers
	done func()                      // records the result, under the schedule's mutex
}

// walk finds candidates. Its methods are called by one worker at a time.
type walk interface {
	// next returns the worker's next turn; nil: none, until a turn in flight adds some. No two
	// turns in flight share a tenant.
	next(worker int) *turn
	// unfinished returns the tenants that the walk left with due rows.
	unfinished() map[string]bool
}

// schedule gives the policies of a round turns in rotation, so that none waits for another's
// backlog.
type schedule struct {
	run      *Run
	policies []*policyRun

	// mu guards the fields below and the policies' walks. The run's state may be read while
	// holding it, never the reverse.
	mu       sync.Mutex
	first    int                // index of the next policy
	inFlight map[*policyRun]int // turns in progress, by policy
	changed  *sync.Cond         // a turn or a pause has ended

	idle atomic.Int32 // workers that wait for a turn
}

func newSchedule(r *Run, policies []*policyRun) *schedule {
	s := &schedule{run: r, policies: policies, inFlight: map[*policyRun]int{}}
	s.changed = sync.NewCond(&s.mu)
	return s
}

// round runs n workers until each policy has finished its pass.
func (r *Run) round(ctx context.Context, open []*policyRun, n int) {
	s := newSchedule(r, open)
	r.currentRound = s
	var workers sync.WaitGroup
	for i := range n {
		workers.Go(func() { s.work(ctx, i) })
	}
	workers.Wait()
}

// work is the loop of one worker.
func (s *schedule) work(ctx context.Context, worker int) {
	for !s.run.stopping() && ctx.Err() == nil {
		w, t := s.pick(worker, true)
		if t == nil {
			return
		}
		s.take(ctx, w, t)
	}
}

// take runs a turn.
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

func (s *schedule) end(w *policyRun, t *turn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.done()
	if s.inFlight[w]--; s.inFlight[w] == 0 {
		delete(s.inFlight, w)
	}
	s.changed.Broadcast()
}

// lockedOut reports whether a turn found nothing because another session has locked a whole
// table.
func lockedOut(err error) bool {
	return pg.HasCode(err, "55P03") && !errors.Is(err, preview.ErrTenants)
}

// runAnotherPolicy runs one turn of another policy while the worker's own is paused; false:
// there is none now.
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

// pick returns the next turn of a policy that is not paused, waiting for one if wait is set;
// nil: the round is over, or there is none now.
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
		s.idle.Add(1)
		s.changed.Wait()
		s.idle.Add(-1)
	}
}

// wanted reports whether a worker could take some of the policy's work.
func (s *schedule) wanted(w *policyRun) bool {
	return s != nil && s.idle.Load() > 0 && !w.plan.Policy.Limits.Alone
}

// resume wakes waiting workers after a pause.
func (s *schedule) resume() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed.Broadcast()
}

// next returns the policy's next turn; its partitions come first.
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
