package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/web"
)

func (d *Daemon) leads() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leader == d.Instance
}

// control makes the ledger where it is missing, renews the lease of the one that
// measures, and reads what is paused and what all processes have done.
func (d *Daemon) control(ctx context.Context) {
	once, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := d.prepare(once)
	if err == nil {
		err = d.lease(once)
	}
	if err == nil {
		err = d.readPauses(once)
	}
	if err == nil {
		err = d.readAll(once)
	}
	if ctx.Err() != nil {
		return
	}
	d.mu.Lock()
	before := d.ledger
	switch {
	case err == nil:
		d.ledger = ""
	case d.database.Up: // else ping says it
		d.ledger = safe(err)
		var pg *pgconn.PgError
		if errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000") {
			d.ready = false // it was dropped
		}
	}
	known := d.ledger == before
	d.mu.Unlock()
	if err != nil && !known {
		d.trouble("the ledger", err)
	}
}

// lease takes or renews the lease. What holder says is believed for as long as it
// lasts.
func (d *Daemon) lease(ctx context.Context) error {
	holder, err := d.Ledger.Lease(ctx, d.Control, leaseName, d.Instance, leaseLength)
	d.mu.Lock()
	now := time.Now()
	if err == nil {
		d.leased = now
	} else if holder = d.leader; now.Sub(d.leased) > leaseLength {
		holder = ""
	}
	changed := holder != d.leader
	d.leader = holder
	d.mu.Unlock()
	d.Metrics.SetLeader(holder == d.Instance)
	if changed {
		d.Log.Info("who measures the lag", "instance", holder)
		ask(d.rescan)
	}
	return err
}

// prepare makes or upgrades the ledger, where this role may, and sees that it may
// write there all that a run does: nothing runs before.
func (d *Daemon) prepare(ctx context.Context) error {
	d.mu.Lock()
	ready := d.ready
	d.mu.Unlock()
	if ready {
		return nil
	}
	if !d.Observe {
		if err := d.Ledger.Usable(ctx, d.Control); err != nil {
			return err
		}
	}
	if _, err := d.Ledger.Migrate(ctx, d.Control); err != nil {
		return err
	}
	d.mu.Lock()
	d.ready = true
	d.mu.Unlock()
	return nil
}

// keptRuns is how many ended runs of a policy are shown.
const keptRuns = 10

// readAll reads what the ledger knows of the policies, in a fixed number of
// statements; and what each ended run has deleted, once.
func (d *Daemon) readAll(ctx context.Context) error {
	var names []string
	d.mu.Lock()
	for _, s := range d.policies {
		names = append(names, s.name())
	}
	leads := d.leader == d.Instance
	d.mu.Unlock()
	if leads {
		if err := d.Ledger.CloseDead(ctx, d.Control, names...); err != nil {
			return fmt.Errorf("closing runs whose processes have died: %w", err)
		}
	}
	histories, err := d.Ledger.Histories(ctx, d.Control, names, keptRuns, byAssist, byHand)
	if err != nil {
		return err
	}
	scans, err := d.Ledger.Scans(ctx, d.Control, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		runs := d.known(name, histories[name].Runs)
		for i := range runs {
			if runs[i].Rows != nil {
				continue
			}
			if runs[i].Rows, runs[i].RowsNullified, _, err = d.Ledger.Totals(ctx, d.Control, runs[i].RunID, name); err != nil {
				return fmt.Errorf("reading what a run has deleted: %w", err)
			}
		}
		d.remember(name, histories[name], runs, scans[name])
	}
	return nil
}

// known gives runs with their counts, as far as they were read before.
func (d *Daemon) known(name string, ended []ledger.Ended) []web.Run {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := map[string]web.Run{}
	for _, r := range d.state(name).runs {
		before[r.RunID] = r
	}
	runs := make([]web.Run, len(ended))
	for i, e := range ended {
		runs[i] = runOf(e.LastRun)
		if r, ok := before[e.RunID]; ok {
			runs[i].Rows, runs[i].RowsNullified = r.Rows, r.RowsNullified
		} else if e.RowsTotal == 0 && e.Batches == 0 {
			runs[i].Rows = map[string]int64{}
		}
	}
	return runs
}

func (d *Daemon) remember(name string, h *ledger.History, runs []web.Run, scan *ledger.Scan) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state(name)
	if s.observed && newest(h.Runs) != newest(s.ended) { // as after a run of its own
		s.scanAfter = time.Time{}
		ask(d.rescan)
	}
	s.ended, s.runs, s.success, s.failure, s.last = h.Runs, runs, h.Success, h.Failure, nil
	if h.Last != nil {
		last := runOf(*h.Last)
		if len(runs) > 0 && runs[0].RunID == last.RunID { // which has its counts
			last.Rows, last.RowsNullified = runs[0].Rows, runs[0].RowsNullified
		}
		s.last = &last
	}
	if scan != nil {
		s.see(scan)
	}
	if len(runs) > 0 {
		d.Metrics.SetLastRun(name, *runs[0].FinishedAt)
	}
	if h.Success != nil {
		d.Metrics.SetLastSuccess(name, *h.Success)
	}
	if next := s.next(time.Now()); next != nil {
		d.Metrics.SetNextRun(name, *next)
	}
}

// newest is the id of the first of these runs; empty: there is none.
func newest(runs []ledger.Ended) string {
	if len(runs) == 0 {
		return ""
	}
	return runs[0].RunID
}

func runOf(r ledger.LastRun) web.Run {
	return web.Run{
		RunID: r.RunID, Trigger: r.Trigger, Status: r.Status, Reason: r.Reason, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
		RowsTotal: r.RowsTotal, RowsNullified: r.RowsNullified, Batches: r.Batches, WALBytes: r.WALBytes,
	}
}
