package main

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// The daemon says that a database may be another one where people look, and goes on when a person
// has approved it.
func TestRun_Latch(t *testing.T) {
	t.Parallel()
	db, m := dbtest.New(t, letters), newMonitor(t)
	s := serve(t, db.DSN(), lettersPolicy("@every 1s", ", heartbeat: "+m.URL+monitorPath))
	needed := func(n string) func() bool {
		return s.shows(`reaper_approval_needed{gate="latch",policy="letters"} ` + n)
	}
	s.await("a run has ended", 30*time.Second, s.shows(`reaper_runs_total{policy="letters",status="complete",trigger="schedule"} 1`))
	db.Exec(t, `UPDATE reaper.latch SET database_id = '1'`)
	s.await("it says that it waits", 30*time.Second, needed("1"))
	if code, body := s.get("/health"); code != 503 || !strings.Contains(body, "waits for approval (latch): this may not be the database") || !strings.Contains(body, "reaper approve --database") {
		t.Errorf("/health: %d %s", code, body)
	}
	out, err := program(t, db.DSN(), "approve", "--database", "--yes").CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.await("it goes on", 30*time.Second, needed("0"))
	s.ends()
}

// A failover between two runs of a CronJob waits for a person: a restore looks the same. A daemon
// that was there vouches for it, even if nothing was due in it meanwhile.
func TestFailoverBetweenRuns(t *testing.T) {
	t.Parallel()
	for name, daemon := range map[string]bool{"cronjob": false, "daemon": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			primary := dbtest.Server(t, pgtemp.Options{})
			replica := dbtest.Replica(t, primary, "second")
			ask(t, primary, letters, nil)
			dsn := dbtest.Either(t, primary, replica)
			runOnceExits(t, dsn, 0)
			var s *service
			if daemon {
				s = serve(t, dsn, lettersPolicy("0 0 1 1 *", ""))
				processes := 0
				s.await("it gives signs of life", 30*time.Second, func() bool {
					ask(t, primary, `SELECT count(*) FROM reaper.process`, &processes)
					return processes == 2
				})
			}
			dbtest.Replayed(t, primary, replica)
			if err := primary.Kill(); err != nil {
				t.Fatal(err)
			}
			ask(t, replica, `SELECT pg_promote()`, nil)
			if !daemon {
				runOnceExits(t, dsn, exitRefused)
				return
			}
			s.await("it goes on", 60*time.Second, func() bool {
				var timeline string
				ask(t, replica, `SELECT timeline FROM reaper.latch`, &timeline)
				return timeline == "00000002"
			})
			runOnceExits(t, dsn, 0)
			s.ends()
		})
	}
}

// runOnceExits makes a run in a process of its own.
func runOnceExits(t *testing.T, dsn string, want int) {
	t.Helper()
	cmd := program(t, dsn, "run", "--once")
	write(t, cmd.Dir, lettersPolicy("@daily", ""))
	if out, err := cmd.CombinedOutput(); exitCode(t, err) != want {
		t.Fatalf("exit code %d, want %d\n%s", exitCode(t, err), want, out)
	}
}

// ask sends a statement to a server, and reads its value unless into is nil.
func ask(t *testing.T, s *pgtemp.Server, sql string, into any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if into == nil {
		_, err = conn.Exec(t.Context(), sql)
	} else {
		err = conn.QueryRow(t.Context(), sql).Scan(into)
	}
	if err != nil {
		t.Fatal(err)
	}
}
