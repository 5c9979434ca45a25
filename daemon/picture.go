package daemon

import (
	"time"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

// staleScans is how many scans may be missed until what was measured counts as old.
const staleScans = 3

// paint makes the picture of this moment, from memory alone.
func (d *Daemon) paint() {
	now := time.Now()
	guards := d.readings()
	d.mu.Lock()
	defer d.mu.Unlock()
	s := web.Status{
		At: now, Instance: d.Instance, Version: d.Version, StartedAt: d.started, Leader: d.leader,
		Database: d.database, LedgerError: d.ledger, Config: d.config, Guards: guards,
	}
	for _, p := range d.pauses {
		s.Pauses = append(s.Pauses, web.Pause(p))
	}
	for _, p := range d.policies {
		at := d.policyAt(p, now)
		d.Metrics.SetFailing(at.Name, at.Failing)
		s.Policies = append(s.Policies, at)
		s.Heartbeats = d.heartbeats(s.Heartbeats, p)
	}
	d.picture.Store(&s)
}

func (d *Daemon) policyAt(s *state, now time.Time) web.Policy {
	p := web.Policy{
		Name: s.name(), Table: s.policy.Table.String(), Schedule: s.schedule.String(), Late: s.late(), LateSince: s.lateSince,
		Running: s.running, LastSuccessAt: s.success, NextRunAt: s.next(now), Runs: s.runs, Problem: s.problem, Balance: s.balance,
	}
	if s.pause != nil {
		p.Paused, p.PausedUntil, p.PausedReason = true, &s.pause.Until, s.pause.Reason
	}
	if limit := maxLag(s.policy).Seconds(); limit > 0 {
		p.MaxLagSeconds = &limit
	}
	p.LastRun = s.last
	if r := s.last; p.Running == nil && r != nil && r.FinishedAt == nil { // in another process
		p.Running = &web.Progress{RunID: r.RunID, Trigger: r.Trigger, StartedAt: r.StartedAt, Rows: r.RowsTotal, Batches: r.Batches}
	}
	p.FailingSince, p.Reason = s.failing(now)
	p.Failing = p.Reason != ""
	if scan := s.scan; scan != nil {
		p.LagSeconds, p.BacklogRows, p.OldestExpiredAt, p.OverdueTenants, p.ScannedAt = &scan.Lag, scan.Rows, scan.Oldest, &scan.Tenants, &scan.At
		p.ScanStale, p.Unowned = d.stale(scan, now), (*purge.Unowned)(scan.Unowned)
		for _, w := range scan.Worst {
			p.WorstTenants = append(p.WorstTenants, web.Tenant{Key: w.Key, LagSeconds: w.Lag})
		}
	}
	return p
}

// stale tells that what was measured is old. A slow scan comes less often.
func (d *Daemon) stale(scan *ledger.Scan, now time.Time) bool {
	return now.Sub(scan.At) > staleScans*d.ScanEvery+10*time.Minute
}

// readings are what the guards say, which is told to the metrics as well.
func (d *Daemon) readings() []web.Guard {
	all := shown(d.heed().watch().Readings())
	d.tellGuards(all)
	return all
}

func (d *Daemon) tellGuards(all []web.Guard) {
	var told []metrics.Guard
	for _, g := range all {
		if g.Off {
			continue
		}
		m := metrics.Guard{Name: g.Name, State: g.State, Value: g.Value}
		if g.State != "go" && g.Since != nil {
			m.Since = *g.Since
		}
		told = append(told, m)
	}
	d.Metrics.SetGuards(told)
}

// heartbeats adds the policy's monitor, once for all policies that share it.
func (d *Daemon) heartbeats(list []web.Heartbeat, p *state) []web.Heartbeat {
	if p.monitor.IsZero() {
		return list
	}
	for _, o := range d.policies {
		if o == p {
			break
		}
		if o.monitor.Same(p.monitor) {
			return list
		}
	}
	st := d.Pings.Status(p.monitor)
	h := web.Heartbeat{Name: string(st.Kind) + " " + st.Monitor}
	if !st.LastSuccess.IsZero() {
		h.LastSuccessAt = &st.LastSuccess
	}
	if st.LastErrorAt.After(st.LastSent) {
		h.LastError, h.LastErrorAt = st.LastError, &st.LastErrorAt
	}
	return append(list, h)
}
