package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/web"
)

// service is a daemon as a separate process.
type service struct {
	t   *testing.T
	cmd *exec.Cmd
	url string

	mu  sync.Mutex
	log bytes.Buffer
}

var serving = regexp.MustCompile(`msg=serving addr=(\S+)`)

// serve starts a daemon and waits until it listens.
func serve(t *testing.T, dsn, policy string, env ...string) *service {
	t.Helper()
	s := &service{t: t, cmd: program(t, dsn, "run")}
	write(t, s.cmd.Dir, policy)
	s.cmd.Env = append(append(s.cmd.Env, "REAPER_LISTEN_ADDR=127.0.0.1:0", "REAPER_SCAN_INTERVAL=1s", "REAPER_JITTER=0"), env...)
	out, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	listens := make(chan string, 1)
	go s.read(out, listens)
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", s.text())
		}
	})
	select {
	case s.url = <-listens:
	case <-time.After(20 * time.Second):
		t.Fatalf("it does not listen:\n%s", s.text())
	}
	return s
}

func (s *service) read(out io.Reader, listens chan string) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		s.mu.Lock()
		s.log.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		if m := serving.FindStringSubmatch(lines.Text()); m != nil {
			listens <- "http://" + m[1]
		}
	}
}

func (s *service) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// get requests a path; code 0: no response.
func (s *service) get(path string) (code int, body string) {
	s.t.Helper()
	client := http.Client{Timeout: 5 * time.Second}
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err.Error()
	}
	return answer.StatusCode, string(text)
}

// slack is how many times as long as on a quiet machine a condition may take on a busy one.
const slack = 5

// await waits until a condition holds. within is how long that takes at most on a quiet machine.
func (s *service) await(what string, within time.Duration, holds func() bool) {
	s.t.Helper()
	within *= slack
	for end := time.Now().Add(within); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			_, health := s.get("/health")
			s.t.Fatalf("not within %s: %s\n%s", within, what, health)
		}
	}
}

// health reports whether /health answers with a code.
func (s *service) health(code int) func() bool {
	return func() bool { got, _ := s.get("/health"); return got == code }
}

func (s *service) shows(metric string) func() bool {
	return func() bool { _, text := s.get("/metrics"); return strings.Contains(text, "\n"+metric+"\n") }
}

func (s *service) status() (st web.Status) {
	s.t.Helper()
	_, body := s.get("/api/status")
	if err := json.Unmarshal([]byte(body), &st); err != nil {
		s.t.Fatalf("%v: %s", err, body)
	}
	return st
}

// works reports whether it reaches its database, and has its ledger there.
func (s *service) works() bool {
	st := s.status()
	return st.Database.Up && st.LedgerError == ""
}

// ends sends SIGTERM and wants a clean end within the grace time of 10 s, and what a busy machine adds.
func (s *service) ends() {
	s.t.Helper()
	const within = 20 * time.Second
	began := time.Now()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	if code := exitCode(s.t, s.cmd.Wait()); code != 0 {
		s.t.Errorf("exit code %d after SIGTERM", code)
	}
	if took := time.Since(began); took > within {
		s.t.Errorf("the end took %s, want at most %s", took, within)
	}
}

// monitor is a cron monitor that records its pings.
type monitor struct {
	*httptest.Server
	mu    sync.Mutex
	pings []string
}

func newMonitor(t *testing.T) *monitor {
	m := &monitor{}
	m.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.pings = append(m.pings, strings.TrimPrefix(r.URL.Path, monitorPath))
	}))
	t.Cleanup(m.Close)
	return m
}

const monitorPath = "/ping/0b7b2f0a-92b0-4d3c-9d0b-4a0f3a1f2b3c"

func (m *monitor) got() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.pings)
}

// letters are rows of twenty tenants, with dependents.
const letters = `
	CREATE TABLE orgs (id int PRIMARY KEY, days int);
	INSERT INTO orgs SELECT g, 30 FROM generate_series(1, 20) g;
	CREATE TABLE letters (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, org int NOT NULL REFERENCES orgs, at timestamptz NOT NULL);
	CREATE INDEX ON letters (org, at, id);
	CREATE TABLE pages (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, letter bigint NOT NULL REFERENCES letters ON DELETE CASCADE);
	CREATE INDEX ON pages (letter);
	CREATE PROCEDURE post(n int) LANGUAGE sql AS $$
		WITH l AS (INSERT INTO letters (org, at) SELECT 1 + g % 20, now() - interval '31 days' - g * interval '1 second' FROM generate_series(1, n) g RETURNING id)
		INSERT INTO pages (letter) SELECT id FROM l, generate_series(1, 2) $$;
	CALL post(2000);`

func lettersPolicy(schedule, more string) string {
	return fmt.Sprintf(`version: 1
tenants: {table: orgs, key: id, retention: days}
policies:
  - {name: letters, table: letters, age: at, tenant: org, max_lag: 1h, schedule: %q%s}
`, schedule, more)
}

func TestRun(t *testing.T) {
	t.Parallel()
	db, m := dbtest.New(t, letters), newMonitor(t)
	s := serve(t, db.DSN(), lettersPolicy("@every 4s", ", heartbeat: "+m.URL+monitorPath))
	for _, path := range []string{"/healthz", "/"} {
		if code, body := s.get(path); code != 200 {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	s.await("all due rows are gone, and it says so", 20*time.Second, func() bool {
		p := s.status().Policies
		return len(p) == 1 && p[0].LastSuccessAt != nil && p[0].BacklogRows != nil && *p[0].BacklogRows == 0
	})
	s.await("healthy", 5*time.Second, s.health(200))
	if n := db.Int(t, `SELECT count(*) FROM letters`) + db.Int(t, `SELECT count(*) FROM pages`); n != 0 {
		t.Errorf("%d rows are left", n)
	}
	if n := db.Int(t, `SELECT sum(rows) FROM reaper.deletions`); n != 6000 {
		t.Errorf("the ledger has %d rows, want 6000", n)
	}
	for _, metric := range []string{
		`reaper_database_up 1`, `reaper_leader 1`, `reaper_retention_lag_seconds{policy="letters"} 0`, `reaper_expired_rows{policy="letters"} 0`,
		`reaper_overdue_tenants{policy="letters"} 0`, `reaper_rows_deleted_total{policy="letters",table="public.letters"} 2000`,
		`reaper_rows_deleted_total{policy="letters",table="public.pages"} 4000`, `reaper_config_last_reload_successful 1`,
	} {
		s.await(metric, 5*time.Second, s.shows(metric))
	}
	s.await("the sizes of both tables", 10*time.Second, func() bool { return len(s.status().Database.Tables) == 2 })
	db.Exec(t, `CALL post(500)`)
	s.await("what came later is gone too", 20*time.Second, func() bool { return db.Int(t, `SELECT count(*) FROM letters`) == 0 })
	s.await("a run has just ended, and none is under way", 20*time.Second, func() bool {
		p := s.status().Policies[0]
		return p.Running == nil && p.LastRun != nil && p.LastRun.FinishedAt != nil && time.Since(*p.LastRun.FinishedAt) < time.Second
	})
	s.ends()
	if first, _, _ := strings.Cut(s.text(), "\n"); !strings.Contains(first, `msg="reaper started" version=`) {
		t.Errorf("the log begins with %s", first)
	}
	pings := m.got()
	if len(pings) < 4 || len(pings)%2 != 0 {
		t.Fatalf("pings: %q", pings)
	}
	for i, p := range pings {
		if want := []string{"/start", ""}[i%2]; p != want {
			t.Errorf("ping %d is %q, want %q", i, p, want)
		}
	}
	if n := db.Int(t, `SELECT count(*) FROM reaper.runs WHERE status <> 'complete' OR trigger <> 'schedule'`); n != 0 {
		t.Errorf("%d runs that are not complete, by schedule", n)
	}
	if n := db.Int(t, `SELECT count(*) FROM reaper.lease`); n != 0 {
		t.Error("the lease was not released")
	}
}

// A broken policy file changes nothing, and everything reports it; once fixed, it is loaded.
func TestRun_PolicyFileChanges(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	s := serve(t, db.DSN(), lettersPolicy("0 0 1 1 *", ""))
	s.await("it has its ledger", 20*time.Second, s.works)
	write(t, s.cmd.Dir, lettersPolicy("0 0 31 2 *", ""))
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.await("unhealthy, and it says why", 3*time.Second, func() bool {
		code, body := s.get("/health")
		return code == 503 && strings.Contains(body, "never be due")
	})
	if code, body := s.get("/readyz/process"); code != 200 {
		t.Errorf("/readyz/process: %d, and the file before is in force: %s", code, body)
	}
	s.await("the metric", 3*time.Second, s.shows("reaper_config_last_reload_successful 0"))
	if p := s.status().Policies; len(p) != 1 || p[0].Schedule != "0 0 1 1 *" {
		t.Errorf("policies: %+v", p)
	}
	write(t, s.cmd.Dir, lettersPolicy("@every 1s", ""))
	// Without a signal: the daemon notices by itself.
	s.await("it runs by the new schedule", 20*time.Second, func() bool { return db.Int(t, `SELECT count(*) FROM letters`) == 0 })
	s.await("healthy", 5*time.Second, s.health(200))
	s.ends()
}

// A failed run is reported to the monitor as such, and makes the process unhealthy, with the
// reason.
func TestRun_Failing(t *testing.T) {
	t.Parallel()
	db, m := dbtest.New(t, letters), newMonitor(t)
	s := serve(t, db.DSN(), lettersPolicy("@every 2s", ", where: no_such_column > 1, heartbeat: "+m.URL+monitorPath))
	s.await("unhealthy, with the reason", 20*time.Second, func() bool {
		code, body := s.get("/health")
		return code == 503 && strings.Contains(body, "no_such_column")
	})
	s.await("the monitor hears of it", 10*time.Second, func() bool { return slices.Contains(m.got(), "/fail") || slices.Contains(m.got(), "/1") })
	s.await("the metric", 5*time.Second, func() bool {
		_, text := s.get("/metrics")
		return regexp.MustCompile(`reaper_runs_total\{policy="letters",status="failed",trigger="schedule"\} [1-9]`).MatchString(text)
	})
	if n := db.Int(t, `SELECT count(*) FROM letters`); n != 2000 {
		t.Errorf("%d letters are left of 2000", n)
	}
	s.ends()
}

// Missed runs are made up by a single run.
func TestRun_CatchesUp(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	daily := lettersPolicy("0 3 * * *", "")
	s := serve(t, db.DSN(), daily)
	s.await("it has its ledger", 20*time.Second, s.works)
	s.ends()
	if n := db.Int(t, `SELECT count(*) FROM reaper.runs`); n != 0 {
		t.Fatalf("%d runs before anything was due", n)
	}
	db.Exec(t, `INSERT INTO reaper.tick (policy, at, run_id, instance, claimed_at, version) SELECT 'letters', now() - interval '3 days', gen_random_uuid(), 'before', now() - interval '3 days', 13`)
	s = serve(t, db.DSN(), daily)
	s.await("it has caught up", 20*time.Second, func() bool { return db.Int(t, `SELECT count(*) FROM reaper.runs WHERE status = 'complete'`) == 1 })
	if n := db.Int(t, `SELECT count(*) FROM letters`); n != 0 {
		t.Errorf("%d letters are left", n)
	}
	s.ends()
	s = serve(t, db.DSN(), daily)
	s.await("it has its ledger", 20*time.Second, s.works)
	time.Sleep(2 * time.Second) // nothing may happen
	s.ends()
	if got := db.Texts(t, `SELECT trigger || ' ' || status FROM reaper.runs`); !slices.Equal(got, []string{"catch_up complete"}) {
		t.Errorf("runs: %q", got)
	}
}

// An observer shows what is due and what others did. It runs nothing, claims nothing, and pings no
// monitor.
func TestRun_Observe(t *testing.T) {
	t.Parallel()
	db, m := dbtest.New(t, letters), newMonitor(t)
	// By the policy's own schedule, which nobody follows here, it would be late at once.
	policy := lettersPolicy("@every 1s", ", heartbeat: "+m.URL+monitorPath)
	s := serve(t, db.DSN(), policy, "REAPER_OBSERVE=true", "REAPER_SCHEDULE=0 0 1 1 *")
	s.await("what is due is measured", 20*time.Second, s.shows(`reaper_expired_rows{policy="letters"} 2000`))
	db.Exec(t, `INSERT INTO reaper.tick (policy, at, run_id, instance, claimed_at, version) SELECT 'letters', now() - interval '400 days', gen_random_uuid(), 'before', now() - interval '400 days', 13`)
	asked := s.status().At
	s.await("three turns of the clock", 10*time.Second, func() bool { return s.status().At.Sub(asked) > 3*time.Second })
	if n := db.Int(t, `SELECT count(*) FROM reaper.runs`); n != 0 {
		t.Errorf("an observer has begun %d runs", n)
	}
	if n := db.Int(t, `SELECT count(*) FROM reaper.tick`); n != 1 {
		t.Errorf("an observer has claimed %d ticks", n-1)
	}
	if p := s.status().Policies[0]; p.Schedule != "0 0 1 1 *" || p.NextRunAt == nil || p.Failing {
		t.Errorf("the policy is shown as %+v", p)
	}

	once := program(t, db.DSN(), "run", "--once")
	write(t, once.Dir, lettersPolicy("@daily", ""))
	if out, err := once.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.await("it shows the run of the other process", 20*time.Second, func() bool {
		p := s.status().Policies[0]
		return p.LastSuccessAt != nil && p.LastRun.Trigger == "once" && p.LastRun.RowsTotal == 6000 && p.BacklogRows != nil && *p.BacklogRows == 0
	})
	s.await("healthy", 5*time.Second, s.health(200))
	s.await("the metric", 5*time.Second, s.shows(`reaper_policy_failing{policy="letters"} 0`))
	both := program(t, db.DSN(), "run", "--once", "--observe")
	if out, err := both.CombinedOutput(); exitCode(t, err) != 2 || !strings.Contains(string(out), "use only one of them") {
		t.Errorf("--once and --observe: %v\n%s", err, out)
	}
	s.ends()
	if pings := m.got(); len(pings) != 0 {
		t.Errorf("pings: %q", pings)
	}
}

func TestRun_Once(t *testing.T) {
	t.Parallel()
	db, m := dbtest.New(t, letters), newMonitor(t)
	for _, want := range []struct {
		before string
		code   int
		last   string
	}{{"SELECT 1", 0, ""}, {"UPDATE orgs SET days = 0", 3, "/3"}} {
		db.Exec(t, want.before)
		cmd := program(t, db.DSN(), "run", "--once", "-o", "json")
		write(t, cmd.Dir, lettersPolicy("@daily", ", heartbeat: "+m.URL+monitorPath))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if code := exitCode(t, err); code != want.code {
			t.Errorf("exit code %d, want %d\n%s%s", code, want.code, out, &stderr)
		}
		var report contractPurge
		if err := json.Unmarshal(out, &report); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		if pings := m.got(); len(pings) < 2 || pings[len(pings)-2] != "/start" || pings[len(pings)-1] != want.last {
			t.Errorf("pings: %q", pings)
		}
	}
	if got := db.Texts(t, `SELECT DISTINCT trigger FROM reaper.runs`); !slices.Equal(got, []string{"once"}) {
		t.Errorf("triggers %q", got)
	}
}

// No part of a heartbeat's URL is printed, wherever the mistake is.
func TestRun_RefusesBadSettings(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	for _, c := range []struct{ env, says string }{
		{"REAPER_SCHEDULE=0 0 31 2 *", "never be due"},
		{"REAPER_TIME_ZONE=Nowhere/Else", "europe/paris"},
		{"REAPER_HEARTBEAT=ftp://secret.example/secret", "heartbeat"},
		{"REAPER_LISTEN_ADDR=nowhere", "listen-addr"},
		{"REAPER_SCAN_INTERVAL=1ms", "scan-interval"},
	} {
		cmd := program(t, db.DSN(), "run")
		write(t, cmd.Dir, lettersPolicy("@daily", ""))
		cmd.Env = append(cmd.Env, c.env)
		out, err := cmd.CombinedOutput()
		if code := exitCode(t, err); code != 2 || !strings.Contains(strings.ToLower(string(out)), c.says) || strings.Contains(string(out), "secret") {
			t.Errorf("%s: exit code %d\n%s", c.env, code, out)
		}
	}
}

func sqlOn(t *testing.T, dsn, text string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if _, err := conn.Exec(t.Context(), text); err != nil {
		t.Fatal(err)
	}
}
