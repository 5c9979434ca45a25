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
