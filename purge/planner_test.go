package purge_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// strictTree is a tree that refuses edges without an index.
func strictTree(dependents string) string {
	return strings.Replace(tree(dependents), "unindexed: allow", "unindexed: error", 1)
}

// Tables of 100 001 rows, one above the limit.
const (
	// pairs reference one of 2000 roots by two columns: a has two values, b has 2000.
	pairs = `CREATE TABLE roots (a int, b int, at timestamptz NOT NULL DEFAULT now() - interval '40 days', PRIMARY KEY (a, b));
		CREATE INDEX ON roots (at, a, b); INSERT INTO roots (a, b) SELECT n % 2, n FROM generate_series(0, 1999) n;
		CREATE TABLE parts (id int PRIMARY KEY, a int, b int, text text, FOREIGN KEY (a, b) REFERENCES roots ON DELETE CASCADE);
		INSERT INTO parts SELECT n, n % 2, n % 2000, repeat('x', 40) FROM generate_series(1, 100001) n; `
	// files reference one of 5000 roots without a key; kind has three values.
	files = roots + `INSERT INTO roots SELECT generate_series(1, 5000);
		CREATE TABLE files (id int PRIMARY KEY, kind text, ref int, gone date, text text);
		INSERT INTO files SELECT n, (ARRAY['Email', 'Page', 'Note'])[1 + n % 3], 1 + n % 5000, CASE WHEN n % 2 = 0 THEN date '2020-01-01' END, repeat('x', 40) FROM generate_series(1, 100001) n; `
	emails = `{table: files, match: {ref: id}, where: "kind = 'Email'", action: delete}`
	// months are partitions, of which the first has 10 rows.
	months = roots + `INSERT INTO roots SELECT generate_series(1, 5000);
		CREATE TABLE months (id int, ref int REFERENCES roots ON DELETE CASCADE, PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE months_0 PARTITION OF months FOR VALUES FROM (1) TO (11);
		CREATE TABLE months_1 PARTITION OF months FOR VALUES FROM (11) TO (60000);
		CREATE TABLE months_2 PARTITION OF months FOR VALUES FROM (60000) TO (200000);
		INSERT INTO months SELECT n, 1 + n % 5000 FROM generate_series(1, 100001) n; `
)

// index is the index that the plan names for the edge to a table.
func (b *bed) index(table string) string {
	b.t.Helper()
	v, err := preview.Look(b.t.Context(), b.pool, b.plans()[0], plan.Selection{}, true)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, x := range v.Tables {
		if x.Table == table {
			return x.Index
		}
	}
	return ""
}

// Above 100 000 rows, an edge not served by an index's columns is left to the planner: it
// counts as indexed if the planner finds the rows behind a referenced row for less than a tenth
// of the cost of reading the whole table.
func TestRule_IndexesAsThePlannerSeesThem(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, schema, dependents, table string
		want                            string // the index; empty: refused
		since                           int    // the first version in which PostgreSQL can use it; 0: all
	}{
		{"nothing", pairs, "", "parts", "", 0},
		{"a composite key, one column of many values", pairs + `CREATE INDEX by_b ON parts (b)`, "", "parts", "by_b", 0},
		{"a composite key, one column of two values", pairs + `CREATE INDEX by_a ON parts (a)`, "", "parts", "", 0},
		{"a composite key, a hash of one column", pairs + `CREATE INDEX by_b ON parts USING hash (b)`, "", "parts", "by_b", 0},
		{"a composite key, one column behind another", pairs + `CREATE INDEX by_id ON parts (id, b)`, "", "parts", "", 0},
		{"a hash", files + `CREATE INDEX by_ref ON files USING hash (ref); ALTER TABLE files ADD FOREIGN KEY (ref) REFERENCES roots ON DELETE CASCADE`, "", "files", "by_ref", 0},
		{"a partial index that leaves rows out", files + `CREATE INDEX by_ref ON files (ref) WHERE gone IS NULL; ALTER TABLE files ADD FOREIGN KEY (ref) REFERENCES roots ON DELETE CASCADE`, "", "files", "", 0},
		{"match, nothing", files, emails, "files", "", 0},
		{"match, the kind first", files + `CREATE INDEX by_kind ON files (kind, ref)`, emails, "files", "by_kind", 0},
		{"match, the kind alone", files + `CREATE INDEX by_kind ON files (kind)`, emails, "files", "", 0},
		{"match, the kind first and no where", files + `CREATE INDEX by_kind ON files (kind, ref)`, `{table: files, match: {ref: id}, action: delete}`, "files", "by_kind", 18},
		{"match, a partial index of the kind", files + `CREATE INDEX emails ON files (ref) WHERE kind = 'Email'`, emails, "files", "emails", 0},
		{"match, a partial index of another kind", files + `CREATE INDEX pages ON files (ref) WHERE kind = 'Page'`, emails, "files", "", 0},
		{"match, a partial index that where implies", files + `CREATE INDEX live ON files (ref) WHERE gone IS NULL`, `{table: files, match: {ref: id}, where: "gone IS NULL AND kind <> 'Note'", action: keep}`, "files", "live", 0},
		{"match, a partial hash", files + `CREATE INDEX emails ON files USING hash (ref) WHERE kind = 'Email'`, emails, "files", "emails", 0},
		{"partitions, an index each, of which a small one is read whole", months + `CREATE INDEX ON months_0 (ref); CREATE INDEX ON months_1 (ref); CREATE INDEX ON months_2 (ref)`, "", "months", "2 indexes", 0},
		{"partitions, all but a small one", months + `CREATE INDEX ON months_1 (ref); CREATE INDEX ON months_2 (ref)`, "", "months", "2 indexes", 0},
		{"partitions, all but a large one", months + `CREATE INDEX ON months_0 (ref); CREATE INDEX ON months_2 (ref)`, "", "months", "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, c.schema, strictTree(c.dependents))
			b.Exec(t, `ANALYZE`)
			want := c.want
			if b.Int(t, `SELECT current_setting('server_version_num')::int / 10000`) < c.since {
				want = ""
			}
			if want == "" {
				b.refuses("no index serves", "public."+c.table)
				return
			}
			if got := b.index("public." + c.table); got != want {
				t.Errorf("the plan names %q, want %q", got, want)
			}
		})
	}
}

// Without statistics the planner assumes 200 distinct values per column: in a table of wide
// rows it would accept an index on two columns.
func TestRule_IndexesWithoutStatistics(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	unanalyzed := func(schema string) string {
		return strings.Replace(schema, "ON DELETE CASCADE)", "ON DELETE CASCADE) WITH (autovacuum_enabled = off)", 1)
	}
	wide := unanalyzed(strings.Replace(pairs, "repeat('x', 40)", "repeat('x', 1500)", 1))
	for _, c := range []struct {
		name, schema string
		want         string // the index once there are statistics; empty: refused
	}{
		{"never vacuumed", unanalyzed(pairs) + `CREATE INDEX by_b ON parts (b); UPDATE pg_class SET reltuples = -1 WHERE oid = 'parts'::regclass`, "by_b"},
		{"counted as its index was created", unanalyzed(pairs) + `CREATE INDEX by_b ON parts (b)`, "by_b"},
		{"two values in wide rows", wide + `CREATE INDEX by_a ON parts (a)`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, c.schema, strictTree(""))
			b.refuses("no index serves", "public.parts has no statistics: after ANALYZE")
			b.Exec(t, `ANALYZE parts`)
			if c.want == "" {
				b.refuses("no index serves", "reads the whole table =>")
			} else if got := b.index("public.parts"); got != c.want {
				t.Errorf("after ANALYZE the plan names %q, want %q", got, c.want)
			}
		})
	}
}

// asked counts how often the planner is asked.
func (b *bed) asked() *int {
	n := new(int)
	b.connect(b.DSN(), func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = argsHook(func(sql string, _ []any) {
			if strings.HasPrefix(sql, "EXPLAIN") {
				*n++
			}
		})
	})
	return n
}

// The planner is not asked about edges that are served anyway, nor about tables of at most 100
// 000 rows, which it would read whole.
func TestRule_ThePlannerIsAskedAboutLargeTablesAlone(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, schema, dependents string
		want                     int
	}{
		{"large, an index in part", pairs + `CREATE INDEX by_b ON parts (b)`, "", 2},
		{"large and served", pairs + `CREATE INDEX ON parts (b, a)`, "", 0},
		{"small", strings.Replace(pairs, "100001", "100000", 1) + `CREATE INDEX by_b ON parts (b)`, "", 0},
		{"two edges of one table", pairs + `ALTER TABLE parts ADD c int REFERENCES parts ON DELETE CASCADE`, "", 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, c.schema, tree(c.dependents))
			b.Exec(t, `ANALYZE`)
			n := b.asked()
			b.plans()
			if *n != c.want {
				t.Errorf("%d statements are explained, want %d", *n, c.want)
			}
		})
	}
	t.Run("a small one with an index in part is a warning", func(t *testing.T) {
		b := ground.on(t, strings.Replace(pairs, "100001", "100000", 1)+`CREATE INDEX by_b ON parts (b)`, strictTree(""))
		b.Exec(t, `ANALYZE`)
		b.tells(plan.LevelWarning, "no index serves", "public.parts")
	})
}

// Neither role settings that restrict the planner's choice of tables or indexes nor missing
// privileges make the answer wrong.
func TestRule_SettingsAndThePlanner(t *testing.T) {
	t.Parallel()
	b := prepare(t, pairs, strictTree(""))
	b.Exec(t, `ANALYZE; ALTER DATABASE `+b.Name()+` SET enable_seqscan = off`)
	b.connect(b.DSN())
	b.refuses("no index serves", "public.parts")
	b.Exec(t, `CREATE INDEX by_a ON parts (a)`)
	b.refuses("no index serves", "public.parts")
	b.Exec(t, `CREATE INDEX by_b ON parts (b)`)
	if got := b.index("public.parts"); got != "by_b" {
		t.Errorf("the plan names %q, want by_b", got)
	}
	role := b.Role(t, "reaper")
	b.Exec(t, strings.Join(b.grantsFor(role), "\n"))
	b.connect(b.As(role))
	if got := b.index("public.parts"); got != "by_b" {
		t.Errorf("with what grants prints the plan names %q, want by_b", got)
	}
	b.Exec(t, `REVOKE SELECT ON parts FROM `+role)
	b.refuses("no index serves", "public.parts")
	b.refuses("lacks SELECT on public.parts")
	b.Exec(t, `GRANT SELECT (id, a, b) ON parts TO `+role)
	b.refuses("no index serves", "public.parts")
}

// Statistics of partitions that the role may not read directly do not matter.
func TestRule_IndexesOfPartitionsAsThePlannerSeesThem(t *testing.T) {
	t.Parallel()
	b := prepare(t, months+`CREATE INDEX ON months_1 (ref); CREATE INDEX ON months_2 (ref)`, strictTree(""))
	b.Exec(t, `ANALYZE`)
	role := b.Role(t, "reaper")
	b.Exec(t, strings.Join(b.grantsFor(role), "\n"))
	b.connect(b.As(role))
	if got := b.index("public.months"); got != "2 indexes" {
		t.Errorf("the plan names %q, want 2 indexes", got)
	}
}

// Batches do what the planner was asked about: none of their statements reads a large table
// whole.
func TestRule_PurgesUseTheIndexesThatCount(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct{ name, schema, dependents, table string }{
		{"composite", pairs + `CREATE INDEX by_b ON parts (b)`, "", "parts"},
		{"composite, walked", strings.Replace(pairs, " ON DELETE CASCADE", "", 1) + `CREATE INDEX by_b ON parts (b)`, "", "parts"},
		{"match", files + `CREATE INDEX by_kind ON files (kind, ref)`, emails, "files"},
		{"match, partial", files + `CREATE INDEX emails ON files (ref) WHERE kind = 'Email'`, strings.Replace(emails, "delete", "keep", 1), "files"},
		{"match, partial hash", files + `CREATE INDEX emails ON files USING hash (ref) WHERE kind = 'Email'`, strings.Replace(emails, "delete", "nullify", 1), "files"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, c.schema+`; UPDATE roots SET at = now() WHERE `+map[string]string{"parts": "b", "files": "id"}[c.table]+` > 3; ANALYZE`, strictTree(c.dependents))
			b.readsNotWhole(c.table)
			b.purge().complete()
		})
	}
}

// readsNotWhole wants no statement of the next purge, and no foreign key check of the table, to
// read a table whole.
func (b *bed) readsNotWhole(table string) {
	b.t.Helper()
	watched := b.session()
	watched.do(`SET random_page_cost = 0.1; SET plan_cache_mode = force_generic_plan`)
	explained := 0
	reads := func(sql string, args ...any) {
		rows, err := watched.Query(b.t.Context(), "EXPLAIN "+sql, args...)
		if err != nil {
			b.t.Errorf("%s: %v", sql, err)
			return
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if p := strings.Join(lines, "\n"); err != nil || strings.Contains(p, "Seq Scan on "+table) {
			b.t.Errorf("%s\n%s\n%v", sql, p, err)
		}
		explained++
	}
	for _, types := range b.Texts(b.t, `SELECT string_agg(format_type(a.atttypid, -1), ', ') || ') AS DELETE FROM ONLY ' || c.conrelid::regclass || ' WHERE ' || string_agg(format('$%s = %I', k.n, a.attname), ' AND ')
		FROM pg_constraint c CROSS JOIN unnest(c.conkey) WITH ORDINALITY k(col, n) JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.col
		WHERE c.contype = 'f' AND c.conrelid = $1::text::regclass GROUP BY c.oid, c.conrelid`, table) {
		watched.do(`DEALLOCATE ALL; PREPARE behind (` + types)
		reads(`EXECUTE behind (` + strings.Repeat("NULL, ", strings.Count(types, "$")-1) + `NULL)`)
	}
	b.connect(b.DSN(), func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = argsHook(func(sql string, args []any) {
			verb, _, _ := strings.Cut(sql, " ")
			if slices.Contains([]string{"SELECT", "WITH", "UPDATE", "DELETE"}, verb) && strings.Contains(sql, `"public"."`+table+`"`) {
				reads(sql, args...)
			}
		})
	})
	b.t.Cleanup(func() {
		if explained == 0 {
			b.t.Error("no statement was looked at")
		}
	})
}

// jobs are 120 000 rows of 40 owners in three states. Every fourth row is older than its
// owner's retention.
const jobs = `CREATE TABLE owners (id int PRIMARY KEY, days int); INSERT INTO owners SELECT n, 17 + n % 2 FROM generate_series(1, 40) n;
	CREATE TABLE jobs (id int PRIMARY KEY, owner int, state text, at timestamptz, text text);
	INSERT INTO jobs SELECT n, 1 + n % 40, (ARRAY['done', 'done', 'open', 'failed'])[1 + n / 40 % 4], now() - (n / 160 % 20) * interval '1 day' + n * interval '1 microsecond', repeat('x', 40) FROM generate_series(1, 120000) n; `

func jobsPolicy(where string) string {
	return "tenants: {table: owners, key: id, retention: days}\npolicies: [{name: jobs, table: jobs, age: at, tenant: owner, where: \"" + where + "\", limits: {rows: 700}}]"
}

// The search for expired rows of a large table also walks an index that leads to the age
// through columns fixed by where. It used to read the whole table. If rows would have to be
// rejected or sorted, it sweeps.
func TestRule_SearchesAsThePlannerSeesThem(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const fixed = "state = 'done'"
	noTenant := "policies: [{name: jobs, table: jobs, age: at, tenant: none, retention: 17d, where: \"" + fixed + "\", limits: {rows: 700}}]"
	partitioned := strings.Replace(strings.Replace(jobs, "id int PRIMARY KEY, owner", "id int, owner", 1), "text text)", "text text, PRIMARY KEY (id)) PARTITION BY RANGE (id); CREATE TABLE jobs_0 PARTITION OF jobs FOR VALUES FROM (0) TO (60000); CREATE TABLE jobs_1 PARTITION OF jobs FOR VALUES FROM (60000) TO (200000)", 1)
	for _, c := range []struct {
		name, schema, policy string
		strategy, index      string
	}{
		{"the state between", jobs + `CREATE INDEX between ON jobs (owner, state, at)`, jobsPolicy(fixed), plan.TenantKeyset, "between"},
		{"the state first", jobs + `CREATE INDEX first ON jobs (state, owner, at DESC)`, jobsPolicy(fixed), plan.TenantKeyset, "first"},
		{"a partial index", jobs + `CREATE INDEX done ON jobs (owner, at, id) WHERE state = 'done'`, jobsPolicy(fixed), plan.TenantKeyset, "done"},
		{"a partial index of more than is meant", jobs + `CREATE INDEX most ON jobs (owner, at, id) WHERE state <> 'open'`, jobsPolicy(fixed), plan.KeySweep, "jobs_pkey"},
		{"a partial index of less than is meant", jobs + `CREATE INDEX done ON jobs (owner, at, id) WHERE state = 'done'`, jobsPolicy("state <> 'open'"), plan.KeySweep, "jobs_pkey"},
		{"a state of several", jobs + `CREATE INDEX between ON jobs (owner, state, at)`, jobsPolicy("state IN ('done', 'failed')"), plan.KeySweep, "jobs_pkey"},
		{"more than the state", jobs + `CREATE INDEX between ON jobs (owner, state, at)`, jobsPolicy(fixed + " AND length(text) > 3"), plan.KeySweep, "jobs_pkey"},
		{"the age alone", jobs + `CREATE INDEX age ON jobs (at)`, jobsPolicy(fixed), plan.AgeSweep, "age"},
		{"no tenant", jobs + `CREATE INDEX first ON jobs (state, at)`, noTenant, plan.AgeKeyset, "first"},
		{"partitions", partitioned + `CREATE INDEX between ON jobs (owner, state, at)`, jobsPolicy(fixed), plan.TenantKeyset, "2 indexes"},
		{"a small table", jobs + `DELETE FROM jobs WHERE id > 100000; CREATE INDEX between ON jobs (owner, state, at)`, jobsPolicy(fixed), plan.KeySweep, "jobs_pkey"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, c.schema+`; ANALYZE`, c.policy)
			p := b.plans()[0]
			if p.Strategy != c.strategy || p.Index != c.index {
				t.Errorf("the strategy is %s along %s (%s), want %s along %s", p.Strategy, p.Index, p.Reason, c.strategy, c.index)
			}
			lacks := slices.ContainsFunc(p.Problems, func(x plan.Problem) bool { return strings.Contains(x.Text, "no index serves the search") })
			if sweeps := c.strategy == plan.KeySweep || c.strategy == plan.AgeSweep; lacks != sweeps {
				t.Errorf("the problems are %+v", p.Problems)
			}
			if lacks {
				return
			}
			kept := `(SELECT days FROM owners o WHERE o.id = jobs.owner)`
			if c.policy == noTenant {
				kept = `17`
			}
			due := ` FROM jobs WHERE ` + fixed + ` AND at < now() - ` + kept + ` * interval '1 day'`
			n := b.Int(t, `SELECT count(*)`+due)
			if n < 700 {
				t.Fatalf("%d rows are due", n)
			}
			b.readsNotWhole("jobs")
			b.purge().complete().rows(map[string]int64{"public.jobs": int64(n)})
			b.count(`SELECT count(*)`+due, 0)
		})
	}
}
