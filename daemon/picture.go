package daemon

import (
	"slices"
	"time"

	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/web"
)

// staleScans is how many scans may be missed until what was measured counts as old.
const staleScans = 3

// paint makes the picture of this moment, from memory alone.
func (d *Daemon) paint() {
	now, grown := time.Now(), d.sizes.latest()
	s := web.Status{
		At: now, Instance: d.Instance, Version: d.Version, StartedAt: d.started, Leader: d.lease.leader(),
		Database: databaseAt(d.pulse.state(), grown), LedgerError: d.control.trouble(), Config: d.file.state(), Guards: shown(d.watching.current().Readings()),
	}
	s.Archive = d.copies.shown(d.file.inForce().Archive, d.Zone, now)
	tellGuards(d.Metrics, s.Guards)
	for _, p := range d.pauses.all() {
		s.Pauses = append(s.Pauses, web.Pause(p))
	}
	if holds := d.holds.Load(); holds != nil {
		for _, h := range *holds {
			s.Holds = append(s.Holds, web.Hold(h))
		}
	}
	s.Erasures = d.erasures.all()
	var monitors []heartbeat.Monitor
	for _, p := range d.timetable.all() {
		state := d.stateOf(p, grown)
		at := state.shown(now, d.ScanEvery)
		d.Metrics.SetFailing(at.Name, at.Failing)
		waitsFor := state.waitsFor()
		for _, name := range gate.Names() {
			d.Metrics.SetApprovalNeeded(at.Name, name, slices.Contains(waitsFor, name))
		}
		s.Policies = append(s.Policies, at)
		monitors = append(monitors, p.monitor)
	}
	s.Heartbeats = heartbeats(monitors, d.Pings)
	d.picture.Store(&s)
}

// stateOf asks every part what it knows of a policy.
func (d *Daemon) stateOf(p scheduled, g grown) *state {
	paused := d.pauses.of(p.name())
	return &state{
		scheduled: p, record: d.history.of(p.name()), measured: d.scans.of(p.name()), running: d.runs.running(p.name()),
		pause: paused.pause, resumed: latest(paused.resumed, p.reopened), balance: g.balances[p.name()],
		target: d.targets.of(p.name()),
	}
}

// databaseAt is the database as the page has it.
func databaseAt(r reachable, g grown) web.Database {
	return web.Database{
		Up: r.up, DownSince: r.since, Error: r.err,
		Name: g.name, Version: g.version, SizeBytes: g.bytes, Sizes: g.sizes, Tables: g.tables, Forecast: g.forecast,
	}
}

// shown is a policy as the page has it. scanEvery is how often it is measured.
func (s *state) shown(now time.Time, scanEvery time.Duration) web.Policy {
	p := web.Policy{
		Name: s.name(), Table: s.policy.Table.String(), Schedule: s.schedule.String(), Late: s.late(s.lagLimit(s.runs)), LateSince: s.lateSince,
		Running: s.running, LastSuccessAt: s.success, NextRunAt: s.next(now), Runs: s.runs, Problem: s.problem, Balance: s.balance,
		Past: s.past, Lags: s.lags, Tree: s.tree, Advice: s.advice,
	}
	if s.pause != nil {
		p.Paused, p.PausedUntil, p.PausedReason = true, &s.pause.Until, s.pause.Reason
	}
	if limit := s.lagLimit(s.runs).Seconds(); limit > 0 {
		p.MaxLagSeconds, p.MaxLagAssumed = &limit, s.maxLag() == 0
	}
	p.LastRun = s.last
	if r := s.last; p.Running == nil && r != nil && r.FinishedAt == nil { // in another process
		p.Running = &web.Progress{RunID: r.RunID, Trigger: r.Trigger, StartedAt: r.StartedAt, Rows: r.RowsTotal, Batches: r.Batches}
	}
	p.FailingSince, p.Reason = s.failing(now)
	p.Failing = p.Reason != ""
	if scan := s.scan; scan != nil {
		p.LagSeconds, p.BacklogRows, p.OldestExpiredAt, p.OverdueTenants, p.ScannedAt = &scan.Lag, scan.Rows, scan.Oldest, &scan.Tenants, &scan.At
		p.ScanStale, p.Unowned = stale(scan, now, scanEvery), (*preview.Unowned)(scan.Unowned)
		for _, w := range scan.Worst {
			p.WorstTenants = append(p.WorstTenants, web.Tenant{Key: w.Key, LagSeconds: w.Lag})
		}
	}
	return p
}

// stale reports whether what was measured is old. A slow scan comes less often.
func stale(scan *ledger.Scan, now time.Time, scanEvery time.Duration) bool {
	return now.Sub(scan.At) > staleScans*scanEvery+10*time.Minute
}

// tellGuards has the metrics show what the guards say.
func tellGuards(m *metrics.Metrics, all []web.Guard) {
	var told []metrics.Guard
	for _, g := range all {
		if g.Off {
			continue
		}
		t := metrics.Guard{Name: g.Name, State: g.State, Value: g.Value, Unit: g.Unit, Unknown: g.Unknown}
		if g.State != "go" && g.Since != nil {
			t.Since = *g.Since
		}
		told = append(told, t)
	}
	m.SetGuards(told)
}

// heartbeats are the monitors of policies, each once for all that share it.
func heartbeats(monitors []heartbeat.Monitor, pings *heartbeat.Client) (list []web.Heartbeat) {
	for i, m := range monitors {
		if m.IsZero() || slices.ContainsFunc(monitors[:i], m.Same) {
			continue
		}
		st := pings.Status(m)
		h := web.Heartbeat{Name: string(st.Kind) + " " + st.Monitor}
		if !st.LastSuccess.IsZero() {
			h.LastSuccessAt = &st.LastSuccess
		}
		if st.LastErrorAt.After(st.LastSent) {
			h.LastError, h.LastErrorAt = st.LastError, &st.LastErrorAt
		}
		list = append(list, h)
	}
	return list
}
