package daemon

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/ledger"
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
			d.Log.Info("no longer paused by hand", "policy", s.name())
		}
		d.Metrics.SetPolicyPaused(s.name(), until)
	}
	d.Metrics.SetPaused(len(pauses) > 0)
	return nil
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
