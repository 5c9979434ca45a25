package purge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/purge"
)

// tree is a root table without tenants, whose policy keeps 30 days.
func tree(dependents string, limits ...string) string {
	policy := "policies:\n  - name: roots\n    table: roots\n    age: at\n    tenant: none\n    retention: 30d\n    undecided: delete\n    unindexed: allow\n"
	if dependents != "" {
		policy += "    dependents: [" + dependents + "]\n"
	}
	if len(limits) > 0 {
		policy += "    limits: {" + strings.Join(limits, ", ") + "}\n"
	}
	return policy
}

const roots = `CREATE TABLE roots (id int PRIMARY KEY, at timestamptz NOT NULL DEFAULT now() - interval '40 days');
	CREATE INDEX ON roots (at, id);
	`

// noBatchAbove wants every batch, as seen by the observer and the ledger, to hold at most this
// many rows.
func (b *bed) noBatchAbove(rows int64) *int {
	batches := new(int)
	b.Exec(b.t, `
		CREATE TABLE public.batch_sizes (n bigint);
		CREATE FUNCTION size() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			INSERT INTO public.batch_sizes SELECT sum(value::bigint) FROM (SELECT * FROM jsonb_each_text(NEW.rows) UNION ALL SELECT * FROM jsonb_each_text(NEW.nullified)) x;
			RETURN NULL; END $$;
		CREATE TRIGGER size AFTER INSERT ON reaper.batch FOR EACH ROW EXECUTE FUNCTION size()`)
	b.mark()
	delete(b.before, "public.batch_sizes")
	b.runner.Observer = watcher{batch: func(e purge.BatchEvent) {
		*batches++
		if e.Rows > rows {
			b.t.Errorf("a batch of %d rows, more than %d", e.Rows, rows)
		}
	}}
	b.t.Cleanup(func() {
		if n := b.Int(b.t, `SELECT coalesce(max(n), 0) FROM public.batch_sizes`); int64(n) > rows {
			b.t.Errorf("the ledger has a batch of %d rows, more than %d", n, rows)
		}
	})
	return batches
}

// within fails if a test's purge takes too long. It guards against a walk that restarts over
// and over, not against a slow machine: four times the limit is still fine.
func within(t *testing.T, limit time.Duration, do func()) {
	t.Helper()
	limit *= 4
	start := time.Now()
	do()
	if took := time.Since(start); took > limit {
		t.Errorf("it took %s, more than %s", took.Round(time.Millisecond), limit)
	}
}

// One root with many dependents is drained in batches within their limits.
func TestPromise2And3_GiantRootIsDrained(t *testing.T) {
	for _, c := range []struct {
		name, schema, dependents string
		gone                     map[string]int64
		nullified                int64
	}{
		{
			"leaf by cascade", `
			CREATE TABLE parts (id int PRIMARY KEY, root int REFERENCES roots ON DELETE CASCADE);
			INSERT INTO parts SELECT n, 1 FROM generate_series(1, 300000) n; CREATE INDEX ON parts (root)`,
			"",
			map[string]int64{"public.roots": 3, "public.parts": 300000},
			0,
		},
		{
			"leaf by hand", `
			CREATE TABLE parts (id int PRIMARY KEY, root int REFERENCES roots);
			INSERT INTO parts SELECT n, 1 FROM generate_series(1, 100000) n; CREATE INDEX ON parts (root)`,
			"",
			map[string]int64{"public.roots": 3, "public.parts": 100000},
			0,
		},
		{
			"two levels, many each", `
			CREATE TABLE parts (id int PRIMARY KEY, root int REFERENCES roots ON DELETE CASCADE);
			CREATE TABLE clicks (id int PRIMARY KEY, part int REFERENCES parts ON DELETE CASCADE);
			INSERT INTO parts SELECT n, 1 FROM generate_series(1, 30000) n; CREATE INDEX ON parts (root);
			INSERT INTO clicks SELECT n, 1 + n % 30000 FROM generate_series(1, 45000) n; CREATE INDEX ON clicks (part)`,
			"",
			map[string]int64{"public.roots": 3, "public.parts": 30000, "public.clicks": 45000},
			0,
		},
		{
			"two levels, all below one", `
			CREATE TABLE parts (id int PRIMARY KEY, root int REFERENCES roots);
			CREATE TABLE clicks (id int PRIMARY KEY, part int REFERENCES parts);
			INSERT INTO parts SELECT n, 1 FROM generate_series(1, 10) n; CREATE INDEX ON parts (root);
			INSERT INTO clicks SELECT n, 5 FROM generate_series(1, 45000) n; CREATE INDEX ON clicks (part)`,
			"",
			map[string]int64{"public.roots": 3, "public.parts": 10, "public.clicks": 45000},
			0,
		},
		{
			"emptied by the schema", `
			CREATE TABLE parts (id int PRIMARY KEY, root int REFERENCES roots ON DELETE SET NULL);
			INSERT INTO parts SELECT n, 1 FROM generate_series(1, 45000) n; CREATE INDEX ON parts (root)`,
			"",
			map[string]int64{"public.roots": 3},
			45000,
		},
		{
			"emptied by decision", `
			CREATE TABLE parts (id int PRIMARY KEY, root int REFERENCES roots);
			INSERT INTO parts SELECT n, 1 FROM generate_series(1, 45000) n; CREATE INDEX ON parts (root)`,
			"{table: parts, action: nullify}",
			map[string]int64{"public.roots": 3},
			45000,
		},
		{
			"partitioned dependents", `
			CREATE TABLE parts (id int, root int REFERENCES roots ON DELETE CASCADE, PRIMARY KEY (id)) PARTITION BY HASH (id);
			CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
			CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
			INSERT INTO parts SELECT n, 1 FROM generate_series(1, 45000) n; CREATE INDEX ON parts (root)`,
			"",
			map[string]int64{"public.roots": 3, "public.parts": 45000},
			0,
		},
		{
			"a diamond", `
			CREATE TABLE l (id int PRIMARY KEY, root int REFERENCES roots ON DELETE CASCADE);
			CREATE TABLE r (id int PRIMARY KEY, root int REFERENCES roots);
			CREATE TABLE bottom (id int PRIMARY KEY, l int REFERENCES l ON DELETE CASCADE, r int REFERENCES r);
			INSERT INTO l SELECT n, 1 FROM generate_series(1, 100) n; CREATE INDEX ON l (root);
			INSERT INTO r SELECT n, 1 FROM generate_series(1, 100) n; CREATE INDEX ON r (root);
			INSERT INTO bottom SELECT n, 1 + n % 100, 1 + n / 2 % 100 FROM generate_series(1, 30000) n; CREATE INDEX ON bottom (l); CREATE INDEX ON bottom (r)`,
			"",
			map[string]int64{"public.roots": 3, "public.l": 100, "public.r": 100, "public.bottom": 30000},
			0,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, roots+`INSERT INTO roots VALUES (1), (2), (3);`+c.schema+`; ANALYZE`, tree(c.dependents))
			batches := b.noBatchAbove(20000)
			o := b.purge().complete().rows(c.gone)
			if *batches < 3 {
				t.Errorf("only %d batches", *batches)
			}
			if o.one().RowsNullified != c.nullified {
				t.Errorf("%d rows emptied, want %d", o.one().RowsNullified, c.nullified)
			}
		})
	}
}

// Each batch of a drain rechecks the root: if it is saved midway, it and its remaining
// dependents stay, and the ledger has the rows already deleted.
func TestPromise2_DrainStopsWhenTheRootIsSaved(t *testing.T) {
	for _, c := range []struct{ name, save string }{
		{"age moved", `UPDATE roots SET at = now() WHERE id = 1`},
		{"kept", `INSERT INTO keepers VALUES (1)`},
		{"gone", `DELETE FROM parts; DELETE FROM roots WHERE id = 1`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, roots+`INSERT INTO roots VALUES (1);
				CREATE TABLE keepers (root int PRIMARY KEY REFERENCES roots);
				CREATE TABLE parts (id int PRIMARY KEY, root int REFERENCES roots ON DELETE CASCADE);
				INSERT INTO parts SELECT n, 1 FROM generate_series(1, 1000) n; CREATE INDEX ON parts (root)`,
				tree("{table: keepers, action: keep}", "total_rows: 100"))
			batches := 0
			b.runner.Observer = watcher{batch: func(purge.BatchEvent) {
				if batches++; batches == 3 {
					b.Exec(t, c.save)
				}
			}}
			o := b.purge().is(purge.Complete)
			gone := o.one().RowsTotal
			if gone == 0 || gone > 300 {
				t.Errorf("%d rows went in 3 batches of 100", gone)
			}
			if sum := b.inLedger()["public.parts"]; int64(sum) != gone {
				t.Errorf("the ledger has %d rows, the report %d", sum, gone)
			}
			if c.name != "gone" {
				b.count(`SELECT count(*) FROM roots`, 1)
				b.count(`SELECT count(*) FROM parts`, 1000-int(gone))
			}
		})
	}
}

// A default that is the deleted row itself can never be cleared: this fails instead of looping.
func TestPromise5_SetDefaultToTheRootItself(t *testing.T) {
	for _, c := range []struct {
		limit  int
		reason string
	}{{20, "rows still reference"}, {20000, "23503"}} {
		t.Run(fmt.Sprint(c.limit), func(t *testing.T) {
			t.Parallel()
			b := prepare(t, roots+`INSERT INTO roots VALUES (0, '2020-01-01'); INSERT INTO roots VALUES (1), (2);
				CREATE TABLE first (id int PRIMARY KEY, root int REFERENCES roots ON DELETE CASCADE);
				INSERT INTO first SELECT n, 0 FROM generate_series(1, 100) n; CREATE INDEX ON first (root);
				CREATE TABLE parts (id int PRIMARY KEY, root int DEFAULT 1 REFERENCES roots ON DELETE SET DEFAULT);
				INSERT INTO parts SELECT n, 1 FROM generate_series(1, 100) n; CREATE INDEX ON parts (root)`,
				tree("", fmt.Sprintf("total_rows: %d", c.limit), "rows: 1"))
			within(t, 20*time.Second, func() { b.purge().is(purge.Incomplete, c.reason) })
			b.left(`SELECT id FROM roots ORDER BY id`, "1", "2")
			b.ledgerIsTrue()
		})
	}
}

// Long chains and cycles of rows neither recurse deeply nor take forever.
func TestPromise3_LongChains(t *testing.T) {
	for _, c := range []struct {
		name, key, roots, dependents string
		n                            int
		limit                        time.Duration
	}{
		{"cascade 50000 deep", "ON DELETE CASCADE", "1", "", 50000, 60 * time.Second},
		{"no action 20000 deep", "", "1", "", 20000, 40 * time.Second},
		{"cascade 5000 deep, all due", "ON DELETE CASCADE", "all", "", 5000, 30 * time.Second},
		{"keep 10000 deep, all due", "", "all", "{table: roots, action: keep}", 10000, 40 * time.Second},
		{"nullify 3000 deep, all due", "", "all", "{table: roots, action: nullify}", 3000, 30 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, `CREATE TABLE roots (id int PRIMARY KEY, up int, at timestamptz)`, tree(c.dependents))
			b.Exec(t, fmt.Sprintf(`
				INSERT INTO roots SELECT n, nullif(n - 1, 0), now() - CASE WHEN n = 1 OR '%s' = 'all' THEN interval '40 days' ELSE interval '1 day' END FROM generate_series(1, %d) n`, c.roots, c.n))
			b.Exec(t, `
				CREATE INDEX ON roots (up); CREATE INDEX ON roots (at, id);
				ALTER TABLE roots ADD FOREIGN KEY (up) REFERENCES roots `+c.key+`; ANALYZE`)
			b.noBatchAbove(20000)
			within(t, c.limit, func() { b.purge().complete() })
			b.count(`SELECT count(*) FROM roots`, 0)
		})
	}
}

// A cycle of rows larger than a batch is deleted whole, since no part of it can be deleted
// alone.
func TestPromise2_CycleLargerThanABatch(t *testing.T) {
	for _, key := range []string{"ON DELETE CASCADE", "ON DELETE NO ACTION"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, `CREATE TABLE roots (id int PRIMARY KEY, up int, at timestamptz);
				INSERT INTO roots SELECT n, n % 300 + 1, now() - CASE WHEN n = 1 THEN interval '40 days' ELSE interval '1 day' END FROM generate_series(1, 300) n;
				CREATE INDEX ON roots (up); CREATE INDEX ON roots (at, id);
				ALTER TABLE roots ADD FOREIGN KEY (up) REFERENCES roots `+key+`; ANALYZE`, tree("", "total_rows: 50"))
			within(t, 20*time.Second, func() { b.purge().complete() })
			b.count(`SELECT count(*) FROM roots`, 0)
		})
	}
}

// keep protects everything up to the root, and is rechecked until a pass deletes nothing: the
// keeping row may itself be due.
func TestPromise2_Keep(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, schema, dependents string
		left                     []string
		kept                     int64
	}{
		{"of the root", `CREATE TABLE k (root int PRIMARY KEY REFERENCES roots); INSERT INTO k VALUES (2)`, "{table: k, action: keep}", []string{"2"}, 1},
		{"under cascade", `CREATE TABLE k (root int PRIMARY KEY REFERENCES roots ON DELETE CASCADE); INSERT INTO k VALUES (2)`, "{table: k, action: keep}", []string{"2"}, 1},
		{"under set null", `CREATE TABLE k (id int PRIMARY KEY, root int REFERENCES roots ON DELETE SET NULL); INSERT INTO k VALUES (1, 2)`, "{table: k, action: keep}", []string{"2"}, 1},
		{
			"two levels down, siblings whole", `
			CREATE TABLE a (id int PRIMARY KEY, root int REFERENCES roots ON DELETE CASCADE);
			CREATE TABLE k (a int PRIMARY KEY REFERENCES a);
			INSERT INTO a SELECT r * 10 + n, r FROM generate_series(1, 3) r, generate_series(1, 3) n; INSERT INTO k VALUES (22)`,
			"{table: k, action: keep}",
			[]string{"2"},
			1,
		},
		{"by a match", `CREATE TABLE k (kind text, ref text); INSERT INTO k VALUES ('r', '2'), ('other', '1')`, "{table: k, match: {ref: id}, where: kind = 'r', action: keep}", []string{"2"}, 1},
		{"a chain that frees itself", `ALTER TABLE roots ADD up int REFERENCES roots; UPDATE roots SET up = id - 1 WHERE id > 1`, "{table: roots, action: keep}", nil, 0},
		{"a cycle stays", `ALTER TABLE roots ADD up int REFERENCES roots; UPDATE roots SET up = CASE id WHEN 1 THEN 2 WHEN 2 THEN 1 END`, "{table: roots, action: keep}", []string{"1", "2"}, 2},
		{"itself", `ALTER TABLE roots ADD up int REFERENCES roots; UPDATE roots SET up = id`, "{table: roots, action: keep}", []string{"1", "2", "3"}, 3},
		{"null references keep nothing", `CREATE TABLE k (id int PRIMARY KEY, root int REFERENCES roots); INSERT INTO k VALUES (1, NULL)`, "{table: k, action: keep}", nil, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, size := range []int{1, 2, 1000} {
				b := ground.on(t, roots+`INSERT INTO roots VALUES (1), (2), (3);`+c.schema, tree(c.dependents, fmt.Sprintf("rows: %d", size)))
				o := b.purge().complete()
				b.left(`SELECT id FROM roots ORDER BY id`, c.left...)
				if o.one().KeptRows != c.kept {
					t.Errorf("%d kept rows, want %d", o.one().KeptRows, c.kept)
				}
				if c.name == "two levels down, siblings whole" {
					b.left(`SELECT id FROM a ORDER BY id`, "21", "22", "23")
				}
			}
		})
	}
}

// For each kind of key, the action of the schema or the file is what happens.
func TestPromise2_EachActionOfAnEdge(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, child, dependents string
		left                    []string // of the child: id and root
	}{
		{"cascade", `root int REFERENCES roots ON DELETE CASCADE`, "", []string{"4:9"}},
		{"set null", `root int REFERENCES roots ON DELETE SET NULL`, "", []string{"1:", "2:", "3:", "4:9"}},
		{"set default", `root int DEFAULT 9 REFERENCES roots ON DELETE SET DEFAULT`, "", []string{"1:9", "2:9", "3:9", "4:9"}},
		{"no action, delete", `root int REFERENCES roots`, "{table: child, action: delete}", []string{"4:9"}},
		{"restrict, delete", `root int REFERENCES roots ON DELETE RESTRICT`, "{table: child, action: delete}", []string{"4:9"}},
		{"deferred, delete", `root int REFERENCES roots DEFERRABLE INITIALLY DEFERRED`, "{table: child, action: delete}", []string{"4:9"}},
		{"restrict, nullify", `root int REFERENCES roots ON DELETE RESTRICT`, "{table: child, action: nullify}", []string{"1:", "2:", "3:", "4:9"}},
		{"set null, delete", `root int REFERENCES roots ON DELETE SET NULL`, "{table: child, action: delete}", []string{"4:9"}},
		{"set default, delete", `root int DEFAULT 9 REFERENCES roots ON DELETE SET DEFAULT`, "{table: child, action: delete}", []string{"4:9"}},
		{"match, delete", `root bigint`, "{table: child, match: {root: id}, action: delete}", []string{"4:9"}},
		{"match, nullify", `root text`, "{table: child, match: {root: id}, action: nullify}", []string{"1:", "2:", "3:", "4:9"}},
		{"match with where", `root int`, "{table: child, match: {root: id}, where: id <> 2, action: delete}", []string{"2:2", "4:9"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, limits := range []string{"rows: 1", "total_rows: 1", "rows: 1000"} {
				b := ground.on(t, roots+`INSERT INTO roots VALUES (9, now()); INSERT INTO roots VALUES (1), (2), (3);
					CREATE TABLE child (id int PRIMARY KEY, `+c.child+`);
					INSERT INTO child VALUES (1, 1), (2, 2), (3, 3), (4, 9)`, tree(c.dependents, limits))
				b.purge().complete()
				b.left(`SELECT id FROM roots`, "9")
				b.left(`SELECT id || ':' || coalesce(root::text, '') FROM child ORDER BY id`, c.left...)
			}
		})
	}
}

// A delete follows everything that references a deleted row, whatever its age; a row reached in
// two ways counts once.
func TestPromise2_DeleteIsTransitive(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, limits := range []string{"total_rows: 2", "rows: 1", "rows: 1000"} {
		b := ground.on(t, roots+`
			INSERT INTO roots VALUES (9, now()); INSERT INTO roots VALUES (1), (2);
			CREATE TABLE a (id int PRIMARY KEY, root int REFERENCES roots, b int);
			CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a, root int REFERENCES roots ON DELETE CASCADE);
			ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b;
			CREATE TABLE c (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE, b int REFERENCES b ON DELETE RESTRICT);
			INSERT INTO a VALUES (1, 1, NULL), (2, 9, NULL), (3, 9, NULL);
			INSERT INTO b VALUES (1, 1, NULL), (2, 2, 1), (3, 3, NULL);
			UPDATE a SET b = 1 WHERE id = 2;
			UPDATE a SET b = 2 WHERE id = 1;
			INSERT INTO c VALUES (1, 1, 1), (2, 2, 2), (3, 3, 3), (4, 3, 2)`, tree("", limits))
		b.purge().complete()
		b.left(`SELECT 'a' || id FROM a UNION ALL SELECT 'b' || id FROM b UNION ALL SELECT 'c' || id FROM c ORDER BY 1`, "a3", "b3", "c3")
	}
}

// PostgreSQL compares a key by the collation of the referenced column if that is
// nondeterministic, and so does reaper. A referencing column with another nondeterministic
// collation is refused: it is checked by one collation and acted on by the other.
func TestPromise5_KeysOfTwoCollations(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	if ground.Int(t, `SELECT current_setting('server_version_num')::int`) >= 180000 {
		return // PostgreSQL itself refuses such a key
	}
	for _, c := range []struct {
		parent, child string
		refused       bool
	}{{`lax`, `"C"`, false}, {`"C"`, `lax`, true}, {`lax`, `lax`, false}, {`"C"`, `"POSIX"`, false}} {
		t.Run(c.parent+c.child, func(t *testing.T) {
			b := ground.on(t, `CREATE COLLATION lax (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
				CREATE TABLE roots (id text COLLATE `+c.parent+` PRIMARY KEY, at timestamptz DEFAULT '2020-01-01');
				CREATE TABLE child (id int PRIMARY KEY, root text COLLATE `+c.child+` REFERENCES roots ON DELETE CASCADE);
				INSERT INTO roots VALUES ('a'), ('b'); INSERT INTO child VALUES (1, `+map[bool]string{true: "'A'", false: "'a'"}[c.parent == "lax"]+`)`, tree("{table: child, action: keep}"))
			if c.refused {
				b.refuses("child_root_fkey", "collation")
				return
			}
			b.purge().complete()
			b.left(`SELECT id::text COLLATE "C" FROM roots`, "a")
		})
	}
}

// A foreign key to a single partition concerns only that partition's rows.
func TestPromise2_KeyToOnePartition(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct{ key, dependents, limits string }{
		{"", "{table: child, action: delete}", "rows: 1000"},
		{"", "{table: child, action: delete}", "total_rows: 1"},
		{"", "{table: child, action: nullify}", "rows: 1000"},
		{"", "{table: child, action: keep}", "rows: 1000"},
		{"ON DELETE CASCADE", "", "rows: 1000"},
		{"ON DELETE CASCADE", "", "total_rows: 1"},
		{"ON DELETE SET NULL", "", "total_rows: 1"},
	} {
		t.Run(c.key+c.dependents+c.limits, func(t *testing.T) {
			b := ground.on(t, `
				CREATE TABLE roots (id int, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
				CREATE TABLE older PARTITION OF roots FOR VALUES FROM ('2000-01-01') TO ('2010-01-01');
				CREATE TABLE newer PARTITION OF roots FOR VALUES FROM ('2010-01-01') TO (MAXVALUE);
				CREATE UNIQUE INDEX ON newer (id);
				CREATE TABLE child (id int PRIMARY KEY, root int REFERENCES newer (id) `+c.key+`);
				INSERT INTO roots VALUES (1, '2005-01-01'), (2, '2005-01-01'), (2, '2015-01-01'), (1, now()), (3, '2001-01-01');
				CREATE TABLE many (id int PRIMARY KEY, root int, at timestamptz, FOREIGN KEY (root, at) REFERENCES roots ON DELETE CASCADE);
				INSERT INTO many SELECT n, 3, '2001-01-01' FROM generate_series(1, 9) n; -- a batch too large: all after it are counted first
				INSERT INTO child VALUES (1, 1), (2, 2)`, tree(c.dependents, c.limits))
			b.purge().complete()
			b.left(`SELECT id FROM child WHERE root = 1`, "1")
			b.left(`SELECT id FROM roots WHERE at > '2020-01-01'`, "1")
			b.count(`SELECT count(*) FROM roots WHERE at < '2010-01-01'`, 0)
		})
	}
}

// Roots and dependents may be partitioned, by keys and below each other.
func TestPromise2_PartitionedTables(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, key := range []string{"ON DELETE CASCADE", "ON DELETE NO ACTION", "ON DELETE SET NULL (root)"} {
		t.Run(key, func(t *testing.T) {
			if strings.Contains(key, "(root)") && ground.Int(t, `SELECT current_setting('server_version_num')::int`) < 150000 {
				key = "ON DELETE CASCADE"
			}
			for _, limits := range []string{"total_rows: 2", "rows: 1000"} {
				b := ground.on(t, `
					CREATE TABLE roots (id int, kind int, at timestamptz NOT NULL, PRIMARY KEY (kind, id)) PARTITION BY LIST (kind);
					CREATE TABLE roots_1 PARTITION OF roots FOR VALUES IN (1) PARTITION BY RANGE (id);
					CREATE TABLE roots_1a PARTITION OF roots_1 FOR VALUES FROM (0) TO (10);
					CREATE TABLE roots_1b PARTITION OF roots_1 DEFAULT;
					CREATE TABLE roots_2 PARTITION OF roots FOR VALUES IN (2);
					CREATE TABLE child (id int, kind int, root int, PRIMARY KEY (id), FOREIGN KEY (kind, root) REFERENCES roots (kind, id) `+key+`) PARTITION BY HASH (id);
					CREATE TABLE child_0 PARTITION OF child FOR VALUES WITH (MODULUS 2, REMAINDER 0);
					CREATE TABLE child_1 PARTITION OF child FOR VALUES WITH (MODULUS 2, REMAINDER 1);
					CREATE INDEX ON child (kind, root);
					INSERT INTO roots SELECT n, k, now() - CASE WHEN n % 2 = 0 THEN interval '40 days' ELSE interval '1 day' END FROM generate_series(1, 20) n, generate_series(1, 2) k;
					INSERT INTO child SELECT row_number() OVER (), kind, id FROM roots, generate_series(1, 3)`, tree("", limits))
				b.purge().complete()
				b.count(`SELECT count(*) FROM roots`, 20)
				b.count(`SELECT count(*) FROM roots WHERE id % 2 = 0`, 0)
				b.count(`SELECT count(*) FROM child WHERE root % 2 = 1`, 60)
				if strings.Contains(key, "(root)") {
					b.count(`SELECT count(*) FROM child WHERE root IS NULL AND kind IS NOT NULL`, 60)
				} else {
					b.count(`SELECT count(*) FROM child`, 60)
				}
			}
		})
	}
}

// Tens of thousands of rows of equal age, and an index that does not order them further: each
// is found exactly once.
func TestPromise10_ManyTies(t *testing.T) {
	for _, kept := range []bool{false, true} {
		t.Run(fmt.Sprintf("some kept %t", kept), func(t *testing.T) {
			t.Parallel()
			b := prepare(t, `
				CREATE TABLE orgs (id int PRIMARY KEY); INSERT INTO orgs VALUES (1);
				CREATE TABLE roots (id int PRIMARY KEY, org int, at timestamptz);
				INSERT INTO roots SELECT n, 1, '2020-01-01' FROM generate_series(1, 30000) n;
				CREATE INDEX ON roots (org, at);
				CREATE TABLE k (root int PRIMARY KEY REFERENCES roots ON DELETE CASCADE); ANALYZE`,
				"tenants: {table: orgs, key: id, default: 30d}\npolicies: [{name: roots, table: roots, age: at, tenant: org, dependents: [{table: k, action: keep}]}]")
			want := 0
			if kept {
				b.Exec(t, `INSERT INTO k SELECT id FROM roots WHERE id <= 2500`)
				want = 2500
			}
			o := b.purge().complete()
			b.count(`SELECT count(*) FROM roots`, want)
			if o.one().KeptRows != int64(want) {
				t.Errorf("%d kept rows, want %d", o.one().KeptRows, want)
			}
		})
	}
}
