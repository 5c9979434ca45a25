package daemon

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

// Look makes the picture once, for somebody who asks without a daemon: it measures
// what is due and reads the ledger, and writes nothing. policies names those that
// are looked at; nil: all.
func Look(ctx context.Context, c Config, policies []string) (web.Status, error) {
	c.Log = slog.New(slog.DiscardHandler) // the picture says it
	d, err := New(c)
	if err != nil {
		return web.Status{}, err
	}
	d.Control, d.Guards = c.Pool, c.Pool
	d.newWatch() // with that pool
	d.ping(ctx)
	missing, err := c.Ledger.NeedsMigration(ctx, c.Pool)
	if err != nil {
		return web.Status{}, err
	}
	d.ready, d.ledger = !missing, ""
	if policies != nil {
		d.policies = slices.DeleteFunc(d.policies, func(s *state) bool { return !slices.Contains(policies, s.name()) })
	}
	if d.ready {
		if err := d.readPauses(ctx); err != nil {
			return web.Status{}, err
		}
		if err := d.readAll(ctx); err != nil {
			return web.Status{}, err
		}
		if d.leader, err = c.Ledger.Holder(ctx, c.Pool, leaseName); err != nil {
			return web.Status{}, err
		}
	}
	for _, s := range d.policies {
		d.lookAt(ctx, s)
	}
	d.sizes(ctx)
	d.readGuards(ctx)
	d.paint()
	st := d.Status()
	st.Instance, st.StartedAt, st.Heartbeats = "", time.Time{}, nil // those of a daemon
	if st.Leader == "" {                                            // nobody is there to run anything
		for i := range st.Policies {
			st.Policies[i].NextRunAt = nil
		}
	}
	return st, nil
}

func (d *Daemon) lookAt(ctx context.Context, s *state) {
	s.scan = nil // what a daemon measured is older
	plans, err := d.compile(ctx, d.file, s.name())
	if err != nil {
		s.problem = err.Error()
		return
	}
	d.planned(s, plans)
	o, err := purge.Measure(ctx, d.Pool, plans[0], countTimeout, countTimeout)
	if err != nil {
		s.problem = err.Error()
		return
	}
	scan := scanned(o)
	if u, err := purge.SampleUnowned(ctx, d.Pool, plans[0]); err != nil {
		s.problem = err.Error()
	} else {
		scan.Unowned = (*ledger.Unowned)(u)
	}
	s.see(scan)
}

// scanned is what was measured, as the ledger keeps it.
func scanned(o purge.Overdue) *ledger.Scan {
	scan := &ledger.Scan{At: o.At, Lag: o.Lag, Oldest: o.Oldest, Tenants: o.Tenants, Rows: o.Rows}
	for _, w := range o.Worst {
		scan.Worst = append(scan.Worst, ledger.Overdue(w))
	}
	return scan
}
