package ledger_test

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/ledger"
)

// fixture is a ledger in a database of its own.
type fixture struct {
	*ledger.Ledger
	*dbtest.DB
	t    *testing.T
	pool *pgxpool.Pool
}

func open(t *testing.T, retention time.Duration) *fixture {
	t.Helper()
	db := dbtest.New(t)
	b := &fixture{Ledger: ledger.New(ledger.DefaultSchema, retention), DB: db, t: t, pool: connect(t, db)}
	if _, err := b.Migrate(t.Context(), b.pool); err != nil {
		t.Fatal(err)
	}
	return b
}

// connect opens a pool like reaper's, without prepared statements.
func connect(t *testing.T, db *dbtest.DB, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	return db.Pool(t, append(change, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec })...)
}

func (b *fixture) do(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *fixture) begin(policy string) string {
	b.t.Helper()
	id := uuid.NewString()
	b.do(b.OpenRun(b.t.Context(), b.pool, id, policy, "manual", "2026-01-01 00:00:00+00"))
	return id
}

func (b *fixture) batch(id, policy string, seq int64, tenant string, rows, nullified map[string]int64) {
	b.t.Helper()
	key := &tenant
	if tenant == "" {
		key = nil
	}
	b.do(pgx.BeginFunc(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		row := &pgx.Batch{}
		if err := b.RecordBatch(row, id, policy, seq, []*string{key}, []map[string]int64{rows}, []map[string]int64{nullified}); err != nil {
			return err
		}
		return tx.SendBatch(b.t.Context(), row).Close()
	}))
}

func (b *fixture) end(id, policy, status string, success bool) {
	b.t.Helper()
	if ours, err := b.CloseRun(b.t.Context(), b.pool, id, policy, status, "why", 99, success); !ours || err != nil {
		b.t.Fatalf("closing run %s: %t, %v", id, ours, err)
	}
}

func (b *fixture) fix(id string, cutoffs [][]any) {
	b.t.Helper()
	n, err := b.FixCutoffs(b.t.Context(), b.pool, id, "mails", pgx.CopyFromRows(cutoffs))
	if err != nil || n != int64(len(cutoffs)) {
		b.t.Fatalf("%d cutoffs (%v), want %d", n, err, len(cutoffs))
	}
}

func (b *fixture) lines(want string, query string) {
	b.t.Helper()
	got := strings.Join(b.Texts(b.t, query), "\n")
	if diff := cmp.Diff(strings.TrimSpace(want), got); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", query, diff)
	}
}

// The views are public: these columns, in this order, with these types.
func TestViewsAreAsPromised(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	b.lines(`
deletions: run_id uuid, policy text, tenant text, table_name text, rows bigint, rows_nullified bigint
events: id bigint, at timestamp with time zone, kind text, policy text, tenant text, run_id uuid, data jsonb
runs: run_id uuid, policy text, trigger text, status text, reason text, started_at timestamp with time zone, finished_at timestamp with time zone, cutoff_base timestamp with time zone, rows_total bigint, batches bigint, wal_bytes bigint`,
		`SELECT c.relname || ': ' || string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' ORDER BY a.attnum)
		   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 WHERE c.relkind = 'v' AND c.relnamespace = 'reaper'::regnamespace GROUP BY c.relname ORDER BY 1`)
}

// Sums are the same while a run is open and after it is closed and folded.
func TestRunsAndDeletions(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	id := b.begin("mails")
	b.batch(id, "mails", 1, "1", map[string]int64{"public.mails": 10, "public.parts": 30}, nil)
	b.batch(id, "mails", 2, "1", map[string]int64{"public.mails": 5}, map[string]int64{"public.parts": 2})
	b.batch(id, "mails", 4, "", map[string]int64{`public."odd"`: 1}, map[string]int64{})
	const deletions = `SELECT concat_ws(' ', coalesce(tenant, 'null'), table_name, rows, rows_nullified) FROM reaper.deletions ORDER BY tenant, table_name`
	const sums = `
1 public.mails 15 0
1 public.parts 30 2
null public."odd" 1 0`
	const runs = `SELECT concat_ws(' ', policy, trigger, status, reason, finished_at IS NOT NULL, cutoff_base AT TIME ZONE 'UTC', rows_total, batches, wal_bytes) FROM reaper.runs ORDER BY started_at`
	b.lines(sums, deletions)
	b.lines(`mails manual running  f 2026-01-01 00:00:00 46 3 0`, runs)
	b.end(id, "mails", "complete", true)
	b.lines(sums, deletions)
	b.lines(`mails manual complete why t 2026-01-01 00:00:00 46 3 99`, runs)
	b.lines("0", `SELECT count(*)::text FROM reaper.batch`)
	// A closed run stays closed: repeating the call changes nothing, and a different
	// outcome is refused.
	b.end(id, "mails", "complete", true)
	if ours, err := b.CloseRun(t.Context(), b.pool, id, "mails", "failed", "why", 99, false); ours || err != nil {
		t.Errorf("closing it once more, as failed: %t, %v", ours, err)
	}
	b.lines(`mails manual complete why t 2026-01-01 00:00:00 46 3 99`, runs)
	b.lines(sums, deletions)
	// A late batch of a run that was taken for dead is not lost.
	b.batch(id, "mails", 5, "1", map[string]int64{"public.mails": 1}, nil)
	b.lines(`mails manual complete why t 2026-01-01 00:00:00 47 4 99`, runs)
	b.lines("16", `SELECT sum(rows)::text FROM reaper.deletions WHERE table_name = 'public.mails'`)
}

// The cutoffs of a run are kept until it is closed, in the given order; a repeated call
// replaces them.
func TestFixCutoffs(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	id := b.begin("mails")
	other := b.begin("mails")
	for range 2 {
		for _, run := range []string{id, other} {
			n, err := b.FixCutoffs(t.Context(), b.pool, run, "mails", pgx.CopyFromRows([][]any{
				{"b", "2026-01-01 00:00:00+00"}, {"a", "1970-01-01 00:00:00.000001+00"},
			}))
			if err != nil || n != 2 {
				t.Errorf("%d cutoffs (%v), want 2", n, err)
			}
		}
	}
	cutoffs := `SELECT concat_ws(' ', rank, tenant, cutoff AT TIME ZONE 'UTC') FROM ` + b.Cutoffs() + ` WHERE run_id = '` + id + `' AND policy = 'mails' ORDER BY rank`
	b.lines("1 b 2026-01-01 00:00:00\n2 a 1970-01-01 00:00:00.000001", cutoffs)
	b.end(id, "mails", "complete", true)
	b.lines("", cutoffs)
	b.lines("2", `SELECT count(*)::text FROM `+b.Cutoffs())
}

// Only a batch's own row proves that it committed.
func TestBatchCommitted(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	id := b.begin("mails")
	b.batch(id, "mails", 1, "1", map[string]int64{"t": 1}, nil)
	for seq, want := range map[int64]bool{1: true, 2: false} {
		b.do(pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			there, err := b.BatchCommitted(t.Context(), tx, id, "mails", seq)
			if there != want {
				t.Errorf("batch %d there %t, want %t", seq, there, want)
			}
			return err
		}))
	}
	// Opening a run again after a lost connection changes nothing.
	b.do(b.OpenRun(t.Context(), b.pool, id, "mails", "manual", "2026-01-01 00:00:00+00"))
	b.lines("1", `SELECT count(*)::text FROM reaper.runs`)
	n, err := b.DoneTenants(t.Context(), b.pool, id, "mails", []string{})
	if err != nil || n != 1 {
		t.Errorf("%d tenants done (%v), want 1", n, err)
	}
}

// A run whose lease has expired is closed by the policy's next run; a renewed one, and
// those of other policies, are not.
func TestDeadRunsAreClosed(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	dead, alive, other := b.begin("mails"), b.begin("mails"), b.begin("other")
	b.batch(dead, "mails", 1, "1", map[string]int64{"t": 7}, nil)
	b.Exec(t, `UPDATE reaper.run SET lease_until = now() - interval '1 second'`)
	b.do(b.KeepAlive(t.Context(), b.pool, alive))
	b.begin("mails")
	status := func(id, want string) {
		t.Helper()
		b.lines(want, `SELECT trim(concat_ws(' ', status, rows_total, reason)) FROM reaper.runs WHERE run_id = '`+id+`'`)
	}
	status(dead, "failed 7 the process ended without closing the run")
	status(alive, "running 0")
	status(other, "running 0")
}

// Closing commits synchronously whatever the role's default.
func TestCloseRunIsDurable(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	b.Exec(t, `CREATE TABLE public.seen (setting text);
		CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
		CREATE CONSTRAINT TRIGGER look AFTER UPDATE ON reaper.run DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION look();
		ALTER DATABASE `+b.Name()+` SET synchronous_commit = off`)
	b.pool = connect(t, b.DB)
	b.end(b.begin("mails"), "mails", "complete", true)
	b.lines("on", `SELECT setting FROM seen`)
}

// The ledger deletes runs past its retention, except each policy's last success and
// running ones. Without a retention it keeps everything.
func TestRetention(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		retention time.Duration
		left      string
	}{
		{24 * time.Hour, "new failed, new ok, old ok, other ok, running"},
		{0, "new failed, new ok, old failed, old ok, older ok, other ok, running"},
	} {
		b := open(t, c.retention)
		for _, r := range []struct {
			name, policy, status string
			days                 int
		}{
			{"older ok", "mails", "complete", 9},
			{"old failed", "mails", "failed", 8},
			{"old ok", "mails", "complete", 7},
			{"new failed", "mails", "failed", 0},
			{"other ok", "other", "complete", 9},
			{"running", "mails", "running", 9},
		} {
			id := b.begin(r.policy)
			b.batch(id, r.policy, 1, "1", map[string]int64{"t": 1}, nil)
			if r.status != "running" {
				b.end(id, r.policy, r.status, r.status == "complete")
			}
			b.Exec(t, `UPDATE reaper.run SET trigger = $2, started_at = now() - make_interval(days => $3), finished_at = finished_at - make_interval(days => $3),
				lease_until = now() + interval '1 hour' WHERE run_id = $1::text::uuid`, id, r.name, r.days)
		}
		// The newest success does not exist yet, so the old one is the last.
		last := b.begin("mails")
		b.Exec(t, `UPDATE reaper.run SET trigger = 'new ok' WHERE run_id = $1::text::uuid`, last)
		b.end(last, "mails", "incomplete", false)
		b.lines(c.left, `SELECT string_agg(trigger, ', ' ORDER BY trigger) FROM reaper.runs`)
		b.lines("0", `SELECT count(*)::text FROM reaper.deletion d WHERE NOT EXISTS (SELECT FROM reaper.run r WHERE r.run_id = d.run_id)`)
	}
}

// The newest run, and the end of the last success.
func TestLast(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	if h := b.history(); h.Last != nil || h.Success != nil || len(h.Runs) > 0 {
		t.Errorf("before any run: %+v", h)
	}
	b.end(b.begin("mails"), "mails", "complete", true)
	b.end(b.begin("mails"), "mails", "complete", false) // narrowed
	b.end(b.begin("mails"), "mails", "failed", false)
	h := b.history()
	if h.Last == nil || h.Last.Status != "failed" || h.Last.FinishedAt == nil || h.Success == nil || !h.Success.Before(*h.Last.FinishedAt) {
		t.Errorf("%+v", h)
	}
	if len(h.Runs) != 3 || h.Runs[0].Status != "failed" || h.Runs[1].Success || !h.Runs[2].Success {
		t.Errorf("%+v", h.Runs)
	}
	if h.Failure == nil || h.Failure.RunID != h.Runs[1].RunID {
		t.Errorf("the first failure since the success is %+v, want that of %s", h.Failure, h.Runs[1].RunID)
	}
	all, err := b.Histories(t.Context(), b.pool, []string{"mails"}, 1, "manual")
	if err != nil || all["mails"].Failure != nil {
		t.Errorf("without runs by hand: %+v (%v)", all["mails"].Failure, err)
	}
	run := b.begin("mails")
	b.batch(run, "mails", 1, "1", map[string]int64{"t": 1}, map[string]int64{"t": 2, "u": 3})
	if h := b.history(); h.Last.Status != "running" || len(h.Runs) != 3 || h.Last.RowsNullified != 5 {
		t.Errorf("with a run under way: %+v", h)
	}
	one, other := "1", "2"
	row := &pgx.Batch{}
	b.do(b.RecordBatch(row, run, "mails", 2, []*string{&one, &other}, []map[string]int64{{"t": 1}, {}}, []map[string]int64{{"u": 7}, {"t": 4}}))
	b.do(b.pool.SendBatch(t.Context(), row).Close())
	if h := b.history(); h.Last.RowsNullified != 16 {
		t.Errorf("with a batch of two tenants: %d rows emptied, want 16", h.Last.RowsNullified)
	}
}

func (b *fixture) history() *ledger.History {
	b.t.Helper()
	all, err := b.Histories(b.t.Context(), b.pool, []string{"mails"}, 10)
	if err != nil {
		b.t.Fatal(err)
	}
	return all["mails"]
}

// Migrating again, and from many processes at once, creates one ledger.
func TestMigrate(t *testing.T) {
	t.Parallel()
	for _, schema := range []string{"reaper", "Odd Schema", `say "hi"`, `it's.odd`, "$$", "{{schema}}"} {
		t.Run(schema, func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t)
			l := ledger.New(schema, time.Hour)
			pool := connect(t, db)
			if needs, err := l.NeedsMigration(t.Context(), pool); !needs || err != nil {
				t.Errorf("an empty database needs a migration: %t, %v", needs, err)
			}
			var mu sync.Mutex
			var all []int
			var processes sync.WaitGroup
			for range 4 {
				processes.Go(func() {
					applied, err := l.Migrate(t.Context(), pool)
					mu.Lock()
					defer mu.Unlock()
					all = append(all, applied...)
					if err != nil {
						t.Error(err)
					}
				})
			}
			processes.Wait()
			if again, err := l.Migrate(t.Context(), pool); len(again) != 0 || err != nil {
				t.Errorf("again: %v, %v", again, err)
			}
			for i, v := range all {
				if v != i+1 {
					t.Errorf("applied %v, each version once", all)
				}
			}
			if needs, err := l.NeedsMigration(t.Context(), pool); needs || err != nil {
				t.Errorf("it still needs a migration: %t, %v", needs, err)
			}
			b := &fixture{Ledger: l, DB: db, t: t, pool: pool}
			id := b.begin("mails")
			b.batch(id, "mails", 1, "1", map[string]int64{"t": 1}, nil)
			b.end(id, "mails", "complete", true)
			if h := b.history(); h.Last.RowsTotal != 1 {
				t.Errorf("%+v", h.Last)
			}
			db.Exec(t, `INSERT INTO `+pgx.Identifier{schema, "schema_version"}.Sanitize()+` VALUES (1000)`)
			if _, err := l.NeedsMigration(t.Context(), pool); !errors.Is(err, ledger.ErrNewer) {
				t.Errorf("a newer ledger: %v", err)
			}
			if _, err := l.Migrate(t.Context(), pool); !errors.Is(err, ledger.ErrNewer) {
				t.Errorf("migrating a newer ledger: %v", err)
			}
		})
	}
}

// The SQL printed for a DBA creates the same ledger.
func TestPrint(t *testing.T) {
	t.Parallel()
	l := ledger.New(`Odd "one"`, 0)
	sql, err := l.Print()
	if err != nil {
		t.Fatal(err)
	}
	db := dbtest.New(t)
	db.Exec(t, sql)
	if needs, err := l.NeedsMigration(t.Context(), connect(t, db)); needs || err != nil {
		t.Errorf("after the printed SQL it needs a migration: %t, %v", needs, err)
	}
}

// A role that may not create the ledger is told how to proceed; with the ledger's grants
// it can do everything a run needs.
func TestPrivileges(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	role := db.Role(t, "r")
	as := func(c *pgxpool.Config) { c.ConnConfig.User = role }
	l := ledger.New("reaper", time.Second)
	pool := connect(t, db, as)
	var privilege *ledger.PrivilegeError
	if _, err := l.Migrate(t.Context(), pool); !errors.As(err, &privilege) || !strings.Contains(err.Error(), "reaper migrate --print") {
		t.Errorf("migrating without privilege: %v", err)
	}
	if _, err := l.Migrate(t.Context(), connect(t, db)); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, strings.Join(l.Grants(role), "\n"))
	if applied, err := l.Migrate(t.Context(), pool); len(applied) != 0 || err != nil {
		t.Errorf("migrating what is up to date: %v, %v", applied, err)
	}
	b := &fixture{Ledger: l, DB: db, t: t, pool: pool}
	for range 3 {
		id := b.begin("mails")
		b.batch(id, "mails", 1, "1", map[string]int64{"t": 1}, map[string]int64{"u": 1})
		b.do(b.KeepAlive(t.Context(), pool, id))
		b.end(id, "mails", "complete", true)
	}
	id := b.begin("mails")
	b.detach(id, 1)
	b.forget(1, true)
	b.Exec(t, `UPDATE reaper.run SET lease_until = now() - interval '1 second' WHERE run_id = $1::text::uuid`, id)
	b.begin("mails")
	b.history()
	b.lines("failed", `SELECT status FROM reaper.runs WHERE run_id = '`+id+`'`)
}

// A role learns exactly which grants it lacks on a ledger that another role upgraded.
func TestLacks(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	name := db.Role(t, "r")
	role := pgx.Identifier{name}.Sanitize()
	l := ledger.New(`Odd "one"`, 0)
	pool := connect(t, db, func(c *pgxpool.Config) { c.ConnConfig.User = name })
	lacks := func(when string, want ...string) {
		t.Helper()
		got, err := l.Lacks(t.Context(), pool)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: it lacks %q, %v; want %q", when, got, err, want)
		}
		var missing *ledger.GrantsError
		if err := l.Usable(t.Context(), pool); errors.As(err, &missing) != (len(want) > 0) || len(want) > 0 && !strings.HasSuffix(err.Error(), strings.Join(want, " ")) {
			t.Errorf("%s: usable: %v", when, err)
		}
	}
	lacks("no ledger")
	if _, err := l.Migrate(t.Context(), connect(t, db)); err != nil {
		t.Fatal(err)
	}
	lacks("no grant", l.Grants(name)...)
	db.Exec(t, strings.Join(l.Grants(name), "\n"))
	lacks("all grants")
	const schema = `"Odd ""one"""`
	db.Exec(t, `REVOKE ALL ON `+schema+`.throttle, `+schema+`.size FROM `+role+`; REVOKE INSERT ON `+schema+`.cutoff FROM `+role)
	lacks("an upgrade",
		`GRANT SELECT, INSERT, DELETE ON `+schema+`.cutoff TO `+role+`;`,
		`GRANT SELECT, INSERT, UPDATE, DELETE ON `+schema+`.throttle TO `+role+`;`,
		`GRANT SELECT, INSERT, DELETE ON `+schema+`.size TO `+role+`;`)
	db.Exec(t, strings.Join(l.Grants(name), "\n")+`REVOKE ALL ON `+schema+`.size FROM `+role)
	lacks("sizes alone")
	if got, err := l.LacksSizes(t.Context(), pool); err != nil || len(got) != 1 || !strings.Contains(got[0], ".size TO") {
		t.Errorf("sizes alone: %q, %v", got, err)
	}
	db.Exec(t, strings.Join(l.Grants(name), "\n")+`REVOKE USAGE ON SCHEMA `+schema+` FROM `+role)
	lacks("the schema", `GRANT USAGE ON SCHEMA `+schema+` TO `+role+`;`)
}
