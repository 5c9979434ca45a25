package main

import (
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// witness records who deletes whose letters, and when: from the start of a statement, which already
// holds the tenant's lock, to its end.
const witness = letters + `
	CREATE TABLE witness (org int, pid int, began timestamptz, at timestamptz);
	CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
		$$ BEGIN INSERT INTO public.witness SELECT DISTINCT org, pg_backend_pid(), statement_timestamp(), clock_timestamp() FROM gone; RETURN NULL; END $$;
	CREATE TRIGGER note AFTER DELETE ON letters REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION note()`

// several runs three daemons on one database for a while, beside a writer, and kills one of them
// now and then. dsn is where they connect.
func several(t *testing.T, db *dbtest.DB, dsn string, during time.Duration) {
	t.Helper()
	policy := lettersPolicy("@every 3s", ", limits: {rows: 20}")
	start := func() *service { return serve(t, dsn, policy) }
	daemons := []*service{start(), start(), start()}
	posted := 2000
	for n, end := 0, time.Now().Add(during); time.Now().Before(end); n++ {
		db.Exec(t, `CALL post(300)`)
		posted += 300
		time.Sleep(500 * time.Millisecond)
		if n%4 == 3 {
			at := n / 4 % len(daemons)
			if err := daemons[at].cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = daemons[at].cmd.Wait()
			daemons[at] = start()
		}
	}
	daemons[0].await("everything due is gone", 30*time.Second, func() bool { return db.Int(t, `SELECT count(*) FROM letters`) == 0 })
	for _, d := range daemons {
		d.ends()
	}
	holds(t, db, posted)
	// Every scheduled run belongs to a tick, except those whose process was killed and whose tick
	// was taken over.
	if n := db.Int(t, `SELECT count(*) FROM reaper.runs r WHERE trigger <> 'assist' AND status = 'complete' AND NOT EXISTS (SELECT FROM reaper.tick t WHERE t.run_id = r.run_id)`); n != 0 {
		t.Errorf("%d runs beside those that were claimed", n)
	}
	if n, ticks := db.Int(t, `SELECT count(DISTINCT run_id) FROM reaper.tick`), db.Int(t, `SELECT count(*) FROM reaper.tick`); n != ticks || ticks < int(during/(3*time.Second))/2 {
		t.Errorf("%d ticks with %d runs", ticks, n)
	}
}

// holds checks the invariants: every posted row is deleted exactly once, with its dependents, and
// no two processes worked on one tenant.
func holds(t *testing.T, db *dbtest.DB, posted int) {
	t.Helper()
	if n := db.Int(t, `SELECT count(*) FROM pages`); n != 0 {
		t.Errorf("%d pages are left", n)
	}
	if n := db.Int(t, `SELECT coalesce(sum(rows), 0) FROM reaper.deletions WHERE table_name = 'public.letters'`); n != posted {
		t.Errorf("the ledger has %d letters, and %d are gone", n, posted)
	}
	if n := db.Int(t, `SELECT coalesce(sum(rows), 0) FROM reaper.deletions WHERE table_name = 'public.pages'`); n != 2*posted {
		t.Errorf("the ledger has %d pages, and %d are gone", n, 2*posted)
	}
	overlap := db.Texts(t, `SELECT format('organization %s: backend %s from %s to %s, backend %s from %s', a.org, a.pid, a.began, a.at, b.pid, b.began)
		FROM witness a JOIN witness b ON a.org = b.org AND a.pid <> b.pid AND b.at > a.began AND b.at < a.at LIMIT 3`)
	if len(overlap) > 0 {
		t.Errorf("two were on one tenant: %q", overlap)
	}
}

// Three processes share one database, and are killed one after the other.
func TestRun_SeveralKilled(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, witness)
	several(t, db, db.DSN(), 15*time.Second)
}
