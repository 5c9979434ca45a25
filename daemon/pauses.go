package daemon

import (
	"context"
	"strings"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/purge"
)

// readPauses reads what is paused by hand, by whichever process.
func (d *Daemon) readPauses(ctx context.Context) error {
	pauses, err := d.Ledger.Pauses(ctx, d.Control)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pauses = pauses
	for _, s := range d.policies {
		before := s.pause
		s.pause = pauseOf(pauses, s.name())
		var until time.Time
		switch {
		case s.pause != nil:
			until = s.pause.Until
			if before == nil {
				d.Log.Warn("paused by hand", "policy", s.name(), "until", until, "reason", s.pause.Reason, "by", s.pause.By)
			}
		case before != nil:
			s.resumed = time.Now()
			d.Log.Info("no longer paused by hand", "policy", s.name())
		}
		d.Metrics.SetPolicyPaused(s.name(), until)
	}
	d.Metrics.SetPaused(len(pauses) > 0)
	return nil
}

// leaves tells whether a policy's run that is due is not begun since the policy is
// paused by hand, or outside the windows of allow: it would only wait. It is due still
// when that ends.
func (d *Daemon) leaves(ctx context.Context, s *state) (bool, error) {
	pauses, err := d.Ledger.Pauses(ctx, d.Control)
	if err != nil {
		return false, err
	}
	p := pauseOf(pauses, s.name())
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.state(s.name())
	closed := d.closed()
	if now.outside && closed == nil {
		now.resumed = time.Now()
	}
	now.outside = closed != nil
	switch {
	case p != nil:
		if !now.leftFor.Equal(p.Since) {
			now.leftFor = p.Since
			d.Log.Info("a run is due, and begins when the pause by hand ends", "policy", s.name(), "until", p.Until)
		}
	case closed != nil:
		if !now.leftFor.Equal(closed.Since) {
			now.leftFor = closed.Since
			d.Log.Info("a run is due, and begins when a window of allow opens", "policy", s.name(), "reason", closed.Reason)
		}
	}
	return p != nil || closed != nil, nil
}

// closed is the reading of the windows when none is open; nil: one is, or there are none.
// The daemon's lock is held.
func (d *Daemon) closed() *guard.Reading {
	for _, r := range d.watch.Readings() {
		if r.Guard == guard.WindowsGuard && r.State == guard.Pause && !r.At.IsZero() {
			return &r
		}
	}
	return nil
}

// meant tells whether a run has ended because a pause by hand, or the end of a window,
// outlasted it: that is what a person wanted, and no failure.
func meant(status, reason string) bool {
	if status != string(purge.Incomplete) || !strings.HasPrefix(reason, "paused for ") {
		return false
	}
	return strings.Contains(reason, " by the guard "+purge.GuardByHand+": ") || strings.Contains(reason, " by the guard "+guard.WindowsGuard+": ")
}

// pauseOf is the pause that keeps a policy paused for longest; nil: none does.
func pauseOf(pauses []ledger.Pause, policy string) *ledger.Pause {
	var last *ledger.Pause
	for i, p := range pauses {
		if (p.Policy == nil || *p.Policy == policy) && (last == nil || p.Until.After(last.Until)) {
			last = &pauses[i]
		}
	}
	return last
}
