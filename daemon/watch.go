package daemon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

// ping asks whether the database answers.
func (d *Daemon) ping(ctx context.Context) {
	ask, cancel := context.WithTimeout(ctx, pingEvery)
	defer cancel()
	err := d.Pool.QueryRow(ask, `SELECT current_database()::text, current_setting('server_version')`).Scan(new(string), new(string))
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case err == nil:
		d.seen = now
	case ctx.Err() != nil:
		return
	case errors.Is(err, context.DeadlineExceeded) && d.busy() && now.Sub(d.seen) < time.Minute:
		return // every connection is at work, and was so a moment ago
	}
	if up := err == nil; up != d.database.Up || !up && d.database.DownSince == nil {
		d.database.Up, d.database.Error, d.database.DownSince = up, "", nil
		if up {
			d.Log.Info("the database answers")
		} else {
			d.database.DownSince = &now
			d.Log.Error("the database does not answer", "error", safe(err))
		}
	}
	if err != nil {
		d.database.Error = safe(err)
	}
	d.Metrics.SetDatabaseUp(err == nil)
}

// busy tells that no connection is free, so that a question has to wait.
func (d *Daemon) busy() bool {
	s := d.Pool.Stat()
	return s.AcquiredConns() >= s.MaxConns()
}

// safe is an error's text without what is secret: pgx names hosts and users, but
// no password; a PostgreSQL error may quote rows in its detail, which is left out.
func safe(err error) string {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Message + " (" + pg.Code + ")"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}

func (d *Daemon) leads() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.leader == d.Instance
}

// control makes the ledger where it is missing, renews the lease of the one that
// measures, and reads what others have done.
func (d *Daemon) control(ctx context.Context) {
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := d.prepare(ask); err != nil {
		d.trouble("the ledger", err)
		return
	}
	holder, err := d.Ledger.Lease(ask, d.Pool, leaseName, d.Instance, leaseLength)
	if err != nil {
		holder = "" // whoever has it, this process does not know
		d.trouble("the lease", err)
	}
	d.mu.Lock()
	changed := holder != d.leader
	d.leader = holder
	states := d.policies
	d.mu.Unlock()
	d.Metrics.SetLeader(holder == d.Instance)
	if changed {
		d.Log.Info("who measures the lag", "instance", holder)
		d.askScan()
	}
	for _, s := range states {
		if err := d.read(ask, s); err != nil {
			d.trouble("what the ledger has", err)
			return
		}
	}
}

// trouble logs what went wrong, but for what ping says already.
func (d *Daemon) trouble(what string, err error) {
	d.mu.Lock()
	up := d.database.Up
	d.mu.Unlock()
	if up {
		d.Log.Warn("the database was asked in vain", "for", what, "error", safe(err))
	}
}

// prepare makes or upgrades the ledger, where this role may.
func (d *Daemon) prepare(ctx context.Context) error {
	d.mu.Lock()
	ready := d.ready
	d.mu.Unlock()
	if ready {
		return nil
	}
	if _, err := d.Ledger.Migrate(ctx, d.Pool); err != nil {
		return err
	}
	d.mu.Lock()
	d.ready = true
	d.mu.Unlock()
	return nil
}

// keptRuns is how many ended runs of a policy are shown.
const keptRuns = 10

// read reads what the ledger knows of a policy.
func (d *Daemon) read(ctx context.Context, s *state) error {
	name := s.name()
	ended, err := d.Ledger.Runs(ctx, d.Pool, name, keptRuns)
	if err != nil {
		return err
	}
	last, success, err := d.Ledger.Last(ctx, d.Pool, name)
	if err != nil {
		return err
	}
	scan, err := d.Ledger.LastScan(ctx, d.Pool, name)
	if err != nil {
		return err
	}
	runs := make([]web.Run, len(ended))
	for i, e := range ended {
		runs[i] = runOf(e.LastRun)
		runs[i].RowsNullified, runs[i].Rows = e.Nullified, e.Rows
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s = d.state(name)
	s.runs, s.success, s.last = runs, success, nil
	if last != nil {
		run := runOf(*last)
		s.last = &run
	}
	s.see(scan)
	if len(runs) > 0 {
		d.Metrics.SetLastRun(name, *runs[0].FinishedAt)
	}
	if success != nil {
		d.Metrics.SetLastSuccess(name, *success)
	}
	if next := s.next(time.Now()); next != nil {
		d.Metrics.SetNextRun(name, *next)
	}
	return nil
}

func runOf(r ledger.LastRun) web.Run {
	return web.Run{
		RunID: r.RunID, Trigger: r.Trigger, Status: r.Status, Reason: r.Reason, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
		RowsTotal: r.RowsTotal, Batches: r.Batches, WALBytes: r.WALBytes,
	}
}

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

// scans measures now and then, and after each run.
func (d *Daemon) scans(ctx context.Context) {
	t := time.NewTicker(d.ScanEvery)
	defer t.Stop()
	for {
		d.scan(ctx)
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		case <-d.rescan:
		}
	}
}

// askScan asks for a scan as soon as may be.
func (d *Daemon) askScan() {
	select {
	case d.rescan <- struct{}{}:
	default: // it is asked for
	}
}

// scan measures what is due of each policy, in the one process that has the lease.
func (d *Daemon) scan(ctx context.Context) {
	d.mu.Lock()
	do, file, states := d.ready && d.leader == d.Instance, d.file, d.policies
	d.mu.Unlock()
	if !do {
		return
	}
	for _, s := range states {
		if err := d.scanOf(ctx, s.name(), func() ([]*purge.Plan, error) { return d.compile(ctx, file, s.name()) }); err != nil && ctx.Err() == nil {
			d.mu.Lock()
			d.state(s.name()).problem = "not measured: " + safe(err)
			d.mu.Unlock()
			d.trouble("what is due of "+s.name(), err)
		}
	}
}

func (d *Daemon) scanOf(ctx context.Context, name string, compile func() ([]*purge.Plan, error)) error {
	plans, err := compile()
	if err != nil {
		return err
	}
	o, err := purge.Measure(ctx, d.Pool, plans[0], scanTimeout, countTimeout)
	if err != nil {
		return err
	}
	scan := scanned(o)
	if err := d.Ledger.SaveScan(ctx, d.Pool, name, *scan); err != nil {
		return err
	}
	m := metrics.Scan{At: o.At, Lag: time.Duration(o.Lag * float64(time.Second)), Rows: -1, OverdueTenants: o.Tenants}
	if o.Rows != nil {
		m.Rows = *o.Rows
	}
	if o.Oldest != nil {
		m.Oldest = *o.Oldest
	}
	d.Metrics.LagScanned(name, m)
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state(name)
	s.see(scan)
	s.problem, s.tables = "", tablesOf(plans)
	return nil
}

// keptSizes is how many sizes are kept for the plots: a day's.
const keptSizes = 24 * 60

// sizes reads how large the database and the tables are that policies touch.
func (d *Daemon) sizes(ctx context.Context) {
	ask, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	d.mu.Lock()
	ready := d.ready
	var names []string
	for _, s := range d.policies {
		names = append(names, s.tables...)
	}
	d.mu.Unlock()
	if !ready {
		return
	}
	var name, version string
	var size *int64
	err := d.Pool.QueryRow(ask, `SELECT current_database()::text, current_setting('server_version'),
		CASE WHEN has_database_privilege(current_database(), 'CONNECT') THEN pg_database_size(current_database()) END`).Scan(&name, &version, &size)
	if err != nil {
		d.trouble("its size", err)
		return
	}
	tables, err := tableSizes(ask, d.Pool, names)
	if err != nil {
		d.trouble("the sizes of tables", err)
		return
	}
	now := time.Now()
	var measured []metrics.Table
	for _, t := range tables {
		if t.SizeBytes != nil {
			measured = append(measured, metrics.Table{Name: t.Name, Bytes: *t.SizeBytes, DeadRows: *t.DeadRows})
		}
	}
	d.Metrics.SetTables(measured)
	if size != nil {
		d.Metrics.SetDatabaseSize(*size)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	db := &d.database
	db.Name, db.Version, db.SizeBytes = name, version, size
	db.Sizes = grown(db.Sizes, now, size)
	for i := range tables {
		for _, before := range db.Tables {
			if before.Name == tables[i].Name {
				tables[i].Sizes = before.Sizes
			}
		}
		tables[i].Sizes = grown(tables[i].Sizes, now, tables[i].SizeBytes)
	}
	db.Tables = tables
}

// grown is a list of sizes with one more; it shares nothing with the list before,
// which is in a picture.
func grown(list []web.Size, at time.Time, bytes *int64) []web.Size {
	if bytes == nil {
		return list
	}
	list = append(list[:len(list):len(list)], web.Size{At: at, Bytes: *bytes})
	return list[max(len(list)-keptSizes, 0):]
}

func tableSizes(ctx context.Context, pool poolOf, names []string) ([]web.Table, error) {
	rows, err := pool.Query(ctx, tableSizesSQL, names)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var tables []web.Table
	for rows.Next() {
		var t web.Table
		if err := rows.Scan(&t.Name, &t.SizeBytes, &t.DeadRows); err != nil {
			return nil, fmt.Errorf("reading sizes: %w", err)
		}
		tables = append(tables, t)
	}
	return tables, rows.Err()
}
