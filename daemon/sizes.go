package daemon

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/growth"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/web"
)

const (
	// shownSizes is how far back plots and forecasts look; the ledger has sizes an
	// hour apart for as long.
	shownSizes = 35 * 24 * time.Hour
	// mostSizes bounds the points of a plot.
	mostSizes = 288
)

// sizes reads how large the database and the tables are that policies touch, has the
// leader keep it in the ledger, and sees from what is kept there how it grows.
func (d *Daemon) sizes(ctx context.Context) {
	once, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	oids, roots, all := d.measurable()
	now, err := takeSample(once, d.Control, oids)
	if err != nil {
		d.trouble("its size", err)
		return
	}
	size := now.kept(roots)
	if all && d.leads() {
		if err := d.keepSize(once, size); err != nil {
			d.trouble("keeping its size", err)
		}
	}
	history, err := d.history(once)
	if err != nil {
		d.trouble("the sizes that were kept", err)
	}
	if n := len(history); n == 0 || history[n-1].At.Before(size.At) { // else it has just been kept
		history = append(history, size)
	}
	d.grow(now, history)
}

// measurable are the tables that are known to be deleted from, and the policies'
// roots among them. all: no policy's tables will still become known.
func (d *Daemon) measurable() (oids []uint32, roots []root, all bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	all = true
	for _, s := range d.policies {
		oids = append(oids, s.oids...)
		all = all && (s.oids != nil || s.problem != "")
		if s.oids == nil {
			continue
		}
		r := root{policy: s.name(), table: s.root}
		if s.scan != nil && !d.stale(s.scan, now) {
			r.backlog = s.scan.Rows
		}
		roots = append(roots, r)
	}
	return oids, roots, all
}

func (d *Daemon) keepSize(ctx context.Context, size ledger.Size) error {
	due, err := d.Ledger.SizeDue(ctx, d.Control)
	if err != nil || !due {
		return err
	}
	return d.Ledger.SaveSize(ctx, d.Control, size)
}

// history is what the ledger keeps, where there is one.
func (d *Daemon) history(ctx context.Context) ([]ledger.Size, error) {
	d.mu.Lock()
	ready := d.ready
	d.mu.Unlock()
	if !ready {
		return nil, nil
	}
	return d.Ledger.Sizes(ctx, d.Control, shownSizes)
}

// limit is the room that there is for the database and its WAL, in bytes; nil: the
// policy file gives none.
func (d *Daemon) limit() *int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	if limit := d.file.Guards.Storage.Limit; limit > 0 {
		return &limit
	}
	return nil
}

// grow shows a sample, and where the sizes up to it lead.
func (d *Daemon) grow(now sample, sizes []ledger.Size) {
	forecast := predict(sizes, d.limit())
	d.tellSizes(now, forecast)
	d.mu.Lock()
	defer d.mu.Unlock()
	db := &d.database
	db.Name, db.Version, db.SizeBytes, db.Forecast = now.name, now.version, now.database, forecast
	db.Sizes = plotted(sizes, func(s ledger.Size) (int64, bool) {
		if s.Database == nil {
			return 0, false
		}
		return *s.Database, true
	})
	db.Tables = nil
	for _, t := range now.tables {
		db.Tables = append(db.Tables, web.Table{
			Name: t.name, SizeBytes: t.bytes, DeadRows: t.dead,
			Sizes: plotted(sizes, func(s ledger.Size) (int64, bool) { n, ok := s.Tables[t.name]; return n, ok }),
		})
	}
	for _, s := range d.policies {
		s.balance = weigh(sizes, s.name(), cycle(s.schedule, now.at))
		d.Metrics.SetBalance(s.name(), metrics.Balance{Arrival: s.balance.Arrival, Deletion: s.balance.Deletion, Clear: s.balance.ClearSeconds})
	}
}

func (d *Daemon) tellSizes(now sample, f *web.Forecast) {
	var measured []metrics.Table
	for _, t := range now.tables {
		if t.bytes != nil {
			measured = append(measured, metrics.Table{Name: t.name, Bytes: *t.bytes, DeadRows: *t.dead})
		}
	}
	d.Metrics.SetTables(measured)
	if now.database != nil {
		d.Metrics.SetDatabaseSize(*now.database)
	}
	if f == nil {
		d.Metrics.SetStorage(metrics.Storage{})
		return
	}
	d.Metrics.SetStorage(metrics.Storage{Limit: f.LimitBytes, Used: &f.UsedBytes, Growth: f.BytesPerSecond, FullAt: f.FullAt})
}

// plotted are the points of a plot: no nearer to each other than it can show.
func plotted(sizes []ledger.Size, bytes func(ledger.Size) (int64, bool)) []web.Size {
	first, last := sizes[0].At, sizes[len(sizes)-1].At
	gap := last.Sub(first) / mostSizes
	var points []web.Size
	var next time.Time
	for _, s := range sizes {
		n, known := bytes(s)
		if !known || s.At.Before(next) && s.At.Before(last) {
			continue
		}
		points = append(points, web.Size{At: s.At, Bytes: n})
		next = s.At.Add(gap)
	}
	return points
}

// predict tells where the database leads, with its WAL if that is known: then only
// sizes with their WAL count, else those without, for the one would be a jump
// from the other.
func predict(sizes []ledger.Size, limit *int64) *web.Forecast {
	withWAL := sizes[len(sizes)-1].WAL != nil
	var samples []growth.Sample
	for _, s := range sizes {
		if s.Database == nil || withWAL && s.WAL == nil {
			continue
		}
		bytes := *s.Database
		if withWAL {
			bytes += *s.WAL
		}
		samples = append(samples, growth.Sample{At: s.At, Bytes: bytes})
	}
	if len(samples) == 0 {
		return nil
	}
	f := growth.Predict(samples, limit)
	return &web.Forecast{LimitBytes: limit, UsedBytes: samples[len(samples)-1].Bytes, BytesPerSecond: f.BytesPerSecond, FullAt: f.FullAt, Reason: f.Reason}
}

// weigh tells whether deleting keeps up with what becomes due of a policy.
func weigh(sizes []ledger.Size, policy string, cycle time.Duration) *web.Balance {
	var counts []growth.Count
	for _, s := range sizes {
		if c, ok := s.Policies[policy]; ok {
			counts = append(counts, growth.Count{At: s.At, Backlog: c.Backlog, Deleted: c.Deleted, Inserted: c.Inserted})
		}
	}
	b := growth.Weigh(counts, cycle)
	return &web.Balance{Arrival: b.Arrival, Due: b.Due, Deletion: b.Deletion, ClearSeconds: b.ClearSeconds, Reason: b.Reason}
}
