package daemon

import (
	"context"
	"time"
)

// numberOthersEvery is how often the leader gives ids to events of processes that died before they did.
const numberOthersEvery = time.Minute

// numberEvents makes the events of this process visible to others, and now and then those of all.
func (d *Daemon) numberEvents(ctx context.Context) error {
	if d.Observe {
		return nil
	}
	if d.lease.leads() && time.Since(d.numbered) >= numberOthersEvery {
		if _, err := d.Ledger.NumberEvents(ctx, d.Control); err != nil {
			d.pulse.complain("the events", err)
			return nil // it is no obstacle to runs
		}
		d.numbered = time.Now()
		return nil
	}
	d.Ledger.NumberEmitted(ctx, d.Control)
	return nil
}
