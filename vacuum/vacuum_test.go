package vacuum_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/vacuum"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m, func() error { return goleak.Find() })) }

// piles had 1000 rows of which a fifth was deleted, parts 1000 of which few were. Autovacuum
// is off, and the statistics are up to date.
const piles = `
CREATE TABLE piles (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
CREATE TABLE parts (id int PRIMARY KEY) WITH (autovacuum_enabled = off);
INSERT INTO piles SELECT generate_series(1, 1000);
INSERT INTO parts SELECT generate_series(1, 1000);
DELETE FROM piles WHERE id <= 200;
DELETE FROM parts WHERE id <= 5;
ANALYZE`

// fixture is a database after a run, with what its vacuums need.
type fixture struct {
	*dbtest.DB
	t      *testing.T
	config vacuum.Config
	log    bytes.Buffer
	stop   context.CancelFunc
}

func prepare(t *testing.T, schema string, change ...func(*pgxpool.Config)) *fixture {
	t.Helper()
	w := &fixture{DB: dbtest.New(t, "SELECT 1"), t: t}
	since := w.Text(t, `SELECT now()::text`)
	w.Exec(t, schema)
	change = append(change, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec })
	stopping, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	w.stop = stop
	w.config = vacuum.Config{
		Pool: w.Pool(t, change...), Log: slog.New(slog.NewTextHandler(&w.log, nil)), Since: since, Timeout: time.Minute, Stopping: stopping,
		MaxWait: time.Minute, Role: "reaper", Version: w.Int(t, `SELECT current_setting('server_version_num')::int`),
	}
	return w
}

// deleted returns a table from which the run deleted that many rows.
func (w *fixture) deleted(table string, rows int) vacuum.Target {
	w.t.Helper()
	return vacuum.Target{OID: uint32(w.Int(w.t, `SELECT $1::text::regclass::oid::bigint`, table)), Policy: "a policy", Deleted: int64(rows)}
}

// vacuums checks that Run vacuums exactly these tables, in this order.
func (w *fixture) vacuums(targets []vacuum.Target, want ...string) {
	w.t.Helper()
	var got []string
	for _, t := range vacuum.Run(w.t.Context(), w.config, targets) {
		got = append(got, t.Name.String())
	}
	if diff := cmp.Diff(want, got); diff != "" {
		w.t.Errorf("vacuumed (-want +got):\n%s\n%s", diff, &w.log)
	}
	slices.Sort(got)
	counted := w.Texts(w.t, `SELECT schemaname || '.' || relname FROM pg_stat_user_tables WHERE vacuum_count = 1 ORDER BY 1`)
	if !slices.Equal(counted, got) {
		w.t.Errorf("the server has vacuumed %q, Run says %q", counted, got)
	}
}

// logs checks that the log contains all words.
func (w *fixture) logs(words ...string) {
	w.t.Helper()
	for _, word := range words {
		if !strings.Contains(w.log.String(), word) {
			w.t.Errorf("the log does not say %q:\n%s", word, &w.log)
		}
	}
}

// session opens a connection other than the run's.
func (w *fixture) session() func(sql string) {
	w.t.Helper()
	conn, err := pgx.Connect(w.t.Context(), w.DSN())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(w.t.Context())) })
	return func(sql string) {
		if _, err := conn.Exec(context.WithoutCancel(w.t.Context()), sql); err != nil {
			w.t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestRun_MostDeadRowsFirst(t *testing.T) {
	t.Parallel()
	w := prepare(t, piles)
	few := w.deleted("parts", 5)
	few.Always = true
	w.vacuums([]vacuum.Target{few, w.deleted("piles", 200)}, "public.piles", "public.parts")
	w.logs("level=INFO msg=vacuumed table=public.piles rows=200")
}

func TestRun_LittleDeleted(t *testing.T) {
	t.Parallel()
	w := prepare(t, piles)
	w.vacuums([]vacuum.Target{w.deleted("parts", 5)})
	if w.log.Len() > 0 {
		t.Errorf("it logs:\n%s", &w.log)
	}
}

// Of a partitioned table, whose rows are counted as a whole, only the partitions that lost
// much are vacuumed.
func TestRun_Partitions(t *testing.T) {
	t.Parallel()
	w := prepare(t, `
		CREATE TABLE piles (id int) PARTITION BY RANGE (id);
		CREATE TABLE piles_old PARTITION OF piles FOR VALUES FROM (MINVALUE) TO (41) WITH (autovacuum_enabled = off);
		CREATE TABLE piles_new PARTITION OF piles FOR VALUES FROM (41) TO (MAXVALUE) WITH (autovacuum_enabled = off);
		INSERT INTO piles SELECT generate_series(1, 1000)`)
	if w.config.Version < 150000 {
		t.Skip("PostgreSQL 14 counts dead rows late")
	}
	if _, err := w.config.Pool.Exec(t.Context(), `DELETE FROM piles WHERE id <= 40`); err != nil {
		t.Fatal(err)
	}
	old, young := w.deleted("piles_old", 40), w.deleted("piles_new", 40)
	old.Whole, young.Whole = true, true
	w.vacuums([]vacuum.Target{old, young}, "public.piles_old")
}

// A locked table is skipped without waiting.
func TestRun_LockedTable(t *testing.T) {
	t.Parallel()
	w := prepare(t, piles)
	other := w.session()
	other(`BEGIN; LOCK TABLE piles IN SHARE UPDATE EXCLUSIVE MODE`) // as autovacuum's
	w.vacuums([]vacuum.Target{w.deleted("piles", 200)})
	other(`ROLLBACK`)
	w.logs("level=INFO", "not vacuumed: another session, perhaps autovacuum, has locked the table", "public.piles")
}

// Tables that the role may not vacuum are reported in one warning, with the remedy.
func TestRun_RoleThatMayNot(t *testing.T) {
	t.Parallel()
	w := prepare(t, piles)
	w.config.Role = w.Role(t, "reaper")
	pool, err := pgxpool.New(t.Context(), w.As(w.config.Role))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	w.config.Pool = pool
	few := w.deleted("parts", 5)
	few.Always = true
	w.vacuums([]vacuum.Target{w.deleted("piles", 200), few})
	if got := strings.Count(w.log.String(), "level=WARN"); got != 1 {
		t.Errorf("%d warnings, want one", got)
	}
	w.logs("this role may not vacuum these tables", "piles", "parts", "run as their owner")
}

// A stopping run begins no vacuum.
func TestRun_Stopped(t *testing.T) {
	t.Parallel()
	w := prepare(t, piles)
	w.stop()
	w.vacuums([]vacuum.Target{w.deleted("piles", 200)})
	w.logs("level=INFO", "not vacuumed", "the run is stopping")
}

// slow makes vacuums take minutes.
func slow(c *pgxpool.Config) {
	c.ConnConfig.RuntimeParams["vacuum_cost_delay"] = "100"
	c.ConnConfig.RuntimeParams["vacuum_cost_limit"] = "1"
}

// underWay calls back once, when a vacuum is sent.
type underWay func()

func (u *underWay) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if call := *u; call != nil && strings.HasPrefix(q.SQL, "VACUUM (") {
		*u = nil
		call()
	}
	return ctx
}

func (u *underWay) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// await polls until a vacuum is running in the database, or none is.
func (w *fixture) await(runs bool) {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
		if w.Bool(w.t, `SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE datname = current_database())`) == runs {
			return
		}
	}
	w.t.Errorf("no vacuum that runs: %t", runs)
}

// A vacuum ends at once when it times out, when the run is stopping, when another session
// waits for the table, and when a guard objects.
func TestRun_EndsEarly(t *testing.T) {
	for _, c := range []struct {
		name, level string
		arrange     func(w *fixture)
		meanwhile   func(w *fixture)
	}{
		{"its time is used up", "level=WARN", func(w *fixture) { w.config.Timeout = 100 * time.Millisecond }, nil},
		{"the run is stopping", "level=INFO", nil, func(w *fixture) { w.stop() }},
		{"another session is waiting for the table", "level=WARN", nil, func(w *fixture) { w.session()(`ALTER TABLE piles ADD more int`) }},
		{"the guard wal_backlog: it is full", "level=WARN", func(w *fixture) { w.config.Guard = newGuard() }, func(w *fixture) {
			w.config.Guard.(*guard).set(&vacuum.Objection{Reason: "wal_backlog: it is full"})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var others sync.WaitGroup
			defer others.Wait()
			var w *fixture
			sent := underWay(func() {
				if c.meanwhile != nil {
					others.Go(func() { w.await(true); c.meanwhile(w) })
				}
			})
			w = prepare(t, piles, slow, func(p *pgxpool.Config) { p.ConnConfig.Tracer = &sent })
			// Hundreds of pages, with a pause for each.
			w.Exec(t, `INSERT INTO piles SELECT generate_series(1001, 1500);
				ALTER TABLE piles ADD pad text; UPDATE piles SET pad = repeat('x', 3000), id = id + 10000 WHERE id > 500; ANALYZE`)
			if c.arrange != nil {
				c.arrange(w)
			}
			w.vacuums([]vacuum.Target{w.deleted("piles", 1000)})
			w.logs("vacuum ended early", c.name, c.level)
			w.config.Pool.Close() // as the program does before it exits
			w.await(false)
		})
	}
}

// guard is a Guard controlled by a test.
type guard struct {
	mu          sync.Mutex
	objection   *vacuum.Objection
	changed     chan struct{}
	wrote       int64
	checkpoints int
	asked       func() // called for a checkpoint; may be nil
}

func newGuard() *guard { return &guard{changed: make(chan struct{})} }

func (g *guard) set(o *vacuum.Objection) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.objection = o
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *guard) Objection(string) *vacuum.Objection {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.objection
}

func (g *guard) Changed() <-chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.changed
}

func (g *guard) Wrote(wal int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.wrote += wal
}

func (g *guard) AskCheckpoint(context.Context, string) {
	g.mu.Lock()
	g.checkpoints++
	g.mu.Unlock()
	if g.asked != nil {
		g.asked()
	}
}

// No vacuum begins while a guard objects. It waits only for what a checkpoint frees, for all
// tables together.
func TestRun_Guarded(t *testing.T) {
	for _, c := range []struct {
		name        string
		objection   *vacuum.Objection
		freed       bool // by a checkpoint
		want        []string
		checkpoints int
	}{
		{"nothing against it", nil, false, []string{"public.piles", "public.parts"}, 0},
		{"one that stays", &vacuum.Objection{Reason: "storage: full"}, false, nil, 0},
		{"one that a checkpoint ends", &vacuum.Objection{Reason: "storage: full", Passing: true}, true, []string{"public.piles", "public.parts"}, 1},
		{"one that no checkpoint ends", &vacuum.Objection{Reason: "storage: full", Passing: true}, false, nil, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := prepare(t, piles)
			g := newGuard()
			g.objection = c.objection
			if c.freed {
				g.asked = func() { g.set(nil) }
			} else {
				w.config.MaxWait = 50 * time.Millisecond
			}
			w.config.Guard = g
			few := w.deleted("parts", 5)
			few.Always = true
			w.vacuums([]vacuum.Target{w.deleted("piles", 200), few}, c.want...)
			if g.checkpoints != c.checkpoints {
				t.Errorf("%d checkpoints were requested, want %d", g.checkpoints, c.checkpoints)
			}
			if (g.wrote > 0) != (c.want != nil) {
				t.Errorf("the guard was told of %d bytes of WAL", g.wrote)
			}
			if c.want == nil {
				w.logs("level=WARN", "not vacuumed", "the guard storage: full")
			}
		})
	}
}
