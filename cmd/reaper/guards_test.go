package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// knob is a table with a number that a test's guard reads.
const knob = `CREATE TABLE knob (v numeric); INSERT INTO knob VALUES (0)`

// guardedPolicy deletes slowly, and reads the knob ten times a second.
const guardedPolicy = `version: 1
guards:
  every: 100ms
  max_pause: 20s
  custom: [{name: turned, query: SELECT v FROM knob, slow: 1, pause: 2, stop: 3}]
policies: [{name: p, table: event, age: at, tenant: none, retention: 1d, triggers: allow, vacuum: never, limits: {rows: 5}}]
`

// held is a purge that a test controls through the knob.
type held struct {
	t              *testing.T
	db             *dbtest.DB
	cmd            *exec.Cmd
	stdout, stderr bytes.Buffer
}

func purging(t *testing.T, db *dbtest.DB, policy string) *held {
	t.Helper()
	h := &held{t: t, db: db, cmd: program(t, db.DSN(), "purge", "--yes", "-o", "json")}
	write(t, h.cmd.Dir, policy)
	h.cmd.Stdout, h.cmd.Stderr = &h.stdout, &h.stderr
	if err := h.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h.deletes()
	return h
}

func (h *held) left() int { return h.db.Int(h.t, `SELECT count(*) FROM event`) }

// deletes waits until more rows are deleted.
func (h *held) deletes() {
	h.t.Helper()
	for before, end := h.left(), time.Now().Add(20*time.Second); h.left() == before; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.t.Fatalf("nothing is deleted:\n%s", h.stderr.String())
		}
	}
}

// stands checks that nothing is deleted any more, after time for one reading and one batch.
func (h *held) stands() {
	h.t.Helper()
	// One reading (100 ms and its statements) and one batch of five rows, 20 ms each.
	time.Sleep(100*time.Millisecond + 400*time.Millisecond)
	before := h.left()
	time.Sleep(time.Second)
	if after := h.left(); after != before {
		h.t.Errorf("%d rows were deleted a second after the guard said pause", before-after)
	}
}

func (h *held) ends(code int) contractPurge {
	h.t.Helper()
	if got := exitCode(h.t, h.cmd.Wait()); got != code {
		h.t.Fatalf("exit code %d, want %d\n%s%s", got, code, &h.stdout, &h.stderr)
	}
	var report contractPurge
	if err := json.Unmarshal(h.stdout.Bytes(), &report); err != nil {
		h.t.Fatal(err)
	}
	if gone := int(report.Policies[0].RowsTotal); gone+h.left() != h.db.Int(h.t, `SELECT count(*) FROM was`) {
		h.t.Errorf("%d rows deleted, says the report, and %d are left", gone, h.left())
	}
	return report
}

// few is slow with fewer rows.
var few = strings.Replace(slow, "generate_series(1, 3000)", "generate_series(1, 200)", 1) + `; CREATE TABLE was AS SELECT * FROM event;` + knob

// After a signal crosses its threshold, at most one reading and one batch pass before the pause;
// the run resumes by itself.
func TestGuards_PauseAndGoOn(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, few)
	h := purging(t, db, guardedPolicy)
	db.Exec(t, `UPDATE knob SET v = 2.5`)
	h.stands()
	if db.Bool(t, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = 'reaper' AND datname = current_database() AND xact_start < now() - interval '1 second')`) {
		t.Error("a transaction is open while it is paused")
	}
	if got := db.Text(t, `SELECT reason FROM reaper.runs`); got != "pause by the guard turned: turned is 2.5 (pause at 2)" {
		t.Errorf("the ledger says %q", got)
	}
	db.Exec(t, `UPDATE knob SET v = 0`)
	h.deletes()
	report := h.ends(0)
	if p := report.Policies[0]; p.PausedSeconds < 1 || p.Reason != "" {
		t.Errorf("paused for %v s, reason %q", p.PausedSeconds, p.Reason)
	}
	for _, says := range []string{"p: paused by the guard turned: turned is 2.5", "p: goes on"} {
		if !strings.Contains(h.stderr.String(), says) {
			t.Errorf("it does not say %q:\n%s", says, &h.stderr)
		}
	}
}

func TestGuards_Stop(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, few)
	h := purging(t, db, guardedPolicy)
	db.Exec(t, `UPDATE knob SET v = 3`)
	if report := h.ends(3); report.Policies[0].Reason != "stopped by the guard turned: turned is 3 (stop at 3)" {
		t.Errorf("reason %q", report.Policies[0].Reason)
	}
}

// A signal that can no longer be read does not count as healthy.
func TestGuards_Unknown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, breaks, mends, says string }{
		{"a failing query", `ALTER TABLE knob RENAME TO gone`, `ALTER TABLE gone RENAME TO knob`, "turned is unknown"},
		{"no row", `DELETE FROM knob`, `INSERT INTO knob VALUES (0)`, "turned is unknown"},
		{"NULL", `UPDATE knob SET v = NULL`, `UPDATE knob SET v = 0`, "turned is unknown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t, few)
			h := purging(t, db, guardedPolicy)
			db.Exec(t, c.breaks)
			h.stands()
			if got := db.Text(t, `SELECT reason FROM reaper.runs`); !strings.Contains(got, c.says) {
				t.Errorf("the ledger says %q", got)
			}
			db.Exec(t, c.mends)
			h.deletes()
			h.ends(0)
		})
	}
}

// A pause longer than max_pause ends the run as incomplete, and the next run resumes it.
func TestGuards_MaxPause(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, few)
	policy := strings.Replace(guardedPolicy, "max_pause: 20s", "max_pause: 1s", 1)
	h := purging(t, db, policy)
	db.Exec(t, `UPDATE knob SET v = 2`)
	report := h.ends(3)
	if got := report.Policies[0].Reason; !strings.Contains(got, "paused for 1s (max_pause) by the guard turned") {
		t.Errorf("reason %q", got)
	}
	left := h.left()
	db.Exec(t, `UPDATE knob SET v = 0; TRUNCATE was; INSERT INTO was SELECT * FROM event`)
	if report = purging(t, db, policy).ends(0); int(report.Policies[0].RowsTotal) != left {
		t.Errorf("%d of %d rows went then", report.Policies[0].RowsTotal, left)
	}
}

// The daemon shows, on its page and in its metrics, why a run is held back. It applies the guards
// of a changed file: a run that they no longer pause resumes at once, however long max_pause is.
func TestRun_Guards(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, few)
	db.Exec(t, `UPDATE knob SET v = 2`)
	policy := strings.NewReplacer("limits:", `schedule: "@every 1s", limits:`, "max_pause: 20s", "max_pause: 1h").Replace(guardedPolicy)
	s := serve(t, db.DSN(), policy)
	s.await("the run is held back", 30*time.Second, func() bool {
		p := s.status().Policies[0]
		return p.Running != nil && p.Running.Held != nil && p.Running.Held.Guard == "turned" && p.Running.Held.State == "pause"
	})
	s.await("the metric", 5*time.Second, s.shows(`reaper_guard_state{guard="turned"} 2`))
	s.await("its value", 5*time.Second, s.shows(`reaper_guard_value{guard="turned",unit="number"} 2`))
	if h := s.left(db); h != 200 {
		t.Errorf("%d of 200 rows are left", h)
	}
	write(t, s.cmd.Dir, strings.Replace(policy, ", pause: 2,", ", pause: 2.5,", 1))
	s.await("the other guard lets it go on, slowly", 30*time.Second, func() bool { return s.left(db) < 200 })
	db.Exec(t, `UPDATE knob SET v = 0`)
	s.await("all is done", 60*time.Second, func() bool { return s.left(db) == 0 })
	s.ends()
}

// Slow guards hold up nothing else: the daemon stays healthy.
func TestRun_SlowGuard(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, few)
	policy := strings.NewReplacer("every: 100ms", "every: 100ms\n  timeout: 10s", "query: SELECT v FROM knob", `query: "SELECT v FROM knob, pg_sleep(5)"`, "limits:", `schedule: "0 0 1 1 *", max_lag: 100y, limits:`).Replace(guardedPolicy)
	s := serve(t, db.DSN(), policy)
	s.await("healthy", 20*time.Second, s.health(200))
	read := func() bool {
		for _, g := range s.status().Guards {
			if g.Name == "turned" {
				return g.Value != nil
			}
		}
		return false
	}
	for end := time.Now().Add(30 * time.Second); !read(); time.Sleep(50 * time.Millisecond) {
		if code, body := s.get("/health"); code != 200 {
			t.Fatalf("/health: %d while a guard is read\n%s", code, body)
		}
		if time.Now().After(end) {
			t.Fatal("the slow guard is not read")
		}
	}
	s.ends()
}

func (s *service) left(db *dbtest.DB) int { return db.Int(s.t, `SELECT count(*) FROM event`) }
