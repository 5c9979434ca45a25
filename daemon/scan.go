package daemon

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/purge"
)

// see takes over what was measured, and notes since when the policy is late.
func (s *state) see(scan *ledger.Scan) {
	s.scan = scan
	if !s.late() {
		s.lateSince = nil
	} else if s.lateSince == nil {
		// It became late when its lag passed the limit.
		since := scan.At.Add(maxLag(s.policy) - time.Duration(scan.Lag*float64(time.Second)))
		s.lateSince = &since
	}
}

// late tells that the lag, when it was measured, was above the policy's max_lag.
func (s *state) late() bool {
	return s.scan != nil && maxLag(s.policy) > 0 && s.scan.Lag > maxLag(s.policy).Seconds()
}

// How long measuring one policy may take: to find the most overdue rows, and to
// count all that are due.
const (
	scanTimeout  = 30 * time.Second
	countTimeout = 10 * time.Second
)

// scan measures what is due of each policy, in the one process that has the
// lease. A policy that takes long to measure is measured less often: a twentieth of
// the time at most.
func (d *Daemon) scan(ctx context.Context) {
	d.mu.Lock()
	do, states := d.ready && d.leader == d.Instance, d.policies
	d.mu.Unlock()
	if !do {
		return
	}
	for _, s := range states {
		d.mu.Lock()
		wait := time.Now().Before(d.state(s.name()).scanAfter)
		d.mu.Unlock()
		if wait || ctx.Err() != nil {
			continue
		}
		began := time.Now()
		err := d.scanOf(ctx, s)
		d.mu.Lock()
		now := d.state(s.name())
		now.scanAfter = time.Now().Add(20 * time.Since(began))
		problem := ""
		if err != nil {
			problem = "not measured: " + safe(err)
		}
		known := now.problem == problem
		now.problem = problem
		d.mu.Unlock()
		if err != nil && ctx.Err() == nil && !known {
			d.trouble("what is due of "+s.name(), err)
		}
	}
}

// sampleEvery is how often rows of a policy are followed to their tenants.
const sampleEvery = time.Hour

// unowned is how many rows of a sample reach no tenant: what was found last, where that
// is not long ago; nil: not known.
func (d *Daemon) unowned(ctx context.Context, s *state, p *purge.Plan) *ledger.Unowned {
	d.mu.Lock()
	now := d.state(s.name())
	var last *ledger.Unowned
	if now.scan != nil {
		last = now.scan.Unowned
	}
	due := time.Since(now.sampled) > sampleEvery
	if due {
		now.sampled = time.Now()
	}
	d.mu.Unlock()
	if !due {
		return last
	}
	found, err := purge.SampleUnowned(ctx, d.Pool, p)
	if err != nil {
		d.trouble("the tenants of rows of "+s.name(), err)
		return nil
	}
	return (*ledger.Unowned)(found)
}

func (d *Daemon) scanOf(ctx context.Context, s *state) error {
	plans, err := d.compile(ctx, s.file, s.name())
	if err != nil {
		return err
	}
	o, err := purge.Measure(ctx, d.Pool, plans[0], scanTimeout, countTimeout)
	if err != nil {
		return err
	}
	scan := scanned(o)
	scan.Unowned = d.unowned(ctx, s, plans[0])
	if err := d.Ledger.SaveScan(ctx, d.Control, s.name(), *scan); err != nil {
		return err
	}
	m := metrics.Scan{At: o.At, Lag: time.Duration(o.Lag * float64(time.Second)), Rows: -1, OverdueTenants: o.Tenants}
	if o.Rows != nil {
		m.Rows = *o.Rows
	}
	if o.Oldest != nil {
		m.Oldest = *o.Oldest
	}
	d.Metrics.LagScanned(s.name(), m)
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.state(s.name())
	now.see(scan)
	d.planned(now, plans)
	return nil
}
