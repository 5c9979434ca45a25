package daemon

import (
	"context"
	"time"

	"github.com/google/uuid"
)

// What started a run, in the ledger's words.
const (
	bySchedule = "schedule"
	byCatchUp  = "catch_up" // what was due while no process was there
	byAssist   = "assist"   // beside the run of another process
	byHand     = "manual"   // a person's purge
)

// catchUpAfter is by how much later than the schedule says a run is called one
// that catches up.
const catchUpAfter = time.Minute

// due begins the runs that are due. The time at which a schedule is due is
// claimed in the ledger by one process, whose run it is; the others run beside it
// until nothing is left, each on tenants that nobody else is on.
func (d *Daemon) due(ctx context.Context) {
	d.mu.Lock()
	ready, states := d.ready && d.database.Up, d.policies
	d.mu.Unlock()
	if !ready {
		return
	}
	for _, s := range states {
		if ctx.Err() != nil {
			return
		}
		asked, err := d.dueOf(ctx, s)
		if ctx.Err() != nil || !asked {
			continue
		}
		d.mu.Lock()
		trouble := ""
		if err != nil {
			trouble = safe(err)
		}
		now := d.state(s.name())
		known := now.trouble == trouble
		now.trouble = trouble
		d.mu.Unlock()
		if err != nil && !known {
			d.trouble("what is due of "+s.name(), err)
		}
	}
}

// dueOf begins a policy's run, if it is due; asked tells whether the ledger was
// asked about it.
func (d *Daemon) dueOf(ctx context.Context, s *state) (asked bool, err error) {
	now := time.Now()
	once, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if handled, err := d.firstTick(once, s); err != nil || handled.IsZero() {
		return true, err
	}
	d.mu.Lock()
	if s.handled.After(now.Add(time.Hour)) {
		s.handled = time.Time{} // the clock was ahead, and is right again
		d.mu.Unlock()
		return false, nil
	}
	tick := s.schedule.Last(s.handled, now.Add(-s.later))
	busy, wait, assisted := s.running != nil, s.askedFor.Equal(tick) && now.Sub(s.asked) < controlEvery, s.assisted.Equal(tick)
	if tick.IsZero() || busy || wait {
		if !tick.IsZero() && busy && !assisted && s.running.StartedAt.Before(tick) {
			d.Log.Warn("a run is due while the one before is under way: it is left out", "policy", s.name(), "due", tick)
			s.handled = tick
		}
		d.mu.Unlock()
		return false, nil
	}
	s.asked, s.askedFor = now, tick
	d.mu.Unlock()

	if left, err := d.leaves(once, s); err != nil || left {
		return true, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return true, err
	}
	trigger := bySchedule
	if now.Sub(tick.Add(s.later)) > catchUpAfter {
		trigger = byCatchUp
	}
	won, err := d.Ledger.Claim(once, d.Control, s.name(), tick, id.String(), trigger, d.Instance)
	if err != nil {
		return true, err
	}
	if won {
		d.handle(s, tick)
		d.begin(s, id.String(), trigger)
		return true, nil
	}
	running, err := d.Ledger.Running(once, d.Control, s.name(), tick)
	switch {
	case err != nil:
		return true, err
	case !running: // it has ended
		d.handle(s, tick)
	case !assisted:
		d.mu.Lock()
		s.assisted = tick
		d.mu.Unlock()
		d.begin(s, id.String(), byAssist)
	}
	// Else the run of the other process is waited for: if it dies, its claim is
	// free again.
	return true, nil
}

// firstTick settles from when on the schedule counts: from the last tick that was
// ever claimed, or, for a policy that is new, from now on. That tick itself is
// looked at once more: its run may have died.
func (d *Daemon) firstTick(ctx context.Context, s *state) (time.Time, error) {
	d.mu.Lock()
	handled := s.handled
	d.mu.Unlock()
	if !handled.IsZero() {
		return handled, nil
	}
	last, err := d.Ledger.LastTick(ctx, d.Control, s.name())
	if err != nil {
		return time.Time{}, err
	}
	if handled = s.loaded; !last.IsZero() {
		handled = last.Add(-time.Microsecond)
	}
	d.handle(s, handled)
	return handled, nil
}

func (d *Daemon) handle(s *state, tick time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state(s.name()).handled = tick
}
