package purge_test

import (
	"bytes"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/purge"
)

// many has 300 tenants with ten rows each, five of them expired, and two children a row.
const many = `
CREATE TABLE owners (id int PRIMARY KEY, days int NOT NULL, held bool NOT NULL DEFAULT false);
CREATE TABLE events (id int PRIMARY KEY, owner int NOT NULL REFERENCES owners, at timestamptz NOT NULL);
CREATE INDEX ON events (owner, at, id);
CREATE TABLE details (id int PRIMARY KEY, event int NOT NULL REFERENCES events ON DELETE CASCADE);
CREATE INDEX ON details (event);
INSERT INTO owners SELECT n, 30 FROM generate_series(1, 300) n;
INSERT INTO events SELECT n, 1 + n % 300, now() - (5 + n / 300 * 6) * interval '1 day' FROM generate_series(0, 2999) n;
INSERT INTO details SELECT n, n / 2 FROM generate_series(0, 5999) n;
`

const manyPolicy = `
tenants: {table: owners, key: id, retention: days, hold: held}
policies: [{name: events, table: events, age: at, tenant: owner}]`

// perTenant compares the ledger's rows of each tenant and table with what is gone, by plain
// SQL over a copy from before.
func (b *bed) perTenant() {
	b.t.Helper()
	want := b.Texts(b.t, `
		SELECT owner || ' public.events ' || count(*) FROM copy_of_events c WHERE NOT EXISTS (SELECT FROM events e WHERE e.id = c.id) GROUP BY owner
		UNION ALL SELECT c.owner || ' public.details ' || count(*) FROM copy_of_events c JOIN copy_of_details d ON d.event = c.id
		 WHERE NOT EXISTS (SELECT FROM details e WHERE e.id = d.id) GROUP BY c.owner ORDER BY 1`)
	got := b.Texts(b.t, `SELECT tenant || ' ' || table_name || ' ' || rows FROM reaper.deletions ORDER BY 1`)
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("rows gone (-) and the ledger (+) differ:\n%s", diff)
	}
}

const copies = `CREATE TABLE copy_of_events AS TABLE events; CREATE TABLE copy_of_details AS TABLE details`

// Tenants with few rows share batches, whatever finds them and whatever deletes them; each
// has its own counts.
func TestTenantsShareBatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql, policy string }{
		{"in step", "", manyPolicy},
		{"swept", "DROP INDEX events_owner_at_id_idx", manyPolicy},
		{
			"NO ACTION keys", `ALTER TABLE details DROP CONSTRAINT details_event_fkey, ADD CONSTRAINT details_event_fkey FOREIGN KEY (event) REFERENCES events`,
			strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, dependents: [{table: details, action: delete}]", 1),
		},
		{"proven", "", "safety: {foreign_key_checks: proven}\n" + manyPolicy},
		{
			"along a path", `CREATE TABLE places (id int PRIMARY KEY, owner int NOT NULL REFERENCES owners); INSERT INTO places SELECT id, id FROM owners;
			ALTER TABLE events ADD place int REFERENCES places; UPDATE events SET place = owner; CREATE INDEX ON events (place, at, id)`,
			strings.Replace(manyPolicy, "tenant: owner", "tenant: [place, owner]", 1),
		},
		{"without PL/pgSQL", `DROP EXTENSION plpgsql`, manyPolicy},
		{
			"keys that no variable may lack, a column named like one", `CREATE DOMAIN number AS int NOT NULL CHECK (VALUE > 0);
			ALTER TABLE events ALTER owner TYPE number; ALTER TABLE owners ALTER id TYPE number; ALTER TABLE events ADD reaper_affected int DEFAULT 1, ADD reaper_lines text DEFAULT 'x'`,
			strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, where: reaper_affected = 1 AND reaper_lines = 'x'", 1),
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, many+c.sql+";"+copies, c.policy)
			o := b.purge().complete()
			b.count(`SELECT count(*) FROM events`, 1500)
			b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days'`, 0)
			b.perTenant()
			if r := o.one(); r.Batches > 60 || r.Tenants.Due < 300 || r.Tenants.Done != 300 {
				t.Errorf("%d batches, %+v: of 300 tenants many should share one", r.Batches, r.Tenants)
			}
		})
	}
}

// A tenant whose rows cannot be deleted costs the others nothing, and is named.
func TestTenantsShareBatches_Poisoned(t *testing.T) {
	t.Parallel()
	b := prepare(t, many+copies+`;
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF OLD.owner = 7 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN OLD; END $$;
		CREATE TRIGGER poison AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse()`, manyPolicy)
	o := b.purge().is(purge.Incomplete, "1 tenant failed: not this one", "(7)")
	b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days'`, 5)
	b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days' AND owner <> 7`, 0)
	b.perTenant()
	if c := o.one().Tenants; c.Due != 300 || c.Done != 299 || c.Failed != 1 {
		t.Errorf("tenants %+v, want 300 due, 299 done, 1 failed", c)
	}
}

// Rows that somebody has locked cost only themselves.
func TestTenantsShareBatches_Locked(t *testing.T) {
	t.Parallel()
	b := prepare(t, many+copies, manyPolicy)
	s := b.session()
	s.do(`BEGIN; SELECT FROM events WHERE owner = 7 AND at < now() - interval '50 days' FOR UPDATE`)
	within(t, time.Minute, func() { b.purge().is(purge.Incomplete, "locked") })
	b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days' AND owner <> 7`, 0)
	b.perTenant()
	s.do(`ROLLBACK`)
	b.again()
	b.purge().complete()
	b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days'`, 0)
}

// A hold, or a longer retention, counts from its commit on, for the tenants of a batch that has
// been searched for too.
func TestTenantsShareBatches_HeldBetweenSearchAndDelete(t *testing.T) {
	t.Parallel()
	b := prepare(t, many+copies, manyPolicy)
	b.connect(b.DSN(), before(atBatch, func() {
		b.Exec(t, `UPDATE owners SET held = true WHERE id = 7; UPDATE owners SET days = 400 WHERE id = 8`)
	}))
	b.purge()
	b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days' AND owner IN (7, 8)`, 10)
	b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days' AND owner NOT IN (7, 8)`, 0)
	b.perTenant()
}

// Many rows of one age do not keep the walk from going on.
func TestTenantsShareBatches_OneAge(t *testing.T) {
	t.Parallel()
	b := prepare(t, many+`UPDATE events SET at = date_trunc('day', now()) - interval '90 days' WHERE owner % 2 = 0;`+copies, strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, limits: {rows: 3}", 1))
	b.purge().complete()
	b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days'`, 0)
	b.perTenant()
}

// Where each tenant of a batch costs statements of its own, tenants with long backlogs do not
// go together: a batch would hold little of each. Rows that reference others of their table are
// collected tenant by tenant.
func TestTenantsShareBatches_LongBacklogs(t *testing.T) {
	t.Parallel()
	b := prepare(t, `
		CREATE TABLE owners (id int PRIMARY KEY, days int NOT NULL, held bool NOT NULL DEFAULT false);
		CREATE TABLE events (id int PRIMARY KEY, owner int NOT NULL REFERENCES owners, at timestamptz NOT NULL);
		CREATE INDEX ON events (owner, at, id);
		CREATE TABLE details (id int PRIMARY KEY, event int NOT NULL REFERENCES events, up int REFERENCES details);
		CREATE INDEX ON details (event);
		CREATE INDEX ON details (up);
		INSERT INTO owners SELECT n, 30 FROM generate_series(1, 20) n;
		INSERT INTO events SELECT n, 1 + n % 20, now() - interval '90 days' + n * interval '1 second' FROM generate_series(0, 11999) n;
		INSERT INTO details SELECT n, n FROM generate_series(0, 11999) n;`+copies,
		strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, undecided: delete, limits: {rows: 1000, time: 30s}", 1))
	var mu sync.Mutex
	shares := 0
	b.runner.Observer = watcher{batch: func(e purge.BatchEvent) {
		mu.Lock()
		defer mu.Unlock()
		shares += e.Tenants
	}}
	b.purge().complete()
	b.count(`SELECT count(*) FROM events`, 0)
	b.perTenant()
	if mean := 12000 / max(shares, 1); mean < 250 {
		t.Errorf("a batch had %d roots of each tenant, want at least 250", mean)
	}
}

// A hold that a query of tenants shows counts for the rest of the run, and for each tenant of a
// batch, however fresh what is known about the others.
func TestTenantsShareBatches_HeldByQuery(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{"in step": "", "swept": "DROP INDEX events_owner_at_id_idx"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, many+sql+";"+copies, strings.NewReplacer(
				"{table: owners, key: id, retention: days, hold: held}", `{query: "SELECT id, days, held FROM owners"}`,
				"tenant: owner", "tenant: owner, limits: {rows: 100}").Replace(manyPolicy))
			const ofHeld = `SELECT count(*) FROM events WHERE owner % 3 = 0`
			stay := -1
			b.runner.Observer = watcher{batch: func(purge.BatchEvent) {
				if stay >= 0 {
					return
				}
				b.Exec(t, `UPDATE owners SET held = true WHERE id % 3 = 0`)
				time.Sleep(2500 * time.Millisecond) // what was read is too old from here on
				stay = b.Int(t, ofHeld)
			}}
			b.purge()
			b.count(ofHeld, stay)
			b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days' AND owner % 3 <> 0`, 0)
			b.perTenant()
		})
	}
}

// A tenant that has failed is not visited again.
func TestTenantsShareBatches_FailedOnce(t *testing.T) {
	t.Parallel()
	b := prepare(t, many+`UPDATE events SET at = at - interval '100 days' WHERE owner = 7;`+copies+`;
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF OLD.owner = 7 THEN RAISE EXCEPTION 'not this one'; END IF; RETURN OLD; END $$;
		CREATE TRIGGER poison AFTER DELETE ON events FOR EACH ROW EXECUTE FUNCTION refuse()`,
		strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, limits: {rows: 2}", 1))
	var log bytes.Buffer
	b.runner.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	b.purge().is(purge.Incomplete, "1 tenant failed: not this one", "(7)")
	b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days' AND owner <> 7`, 0)
	if n := strings.Count(log.String(), `msg="tenant failed"`); n != 1 {
		t.Errorf("the tenant failed %d times, want once:\n%s", n, &log)
	}
}

// Where a DELETE of the roots is all there is to do, a step only counts the rows of a window, and
// the batch finds them again by their ages. What changes between the two counts as elsewhere.
func TestTenantsShareBatches_Counted(t *testing.T) {
	t.Parallel()
	b := prepare(t, `
		CREATE TABLE owners (id int PRIMARY KEY, days int NOT NULL, held bool NOT NULL DEFAULT false);
		CREATE TABLE events (id int PRIMARY KEY, owner int NOT NULL REFERENCES owners, at timestamptz NOT NULL);
		CREATE INDEX ON events (owner, at, id);
		CREATE TABLE details (id int PRIMARY KEY, event int NOT NULL REFERENCES events ON DELETE CASCADE);
		CREATE INDEX ON details (event);
		INSERT INTO owners SELECT n, 30 FROM generate_series(1, 8) n;
		INSERT INTO events SELECT n, 1 + n % 8, now() - interval '90 days' + n * interval '8 minutes' FROM generate_series(0, 11999) n;
		INSERT INTO details SELECT n, n FROM generate_series(0, 11999) n;`+copies,
		strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, limits: {rows: 400, time: 30s}", 1))
	b.runner.Connections = 1
	const due = `SELECT count(*) FROM events WHERE at < now() - interval '30 days' AND `
	s := b.session()
	counted, held, most := 0, -1, int64(0)
	b.connect(b.DSN(), func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = argsHook(func(sql string, args []any) {
			if strings.Contains(sql, "max(reaper_x.read)") {
				counted++
			}
			if strings.Contains(sql, ".batch (run_id") && strings.Contains(sql, "tenants, deleted") {
				roots, tables := int64(0), args[3].([]string)
				for i, n := range args[5].([]int64) {
					if tables[i%len(tables)] == "public.events" {
						roots += n
					}
				}
				most = max(most, roots)
			}
			if counted < 5 || held >= 0 || !strings.Contains(sql, atBatch) {
				return
			}
			s.do(`BEGIN; SELECT FROM events WHERE id = (SELECT min(id) FROM events WHERE owner = 1) FOR UPDATE`)
			b.Exec(t, `UPDATE events SET at = now() WHERE id = (SELECT min(id) FROM events WHERE owner = 2);
				UPDATE events SET owner = 4 WHERE id = (SELECT min(id) FROM events WHERE owner = 5);
				UPDATE owners SET held = true WHERE id = 3`)
			held = b.Int(t, due+`owner = 3`)
		})
	})
	b.purge().is(purge.Incomplete, "locked")
	b.count(due+`owner = 1`, 1)
	b.count(`SELECT count(*) FROM events WHERE owner = 2 AND at > now() - interval '1 hour'`, 1)
	b.count(due+`owner = 3`, held)
	b.count(due+`owner NOT IN (1, 3)`, 0)
	if most < 200 || most > 400 {
		t.Errorf("the largest batch had %d roots, want 200 to 400", most)
	}
	if counted < 10 || held < 100 {
		t.Errorf("%d windows were counted, %d rows were held: want at least 10 and 100", counted, held)
	}
	s.do(`ROLLBACK`)
	b.again()
	b.purge().complete()
	b.count(due+`owner <> 3`, 0)
}

// Rows that where rejects do not hide expired ones from a batch that was counted and is read by
// key after an error.
func TestTenantsShareBatches_CountedWhere(t *testing.T) {
	t.Parallel()
	b := prepare(t, many+`ALTER TABLE events ADD kind text NOT NULL DEFAULT 'keep';
		DELETE FROM events WHERE owner > 20;
		UPDATE events SET kind = 'go' WHERE at > now() - interval '36 days';
		INSERT INTO details SELECT 100000 + row_number() OVER (), id FROM events, generate_series(1, 20) WHERE kind = 'go' AND at < now() - interval '30 days';
		ANALYZE;`+copies,
		strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, where: \"kind = 'go'\", limits: {total_rows: 200}", 1))
	b.runner.Connections = 1
	r := b.purge().complete().one()
	if r.Roots != 20 || r.Tenants.Done != 20 {
		t.Errorf("%d roots of %d tenants, want 20 of 20", r.Roots, r.Tenants.Done)
	}
	b.count(`SELECT count(*) FROM events WHERE at < now() - interval '30 days' AND kind = 'go'`, 0)
}

// A process that is killed in the middle of batches of many tenants leaves a ledger that has for
// each tenant and table what is gone. REAPER_KILLS is how often one is killed (10).
func TestTenantsShareBatches_Killed(t *testing.T) {
	t.Parallel()
	kills := 10
	if text := os.Getenv("REAPER_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	// Small batches are read by key, larger ones are counted.
	for name, limits := range map[string]string{"read": "{rows: 15}", "counted": "{rows: 100, time: 30s}"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy := strings.Replace(manyPolicy, "tenant: owner", "tenant: owner, limits: "+limits, 1)
			b := prepare(t, strings.NewReplacer("2999", "11999", "5999", "23999", "n / 300 * 6", "5 + n / 300").Replace(many)+copies, policy)
			const due = `SELECT count(*) FROM events WHERE at < now() - interval '30 days'`
			all := b.Int(t, due)
			b.mark()
			for n := range kills {
				target := all - all*(n+1)/(kills+1)
				if b.killed(policy, func() bool { return b.Int(t, due) <= target }) == nil {
					t.Error("a purge ended by itself")
				}
				b.summed()
			}
			b.count(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, 0)
			b.Exec(t, `UPDATE reaper.run SET lease_until = now() - interval '1 second'`)
			b.purge().is(purge.Complete)
			b.count(due, 0)
			b.summed()
		})
	}
}

// summed is perTenant over all runs.
func (b *bed) summed() {
	b.t.Helper()
	diff := b.Texts(b.t, `
		WITH gone AS (
			SELECT owner::text AS tenant, 'public.events' AS name, count(*) AS n FROM copy_of_events c WHERE NOT EXISTS (SELECT FROM events e WHERE e.id = c.id) GROUP BY 1
			UNION ALL SELECT c.owner::text, 'public.details', count(*) FROM copy_of_events c JOIN copy_of_details d ON d.event = c.id
			 WHERE NOT EXISTS (SELECT FROM details e WHERE e.id = d.id) GROUP BY 1),
		told AS (SELECT tenant, table_name AS name, sum(rows) AS n FROM reaper.deletions GROUP BY 1, 2)
		SELECT tenant || ' ' || name || ': gone ' || coalesce(gone.n, 0) || ', the ledger ' || coalesce(told.n, 0)
		  FROM gone FULL JOIN told USING (tenant, name) WHERE gone.n IS DISTINCT FROM told.n LIMIT 5`)
	if len(diff) > 0 {
		b.t.Errorf("%q", diff)
	}
}
