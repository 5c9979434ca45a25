package daemon

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// counter counts the statements with a word in them, alone or among others.
type counter struct {
	word string
	n    atomic.Int64
}

func (c *counter) see(sql string) {
	if strings.Contains(sql, c.word) {
		c.n.Add(1)
	}
}

// TraceQueryStart is pgx's.
func (c *counter) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	c.see(q.SQL)
	return ctx
}

// TraceQueryEnd is pgx's.
func (c *counter) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart is pgx's.
func (c *counter) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, q := range data.Batch.QueuedQueries {
		c.see(q.SQL)
	}
	return ctx
}

// TraceBatchQuery is pgx's.
func (c *counter) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd is pgx's.
func (c *counter) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// Rows are followed to their tenants once an hour, and not with every look at what is
// due. What was found stays in the picture, and goes through the ledger to other
// processes.
func TestUnownedIsSampledNowAndThen(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `CREATE TABLE orgs (id int PRIMARY KEY, days int); INSERT INTO orgs VALUES (1, 30);
		CREATE TABLE letters (id int PRIMARY KEY, at timestamptz NOT NULL, org int); CREATE INDEX ON letters (org, at, id);
		INSERT INTO letters SELECT n, now(), CASE WHEN n = 1 THEN 1 END FROM generate_series(1, 10) n`)
	samples := &counter{word: "reaper_m AS MATERIALIZED"}
	config, err := pg.PoolConfig(db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.Tracer = samples
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	l := ledger.New(ledger.DefaultSchema, 0)
	if _, err := l.Migrate(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	e, keeper := states(t, text)[0].entry, book{l, pool, "x"}
	scans := newScans(survey{pool, l, scanTimeout}, keeper, func(string, *plan.Plan) {}, func() time.Time { return now },
		metrics.New(prometheus.NewRegistry(), metrics.Build{}), func(what string, err error) { t.Errorf("%s: %v", what, err) })
	scans.adopt([]string{"a"}, nil)
	scan := func(want int64) {
		t.Helper()
		if err := scans.read(t.Context(), []entry{e}); err != nil {
			t.Fatal(err)
		}
		if err := scans.scan(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		s := state{scheduled: scheduled{entry: e}, measured: scans.of("a")}
		u := s.shown(now, time.Minute).Unowned
		if got := samples.n.Load(); got != want || u == nil || *u != (preview.Unowned{SampledRows: 10, Rows: 9, Exact: true}) {
			t.Errorf("after %d samples, want %d, the picture has %+v", got, want, u)
		}
	}
	scan(1)
	scan(1)
	now = now.Add(sampleEvery + time.Minute)
	scan(2)
	scan(2)
}

// What another process has measured is shown by the one that measures now, with its
// time: nothing looks as if it had never been measured.
func TestScans_KeptAreShown(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, metrics.Build{})
	m.SetPolicies(metrics.Policy{Name: "a"})
	kept := shelf{"a": {At: noon, Lag: 90}}
	s := newScans(nil, kept, nil, time.Now, m, nil)
	entries := entriesOf(t, Config{}, text)
	s.adopt(namesOf(entries), nil)
	shown := func() int {
		t.Helper()
		if err := s.read(t.Context(), entries); err != nil {
			t.Fatal(err)
		}
		n, err := testutil.GatherAndCount(reg, "reaper_lag_scan_timestamp_seconds", "reaper_retention_lag_seconds")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := shown(); n != 0 {
		t.Errorf("%d series of one that does not measure", n)
	}
	m.SetLeader(true)
	if n := shown(); n != 2 {
		t.Errorf("%d series of the one that measures, want 2", n)
	}
}
