package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// overdue is a database with a ledger, whose hourly policy has last begun a day ago.
func overdue(t *testing.T) (db *dbtest.DB, m *monitor, policy string) {
	t.Helper()
	db, m = dbtest.New(t, slow), newMonitor(t)
	policy = strings.Replace(slowPolicy, "name: p,", `name: p, max_lag: 100y, schedule: "@every 1h", heartbeat: "`+m.URL+monitorPath+`",`, 1)
	s := serve(t, db.DSN(), policy)
	s.await("it has its ledger", 20*time.Second, s.works)
	db.Exec(t, `INSERT INTO reaper.tick (policy, at, run_id, instance, claimed_at, version) SELECT 'p', now() - interval '1 day', gen_random_uuid(), 'before', now() - interval '1 day', 13`)
	s.ends()
	return db, m, policy
}

// The end of the process ends a run after the current batch; the next process goes
// on with it.
func TestRun_EndsInTheMiddle(t *testing.T) {
	t.Parallel()
	db, m, policy := overdue(t)
	for range 2 {
		before := db.Int(t, `SELECT count(*) FROM event`)
		s := serve(t, db.DSN(), policy)
		s.await("it deletes", 20*time.Second, func() bool { return db.Int(t, `SELECT count(*) FROM event`) < before })
		s.await("its progress is shown", 5*time.Second, func() bool { p := s.status().Policies[0].Running; return p != nil && p.Rows > 0 })
		if code, body := s.get("/health"); code != 200 {
			t.Errorf("while it resumes what the one before has left: %d %s", code, body)
		}
		s.ends()
	}
	if got := m.got(); !slices.Equal(got, []string{"/start", "/log", "/start", "/log"}) {
		t.Errorf("pings: %q", got)
	}
	if got := db.Texts(t, `SELECT status || ' ' || reason FROM reaper.runs`); len(got) != 2 || got[0] != "incomplete interrupted by a signal" || got[1] != got[0] {
		t.Errorf("runs: %q", got)
	}
	if gone, counted := 3000-db.Int(t, `SELECT count(*) FROM event`), db.Int(t, `SELECT sum(rows) FROM reaper.deletions`); gone != counted {
		t.Errorf("%d rows are gone, the ledger has %d", gone, counted)
	}
}

// What a process that was killed has claimed is taken up within 15 s, and no monitor
// hears of a failure.
func TestRun_Killed(t *testing.T) {
	t.Parallel()
	db, m, policy := overdue(t)
	s := serve(t, db.DSN(), policy)
	s.await("it deletes", 20*time.Second, func() bool { return db.Int(t, `SELECT count(*) FROM event`) < 3000 })
	const claim = `SELECT run_id::text FROM reaper.tick ORDER BY at DESC LIMIT 1`
	first := db.Text(t, claim)
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	s = serve(t, db.DSN(), policy)
	s.await("its claim is taken up", 15*time.Second-time.Since(killed), func() bool {
		return db.Text(t, claim) != first
	})
	if code, body := s.get("/health"); code != 200 {
		t.Errorf("/health: %d %s", code, body)
	}
	s.ends()
	if got := m.got(); !slices.Equal(got, []string{"/start", "/start", "/log"}) {
		t.Errorf("pings: %q", got)
	}
	if n := db.Int(t, `SELECT count(*) FROM reaper.lease WHERE name LIKE 'process %'`); n != 1 {
		t.Errorf("%d signs of life, want that of the process that was killed alone", n)
	}
}

// The database is away in the middle of a run, and comes back.
func TestRun_DatabaseAway(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t, pgtemp.Options{})
	m := newMonitor(t)
	sqlOn(t, server.DSN("postgres"), slow)
	policy := strings.Replace(slowPolicy, "name: p,", `name: p, schedule: "@every 4s", heartbeat: "`+m.URL+monitorPath+`",`, 1)
	s := serve(t, server.DSN("postgres"), policy, "REAPER_LOG_LEVEL=info")
	s.await("a run is under way", 20*time.Second, func() bool { p := s.status().Policies[0].Running; return p != nil && p.Rows > 0 })
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	s.await("unhealthy within 5 s", 5*time.Second, s.health(503))
	s.await("the metric says so", 5*time.Second, s.shows("reaper_database_up 0"))
	for range 20 {
		began := time.Now()
		if code, _ := s.get("/metrics"); code != 200 {
			t.Errorf("/metrics: %d with the database down", code)
		}
		if took := time.Since(began); took > 500*time.Millisecond {
			t.Errorf("/metrics took %s with the database down", took)
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, probe := range []string{"/healthz", "/readyz/process"} { // what restarts a pod, or keeps it from a drain
		if code, body := s.get(probe); code != 200 {
			t.Errorf("%s: %d with the database down: %s", probe, code, body)
		}
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.await("it answers again", 20*time.Second, s.shows("reaper_database_up 1"))
	rows := s.status().Policies[0].Running
	s.await("it goes on by itself", 30*time.Second, func() bool {
		p := s.status().Policies[0].Running
		return p != nil && rows != nil && p.Rows > rows.Rows
	})
	s.ends()
	if got := m.got(); len(got) < 2 || got[0] != "/start" {
		t.Errorf("pings: %q", got)
	}
}
