package purge_test

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// piles has 1000 rows, of which 200 are expired, and 1000 parts, of which 5 depend on expired
// ones. Autovacuum is off, and statistics are complete: a session's inserts are counted up to a
// second later.
const piles = `
CREATE TABLE piles (id int PRIMARY KEY, at timestamptz NOT NULL) WITH (autovacuum_enabled = off);
CREATE INDEX ON piles (at, id);
CREATE TABLE parts (id int PRIMARY KEY, pile int NOT NULL REFERENCES piles ON DELETE CASCADE) WITH (autovacuum_enabled = off);
CREATE INDEX ON parts (pile);
INSERT INTO piles SELECT n, now() - CASE WHEN n <= 200 THEN interval '40 days' ELSE interval '1 day' END FROM generate_series(1, 1000) n;
INSERT INTO parts SELECT n, CASE WHEN n <= 5 THEN n ELSE 500 END FROM generate_series(1, 1000) n;
ANALYZE`

const pilesPolicy = `
policies:
  - {name: piles, table: piles, age: at, tenant: none, retention: 30d, limits: {rows: 50}}`

func pilesWith(vacuum string) string {
	return strings.Replace(pilesPolicy, "age: at,", "age: at, vacuum: "+vacuum+",", 1)
}

// vacuums returns how often each table was vacuumed manually.
func (b *bed) vacuums() map[string]int {
	b.t.Helper()
	counts := map[string]int{}
	for _, line := range b.Texts(b.t, `SELECT relname || '=' || vacuum_count FROM pg_stat_user_tables WHERE schemaname = 'public' AND vacuum_count > 0`) {
		table, n, _ := strings.Cut(line, "=")
		counts[table] = number(b.t, n)
	}
	return counts
}

// vacuumed wants the only policy to have vacuumed these tables.
func (o *outcome) vacuumed(want ...string) {
	o.bed.t.Helper()
	if got := o.one().Vacuumed; got == nil || !slices.Equal(got, want) {
		o.bed.t.Errorf("vacuumed %#v, want %q", got, want)
	}
}

// logs is the log of the run.
func (b *bed) logs() *bytes.Buffer {
	var log bytes.Buffer
	b.runner.Log = slog.New(slog.NewTextHandler(&log, nil))
	return &log
}

func TestVacuum_WhichTables(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, policy string
		want         []string
	}{
		{"the default", pilesPolicy, []string{"public.piles"}},
		{"auto", pilesWith("auto"), []string{"public.piles"}},
		{"auto, a tenth", strings.Replace(pilesPolicy, "age: at,", "age: at, where: id <= 100,", 1), nil},
		{"always", pilesWith("always"), []string{"public.piles", "public.parts"}},
		{"never", pilesWith("never"), nil},
		{"always, nothing due", strings.Replace(pilesWith("always"), "30d", "300d", 1), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, piles, c.policy)
			b.purge().complete().vacuumed(c.want...)
			want := map[string]int{}
			for _, name := range c.want {
				want[strings.TrimPrefix(name, "public.")] = 1
			}
			if diff := cmp.Diff(want, b.vacuums()); diff != "" {
				t.Errorf("vacuums (-want +got):\n%s", diff)
			}
			if c.want != nil && b.Int(t, `SELECT current_setting('server_version_num')::int`) >= 150000 { // 14 counts late
				b.count(`SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = 'piles'`, 0)
			}
		})
	}
}

// A vacuum during the run has already removed the rows that were dead by then.
func TestVacuum_AfterAutovacuum(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name   string
		came   int // after this many batches of 50 rows
		vacuum []string
	}{
		{"that came late", 4, nil},
		{"that came early", 1, []string{"public.piles"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if ground.Int(t, `SELECT current_setting('server_version_num')::int`) < 150000 {
				t.Skip("PostgreSQL 14 counts dead rows late")
			}
			b := ground.on(t, piles, pilesPolicy)
			other := b.session()
			batches := 0
			b.runner.Observer = watcher{batch: func(purge.BatchEvent) {
				if batches++; batches == c.came {
					// A session's counts arrive up to a second after a vacuum.
					for _, conn := range b.pool.AcquireAllIdle(t.Context()) {
						_, err := conn.Exec(t.Context(), `SELECT pg_stat_force_next_flush()`)
						conn.Release()
						if err != nil {
							t.Error(err)
						}
					}
					other.do(`VACUUM piles`)
				}
			}}
			b.purge().complete().vacuumed(c.vacuum...)
		})
	}
}

// Only those partitions of a partitioned table are vacuumed that lost many rows.
func TestVacuum_Partitions(t *testing.T) {
	t.Parallel()
	b := prepare(t, `
		CREATE TABLE piles (id int, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE INDEX ON piles (at, id);
		CREATE TABLE piles_old PARTITION OF piles FOR VALUES FROM (MINVALUE) TO ('2020-01-01') PARTITION BY HASH (id);
		CREATE TABLE piles_odd PARTITION OF piles_old FOR VALUES WITH (MODULUS 2, REMAINDER 0) WITH (autovacuum_enabled = off);
		CREATE TABLE piles_even PARTITION OF piles_old FOR VALUES WITH (MODULUS 2, REMAINDER 1) WITH (autovacuum_enabled = off);
		CREATE TABLE piles_new PARTITION OF piles FOR VALUES FROM ('2020-01-01') TO (MAXVALUE) WITH (autovacuum_enabled = off);
		INSERT INTO piles SELECT n, '2019-01-01' FROM generate_series(1, 40) n;
		INSERT INTO piles SELECT n, now() FROM generate_series(1, 1000) n; ANALYZE`, pilesPolicy)
	if b.Int(t, `SELECT current_setting('server_version_num')::int`) < 150000 {
		t.Skip("PostgreSQL 14 counts dead rows late")
	}
	o := b.purge().complete()
	slices.Sort(o.one().Vacuumed)
	o.vacuumed("public.piles_even", "public.piles_odd")
}

// A table of two policies is vacuumed once, if either policy asks for it.
func TestVacuum_TwoPolicies(t *testing.T) {
	t.Parallel()
	b := prepare(t, piles, `
policies:
  - {name: a, table: piles, age: at, tenant: none, retention: 30d, where: id % 2 = 0}
  - {name: b, table: piles, age: at, tenant: none, retention: 30d, where: id % 2 = 1}
  - {name: c, table: parts, age: {column: id, unit: s}, tenant: none, retention: 30d, where: "false", vacuum: never}`)
	b.Exec(t, `UPDATE parts SET id = id + 1700000000`)
	o := b.purge().complete()
	for _, p := range o.Policies[:2] {
		if diff := cmp.Diff([]string{"public.piles"}, p.Vacuumed); diff != "" {
			t.Errorf("policy %s vacuumed (-want +got):\n%s", p.Name, diff)
		}
	}
	if diff := cmp.Diff(map[string]int{"piles": 1}, b.vacuums()); diff != "" {
		t.Errorf("vacuums (-want +got):\n%s", diff)
	}
}

// A role that may not vacuum ends its run as usual, with one warning. check warns if the file
// insists on it.
func TestVacuum_RoleThatMayNot(t *testing.T) {
	t.Parallel()
	b := prepare(t, piles, pilesWith("always"))
	role := b.Role(t, "reaper")
	grants := b.grantsFor(role)
	b.Exec(t, strings.Join(grants, "\n"))
	if p := b.problems(plan.LevelWarning); len(p) > 0 {
		t.Errorf("the owner is told %q", p)
	}
	b.connect(b.As(role))
	log := b.logs()
	b.tells(plan.LevelWarning, "vacuum: always, and role "+role+" may not vacuum", `"public"."piles", "public"."parts"`, "run as their owner")
	b.purge().complete().vacuumed()
	if got := strings.Count(log.String(), "level=WARN"); got != 1 || !containsAll(log.String(), "this role may not", "piles", "parts", "run as their owner") {
		t.Errorf("%d warnings, want one that tells of the role:\n%s", got, log)
	}

	b.policy = pilesPolicy
	for _, p := range b.problems(plan.LevelWarning) {
		if strings.Contains(p, "vacuum") {
			t.Errorf("with vacuum: auto, check says %q", p)
		}
	}

	maintain := slices.ContainsFunc(grants, func(g string) bool { return strings.HasPrefix(g, "-- GRANT MAINTAIN") })
	if has := b.Int(t, `SELECT current_setting('server_version_num')::int`) >= 170000; maintain != has {
		t.Errorf("grants tells of MAINTAIN: %t, want %t: %q", maintain, has, grants)
	}
	if maintain {
		b.Exec(t, strings.ReplaceAll(strings.Join(grants, "\n"), "-- GRANT", "GRANT"))
		b.Exec(t, `INSERT INTO piles SELECT n, now() - interval '40 days' FROM generate_series(1, 200) n`)
		b.again()
		b.purge().complete().vacuumed("public.piles")
	}
}

const vacuumRuns = `SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE datname = current_database())`

// No vacuum begins while a guard pauses, and one waits for a pause that a checkpoint ends: a
// vacuum's WAL fills the disk as a batch's does.
func TestVacuum_Guarded(t *testing.T) {
	full := guard.Advice{State: guard.Pause, Share: 0.1, Guard: "storage", Reason: "9 GB are free", Checkpoint: true}
	dead := guard.Advice{State: guard.Stop, Guard: "dead_rows", Reason: "40 % are dead"}
	for _, c := range []struct {
		name   string
		advice guard.Advice
		behind *guard.Advice
		freed  bool // by a checkpoint
		want   []string
	}{
		{"pause", pause, nil, false, nil},
		{"stop", stop, nil, false, nil},
		{"storage", full, nil, true, []string{"public.piles", "public.parts"}},
		{"storage that does not come back", full, nil, false, nil},
		{"dead rows", dead, nil, false, []string{"public.piles", "public.parts"}},
		{"storage behind dead rows", dead, &full, false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, piles, pilesWith("always"))
			h := newHand()
			if c.freed {
				h.asked = func() { h.set("", goOn) }
			}
			h.behind = c.behind
			b.runner.Guard, b.runner.MaxPause = h, 50*time.Millisecond
			log := b.logs()
			var batches int64
			b.runner.Closed = func(*purge.Report) { batches = h.wrote; h.set("", c.advice) }
			b.purge().complete().vacuumed(c.want...)
			if c.want != nil && h.wrote <= batches {
				t.Error("the guard was not told of the WAL of vacuums")
			}
			against := c.advice
			if c.behind != nil {
				against = *c.behind
			}
			if c.want == nil && !containsAll(log.String(), "not vacuumed", against.Guard+": "+against.Reason) {
				t.Errorf("the log does not name the guard:\n%s", log)
			}
		})
	}
}

// A run that was told to stop begins no vacuum.
func TestVacuum_StoppedRun(t *testing.T) {
	t.Parallel()
	b := prepare(t, piles, pilesWith("always"))
	stopping, stop := context.WithCancel(t.Context())
	b.runner.Stopping = stopping
	b.runner.Observer = watcher{batch: func(purge.BatchEvent) { stop() }}
	b.purge().is(purge.Incomplete, "interrupted").vacuumed()
	if got := b.vacuums(); len(got) > 0 {
		t.Errorf("vacuums %v", got)
	}
}
