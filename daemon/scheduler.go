package daemon

import (
	"context"
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

// scheduler begins the runs that are due. The time at which a schedule is due is
// claimed in the ledger by one process, whose run it is; the others run beside it
// until nothing is left, each on tenants that nobody else is on.
type scheduler struct {
	timetable *timetable
	claims    claims
	// closed is the reading of the windows of allow while none is open; nil: one is.
	closed  func() *guard.Reading
	running func(policy string) *web.Progress // in this process; nil: no run is
	begin   func(e entry, runID, trigger string)
	// promote makes a run beside another's the one of the claim.
	promote  func(policy, runID string)
	complain func(what string, err error)
}

// due begins what is due.
func (s *scheduler) due(ctx context.Context) {
	for _, p := range s.timetable.all() {
		if ctx.Err() != nil {
			return
		}
		asked, err := s.dueOf(ctx, p)
		if ctx.Err() != nil || !asked {
			continue
		}
		trouble := ""
		if err != nil {
			trouble = safe(err)
		}
		if news := s.timetable.fail(p.name(), trouble); news && err != nil {
			s.complain("what is due of "+p.name(), err)
		}
	}
}

// dueOf begins a policy's run, if it is due; asked reports whether the ledger was
// asked about it.
func (s *scheduler) dueOf(ctx context.Context, p scheduled) (asked bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if p.handled.IsZero() {
		if err := s.firstTick(ctx, p); err != nil {
			return true, err
		}
	}
	running := s.running(p.name())
	if at := s.timetable.orphaned(p.name(), running); !at.IsZero() {
		return true, s.takeOver(ctx, p.name(), at, running.RunID)
	}
	due := s.timetable.due(p.name(), running)
	if due == nil {
		return false, nil
	}
	pauses, err := s.claims.Pauses(ctx)
	if err != nil || s.timetable.leave(p.name(), pauseOf(pauses, p.name()), s.closed()) {
		return true, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return true, err
	}
	return true, s.claim(ctx, p, *due, id.String())
}

// claim begins the run if this process is given it, or one beside that of another
// process. The run of the other is waited for then: if it dies, its claim is free again.
func (s *scheduler) claim(ctx context.Context, p scheduled, due tick, id string) error {
	trigger := bySchedule
	if due.late {
		trigger = byCatchUp
	}
	won, err := s.claims.Claim(ctx, p.name(), due.at, id, trigger)
	if err != nil {
		return err
	}
	if won {
		s.timetable.handle(p.name(), due.at)
		s.begin(p.entry, id, trigger)
		return nil
	}
	running, err := s.claims.Running(ctx, p.name(), due.at)
	switch {
	case err != nil:
		return err
	case !running: // it has ended
		s.timetable.handle(p.name(), due.at)
	case !due.assisted:
		s.timetable.assist(p.name(), due.at)
		s.begin(p.entry, id, byAssist)
	}
	return nil
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
