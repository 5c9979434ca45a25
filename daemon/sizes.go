package daemon

import (
	"cmp"
	"context"
	"slices"
	"sync"
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

// sizeKeeper keeps the sizes. A book does.
type sizeKeeper interface {
	SizeDue(ctx context.Context) (bool, error)
	SaveSize(ctx context.Context, s ledger.Size) error
	Sizes(ctx context.Context, past time.Duration) ([]ledger.Size, error)
}

// sizes are how large the database is, and the tables that policies delete from, and
// how they grow.
type sizes struct {
	take     func(ctx context.Context, oids []uint32) (sample, error)
	keeper   sizeKeeper
	metrics  *metrics.Metrics
	complain func(what string, err error)

	mu  sync.Mutex
	now grown
}

// grown is what the page has of the sizes.
type grown struct {
	name, version string // of the database; empty: it was not reached yet
	bytes         *int64
	forecast      *web.Forecast
	sizes         []web.Size
	tables        []web.Table
	balances      map[string]*web.Balance // by policy
}

// sizing is what is to be looked at.
type sizing struct {
	oids     []uint32
	roots    []root
	cycles   map[string]time.Duration // from one run to the next, by policy
	limit    *int64                   // that database and WAL together must not reach; nil: none
	keep     bool                     // the ledger is to have what is found
	readable bool                     // the ledger is there
}

func newSizes(take func(context.Context, []uint32) (sample, error), k sizeKeeper, m *metrics.Metrics, complain func(string, error)) *sizes {
	return &sizes{take: take, keeper: k, metrics: m, complain: complain}
}

// round takes a sample, has it kept, and sees from what is kept how it grows.
func (s *sizes) round(ctx context.Context, of sizing) {
	once, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	found, err := s.take(once, of.oids)
	if err != nil {
		s.complain("its size", err)
		return
	}
	size := found.kept(of.roots)
	if of.keep {
		if err := s.keep(once, size); err != nil {
			s.complain("keeping its size", err)
		}
	}
	history, err := s.history(once, of.readable)
	if err != nil {
		s.complain("the sizes that were kept", err)
	}
	if n := len(history); n == 0 || history[n-1].At.Before(size.At) { // else it has just been kept
		history = append(history, size)
	}
	s.grow(found, history, of)
}

func (s *sizes) keep(ctx context.Context, size ledger.Size) error {
	due, err := s.keeper.SizeDue(ctx)
	if err != nil || !due {
		return err
	}
	return s.keeper.SaveSize(ctx, size)
}

// history is what the ledger keeps, where there is one.
func (s *sizes) history(ctx context.Context, readable bool) ([]ledger.Size, error) {
	if !readable {
		return nil, nil
	}
	return s.keeper.Sizes(ctx, shownSizes)
}

// grow takes over a sample, and where the sizes up to it lead.
func (s *sizes) grow(found sample, history []ledger.Size, of sizing) {
	g := grown{
		name: found.name, version: found.version, bytes: found.database, forecast: predict(history, of.limit),
		sizes: plotted(history, databaseSize), balances: map[string]*web.Balance{},
	}
	for _, t := range found.tables {
		g.tables = append(g.tables, web.Table{
			Name: t.name, SizeBytes: t.bytes, DeadRows: t.dead,
			Sizes: plotted(history, func(s ledger.Size) (int64, bool) { n, ok := s.Tables[t.name]; return n, ok }),
		})
	}
	if len(of.oids) == 0 { // nothing was planned: a daemon has measured it
		g.tables = keptTables(history)
	}
	for name, cycle := range of.cycles {
		b := weigh(history, name, cycle)
		g.balances[name] = b
		s.metrics.SetBalance(name, metrics.Balance{Arrival: b.Arrival, Deletion: b.Deletion, Clear: b.ClearSeconds})
	}
	s.publish(found, g.forecast)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = g
}

// keptTables are the tables of the last sizes that have any, the largest first. Nobody has
// counted their dead rows.
func keptTables(history []ledger.Size) (tables []web.Table) {
	for _, s := range slices.Backward(history) {
		for name, bytes := range s.Tables {
			tables = append(tables, web.Table{Name: name, SizeBytes: &bytes})
		}
		if tables != nil {
			break
		}
	}
	slices.SortFunc(tables, func(a, b web.Table) int {
		return cmp.Or(cmp.Compare(*b.SizeBytes, *a.SizeBytes), cmp.Compare(a.Name, b.Name))
	})
	return tables
}

// latest is what was last found. It does not change any more.
func (s *sizes) latest() grown {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func databaseSize(s ledger.Size) (int64, bool) {
	if s.Database == nil {
		return 0, false
	}
	return *s.Database, true
}

// publish has the metrics show a sample, and where it leads.
func (s *sizes) publish(found sample, f *web.Forecast) {
	var measured []metrics.Table
	for _, t := range found.tables {
		if t.bytes != nil {
			measured = append(measured, metrics.Table{Name: t.name, Bytes: *t.bytes, DeadRows: *t.dead})
		}
	}
	s.metrics.SetTables(measured)
	s.metrics.SetDatabaseName(found.name)
	if found.database != nil {
		s.metrics.SetDatabaseSize(*found.database)
	}
	if f == nil {
		s.metrics.SetStorage(metrics.Storage{})
		return
	}
	s.metrics.SetStorage(metrics.Storage{Limit: f.LimitBytes, Used: &f.UsedBytes, Growth: f.BytesPerSecond, FullAt: f.FullAt})
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

// weigh reports whether deleting keeps up with what becomes due of a policy.
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
