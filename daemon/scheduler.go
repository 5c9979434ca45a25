package daemon

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/web"
)

// What started a run, in the ledger's words.
const (
	bySchedule = "schedule"
	byCatchUp  = "catch_up" // what was due while no process was there
	byAssist   = "assist"   // beside the run of another process
	byHand     = "manual"   // a person's purge
	byOnce     = "once"     // run --once, a CronJob's
)

// catchUpAfter is by how much later than the schedule says a run is called one
// that catches up.
const catchUpAfter = time.Minute

// claims are the times of the schedules that processes have claimed, and what keeps
// runs from beginning. A book has them.
type claims interface {
	LastTick(ctx context.Context, policy string) (time.Time, error)
	Claim(ctx context.Context, policy string, at time.Time, runID, trigger string) (won bool, err error)
	TakeOver(ctx context.Context, policy string, at time.Time, runID, trigger string) (won bool, err error)
	Running(ctx context.Context, policy string, at time.Time) (bool, error)
	Pauses(ctx context.Context) ([]ledger.Pause, error)
}

// scheduler begins the runs that are due, as many at a time as there are places for. The
// time at which a schedule is due is claimed in the ledger by one process, whose run it is;
// the others run beside it until nothing is left, each on tenants that nobody else is on.
type scheduler struct {
	timetable *timetable
	claims    claims
	// closed is the reading of the windows of allow while none is open; nil: one is.
	closed  func() *guard.Reading
	running func(policy string) *web.Progress // in this process; nil: no run is
	free    func() bool                       // there is a place for another run
	begin   func(e entry, runID, trigger string)
	// promote makes a run beside another's the one of the claim.
	promote  func(policy, runID string)
	complain func(what string, err error)
}

// due begins what is due: what has been due for longest comes first, and helping another
// process last.
func (s *scheduler) due(ctx context.Context) {
	policies := s.timetable.all()
	for _, p := range policies {
		s.ask(ctx, p.name(), func(ctx context.Context) (bool, error) { return s.settle(ctx, p) })
	}
	var helps []func()
	for _, w := range s.waiting(policies) {
		if !s.free() {
			s.timetable.queue(w.name())
			continue
		}
		s.ask(ctx, w.name(), func(ctx context.Context) (bool, error) {
			help, err := s.dueOf(ctx, w)
			if help != nil {
				helps = append(helps, help)
			}
			return true, err
		})
	}
	for _, help := range helps {
		if s.free() {
			help()
		}
	}
}

// ask asks the ledger about a policy, and complains of an answer that is a new error. do
// reports whether it has asked.
func (s *scheduler) ask(ctx context.Context, name string, do func(context.Context) (asked bool, err error)) {
	once, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	asked, err := do(once)
	if ctx.Err() != nil || !asked {
		return
	}
	trouble := ""
	if err != nil {
		trouble = safe(err)
	}
	if news := s.timetable.fail(name, trouble); news && err != nil {
		s.complain("what is due of "+name, err)
	}
}

// settle settles from when on a policy's schedule counts, and takes over the claim of its
// run where the other process is gone.
func (s *scheduler) settle(ctx context.Context, p scheduled) (asked bool, err error) {
	if p.handled.IsZero() {
		return true, s.firstTick(ctx, p)
	}
	running := s.running(p.name())
	if at := s.timetable.orphaned(p.name(), running); !at.IsZero() {
		return true, s.takeOver(ctx, p.name(), at, running.RunID)
	}
	return false, nil
}

// waiting is a policy that is due.
type waiting struct {
	entry
	tick
}

// waiting are the policies that the ledger is to be asked about now, the one first that has
// been due for longest.
func (s *scheduler) waiting(policies []scheduled) (all []waiting) {
	for _, p := range policies {
		if due := s.timetable.due(p.name(), s.running(p.name())); due != nil {
			all = append(all, waiting{p.entry, *due})
		}
	}
	slices.SortStableFunc(all, func(a, b waiting) int { return a.at.Add(a.later).Compare(b.at.Add(b.later)) })
	return all
}

// dueOf begins a policy's run, unless it is paused. help begins one beside that of another
// process; nil: there is none to help.
func (s *scheduler) dueOf(ctx context.Context, w waiting) (help func(), err error) {
	s.timetable.asking(w.name(), w.at)
	pauses, err := s.claims.Pauses(ctx)
	if err != nil || s.timetable.leave(w.name(), pauseOf(pauses, w.name()), s.closed()) {
		return nil, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	return s.claim(ctx, w, id.String())
}

// claim begins the run if this process is given it, or offers one beside that of another
// process. The run of the other is waited for then: if it dies, its claim is free again.
func (s *scheduler) claim(ctx context.Context, w waiting, id string) (help func(), err error) {
	trigger := bySchedule
	if w.late {
		trigger = byCatchUp
	}
	won, err := s.claims.Claim(ctx, w.name(), w.at, id, trigger)
	if err != nil {
		return nil, err
	}
	if won {
		s.timetable.handle(w.name(), w.at)
		s.begin(w.entry, id, trigger)
		return nil, nil
	}
	running, err := s.claims.Running(ctx, w.name(), w.at)
	switch {
	case err != nil:
		return nil, err
	case !running: // it has ended
		s.timetable.handle(w.name(), w.at)
	case !w.assisted:
		return func() {
			s.timetable.assist(w.name(), w.at)
			s.begin(w.entry, id, byAssist)
		}, nil
	}
	return nil, nil
}

// takeOver makes this process's run beside another's the one of the claim, if the other
// is gone.
func (s *scheduler) takeOver(ctx context.Context, policy string, at time.Time, runID string) error {
	won, err := s.claims.TakeOver(ctx, policy, at, runID, byCatchUp)
	if err != nil || !won {
		return err
	}
	s.timetable.handle(policy, at)
	s.promote(policy, runID)
	return nil
}

// firstTick settles from when on the schedule counts: from the last tick that was
// ever claimed, or, for a policy that is new, from now on. That tick itself is
// looked at once more: its run may have died.
func (s *scheduler) firstTick(ctx context.Context, p scheduled) error {
	last, err := s.claims.LastTick(ctx, p.name())
	if err != nil {
		return err
	}
	handled := p.loaded
	if !last.IsZero() {
		handled = last.Add(-time.Microsecond)
	}
	s.timetable.handle(p.name(), handled)
	return nil
}
