package purge_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// retriesOf counts the retries of a purge by reason.
func (b *bed) retriesOf() func() map[string]int {
	var mu sync.Mutex
	counts := map[string]int{}
	b.runner.Observer = watcher{retry: func(reason string) {
		mu.Lock()
		defer mu.Unlock()
		counts[reason]++
	}}
	return func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		return counts
	}
}

// While a batch of many tenants runs, somebody moves rows that were never due to one of its tenants,
// which is held, or keeps more, from the same commit on. At no moment might any of them go.
func TestLoop_MovedToHeldTenant(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"held":             `UPDATE owners SET held = true WHERE id = 2`,
		"longer retention": `UPDATE owners SET days = 400 WHERE id = 2`,
		"held by hand":     strings.Replace(holdTenant, "'7'", "'2'", 1),
		"held by row": `INSERT INTO reaper.hold (policy, reason, who, ends_at, roots) VALUES ('events', 'why', 'me', 'infinity', 10);
			INSERT INTO reaper.hold_root (hold, key) SELECT (SELECT max(id) FROM reaper.hold), ARRAY[id::text] FROM events WHERE id % 3 = 2`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, `
				CREATE TABLE owners (id int PRIMARY KEY, days int NOT NULL, held bool NOT NULL DEFAULT false);
				CREATE TABLE events (id int PRIMARY KEY, owner int NOT NULL REFERENCES owners, at timestamptz NOT NULL);
				CREATE INDEX ON events (owner, at, id);
				INSERT INTO owners VALUES (1, 30), (2, 30), (3, 400);
				INSERT INTO events SELECT n, 1 + n % 3, now() - interval '90 days' - (n % 3 = 0)::int * interval '1 day' + n * interval '1 minute' FROM generate_series(0, 29) n;
				CREATE FUNCTION wait(owner int) RETURNS bool LANGUAGE plpgsql STABLE AS $$ BEGIN
					IF owner = 1 AND current_setting('transaction_read_only') = 'off' THEN
						PERFORM pg_advisory_xact_lock(4711);
						WHILE NOT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4712 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
						LOOP PERFORM pg_sleep(0.01); END LOOP;
					END IF;
					RETURN true; END $$;`,
				strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, where: wait(owner), limits: {time: 30s}", 1))
			b.runner.Connections = 1
			s := b.session()
			var wg sync.WaitGroup
			wg.Go(func() {
				b.await(`SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`)
				b.Exec(t, `BEGIN; UPDATE events SET owner = 2 WHERE owner = 3; `+sql+`; COMMIT`)
				s.do(`SELECT pg_advisory_lock(4712)`)
			})
			b.purge()
			wg.Wait()
			b.count(`SELECT count(*) FROM events WHERE id % 3 = 2`, 10)
			b.count(`SELECT count(*) FROM events WHERE owner = 1`, 0)
		})
	}
}

// More tables may go along than a function has arguments.
func TestLoop_ManyDependents(t *testing.T) {
	t.Parallel()
	var sql strings.Builder
	for i := range 120 {
		fmt.Fprintf(&sql, "CREATE TABLE child%d (id int PRIMARY KEY, event int REFERENCES events ON DELETE CASCADE); CREATE INDEX ON child%[1]d (event); INSERT INTO child%[1]d SELECT id, id FROM events WHERE id %% 7 = %[2]d;\n", i, i%7)
	}
	b := prepare(t, `
		CREATE TABLE owners (id int PRIMARY KEY, days int NOT NULL, held bool NOT NULL DEFAULT false);
		CREATE TABLE events (id int PRIMARY KEY, owner int NOT NULL REFERENCES owners, at timestamptz NOT NULL);
		CREATE INDEX ON events (owner, at, id);
		INSERT INTO owners SELECT n, 30 FROM generate_series(1, 10) n;
		INSERT INTO events SELECT n, 1 + n % 10, now() - interval '90 days' FROM generate_series(0, 69) n;`+sql.String(),
		strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, limits: {time: 30s}", 1))
	retries := b.retriesOf()
	b.purge().complete()
	b.count(`SELECT count(*) FROM events`, 0)
	b.ledgerIsTrue()
	if diff := cmp.Diff(map[string]int{}, retries()); diff != "" {
		t.Errorf("retries (-want +got):\n%s", diff)
	}
}

// Values of all types of keys, and names and values with a meaning in PL/pgSQL, go through a loop.
func TestLoop_Types(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ pre, typ, expr, age, ageExpr string }{
		"citext":    {"CREATE EXTENSION citext;", "citext", `'O''x, "{}\'||n`, "timestamptz", "now()"},
		"char":      {"", "char(8)", `'a'||n`, "date", "current_date"},
		"numeric":   {"", "numeric(9,2)", `n + 0.5`, "timestamp", "now()::timestamp"},
		"bytea":     {"", "bytea", `decode(lpad(n::text, 8, '0'), 'hex')`, "timestamptz", "now()"},
		"enum":      {"CREATE TYPE k AS ENUM ('a1','b ''2','c\\3','d\"4','e5','f6','g7','h8','i9','j10');", "k", `(enum_range(NULL::k))[n]`, "timestamptz", "now()"},
		"domain":    {`CREATE DOMAIN d AS text COLLATE "C" NOT NULL CHECK (VALUE <> '');`, "d", `'k$$; '||n`, "timestamptz", "now()"},
		"interval":  {"", "interval", `n * interval '1 mon 1 s'`, "timestamptz", "now()"},
		"composite": {"CREATE TYPE c AS (a int, b text);", "c", `ROW(n, 'x"('||n)::c`, "timestamptz", "now()"},
		"\"char\"":  {"", `"char"`, `chr(64+n)`, "timestamptz", "now()"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, c.pre+`
				CREATE TABLE owners (id `+c.typ+` PRIMARY KEY, days int NOT NULL, held bool NOT NULL DEFAULT false);
				CREATE TABLE events (id text, seq int, owner `+c.typ+` NOT NULL REFERENCES owners, at `+c.age+` NOT NULL, "into" text DEFAULT 'x;y $$ \ %', reaper_given int DEFAULT 1, reaper_loop int DEFAULT 1, PRIMARY KEY (id, seq));
				CREATE INDEX ON events (owner, at, id, seq);
				CREATE TABLE details (id int PRIMARY KEY, event text NOT NULL, seq int NOT NULL, FOREIGN KEY (event, seq) REFERENCES events ON DELETE CASCADE);
				CREATE INDEX ON details (event, seq);
				INSERT INTO owners SELECT (`+c.expr+`)::`+c.typ+`, 21 + n + (n > 6)::int FROM generate_series(1, 10) n;
				INSERT INTO events (id, seq, owner, at) SELECT m || 'a"b\ '', {NULL};$$%', m, o.id, `+c.ageExpr+` - m / 10 * interval '7 days' FROM (SELECT *, row_number() OVER () n FROM owners) o, generate_series(0, 99) m WHERE m % 10 = n - 1;
				INSERT INTO details SELECT row_number() OVER (), id, seq FROM events, generate_series(1, 2);
				CREATE TABLE want AS SELECT e.* FROM events e JOIN owners o ON o.id = e.owner WHERE e.at >= `+c.ageExpr+` - days * interval '1 day';`,
				strings.Replace(manyPolicy, "tenant: owner", `tenant: owner, where: "events.into = 'x;y $$ \\ %' AND reaper_given = 1 AND reaper_loop = 1", limits: {time: 30s, rows: `+map[bool]string{true: "7", false: "400"}[len(name)%2 == 0]+`}`, 1))
			b.runner.Connections = 1
			retries := b.retriesOf()
			b.purge().complete()
			got, want := b.Texts(b.t, `SELECT e::text FROM events e ORDER BY 1`), b.Texts(b.t, `SELECT e::text FROM want e ORDER BY 1`)
			if strings.Join(got, "\n") != strings.Join(want, "\n") {
				t.Errorf("%d left, want %d", len(got), len(want))
			}
			b.count(`SELECT count(*) FROM details`, 2*len(want))
			b.ledgerIsTrue()
			if n := len(retries()); n > 0 {
				t.Error(retries())
			}
		})
	}
}
