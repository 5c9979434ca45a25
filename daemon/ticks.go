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
		if err := d.dueOf(ctx, s); err != nil && ctx.Err() == nil {
			d.Log.Warn("schedule", "policy", s.name(), "error", err)
		}
	}
}

func (d *Daemon) dueOf(ctx context.Context, s *state) error {
	now := time.Now()
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if handled, err := d.firstTick(ask, s); err != nil || handled.IsZero() {
		return err
	}
	d.mu.Lock()
	tick := s.schedule.Last(s.handled, now.Add(-s.later))
	busy, wait, assisted := s.running != nil, now.Sub(s.asked) < controlEvery, s.assisted.Equal(tick)
	if tick.IsZero() || busy || wait {
		if !tick.IsZero() && busy && !assisted && s.running.StartedAt.Before(tick) {
			d.Log.Warn("a run is due while the one before is under way: it is left out", "policy", s.name(), "due", tick)
			s.handled = tick
		}
		d.mu.Unlock()
		return nil
	}
	s.asked = now
	d.mu.Unlock()

	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	won, err := d.Ledger.Claim(ask, d.Pool, s.name(), tick, id.String(), d.Instance)
	if err != nil {
		return err
	}
	if won {
		trigger := bySchedule
		if now.Sub(tick.Add(s.later)) > catchUpAfter {
			trigger = byCatchUp
		}
		d.handle(s, tick)
		d.begin(s, id.String(), trigger)
		return nil
	}
	running, err := d.Ledger.Running(ask, d.Pool, s.name(), tick)
	switch {
	case err != nil:
		return err
	case !running:
		// It has ended; or it is claimed and about to begin, and then is found
		// running in a moment.
		if now.Sub(tick.Add(s.later)) > catchUpAfter {
			d.handle(s, tick)
		}
	case !assisted:
		d.mu.Lock()
		s.assisted = tick
		d.mu.Unlock()
		d.begin(s, id.String(), byAssist)
	}
	// Else the run of the other process is waited for: if it dies, its claim is
	// free again.
	return nil
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
	last, err := d.Ledger.LastTick(ctx, d.Pool, s.name())
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
