package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/web"
)

// heard is the time within which a daemon notices a pause: it checks every 5 seconds.
const heard = 7 * time.Second

// reaper runs the program with a daemon's policy file.
func (s *service) reaper(args ...string) string {
	s.t.Helper()
	cmd := program(s.t, "", args...)
	cmd.Dir, cmd.Env = s.cmd.Dir, s.cmd.Env
	out, err := cmd.CombinedOutput()
	if code := exitCode(s.t, err); code != 0 {
		s.t.Fatalf("%q: exit code %d\n%s", args, code, out)
	}
	return string(out)
}

func (s *service) paused(policies ...bool) func() bool {
	return func() bool {
		all := s.status().Policies
		for i, want := range policies {
			if all[i].Paused != want || (all[i].PausedUntil != nil) != want {
				return false
			}
		}
		return true
	}
}

// A reason is a single line, since many places show it.
func TestStatedReason(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		" an audit ": "an audit", "déjà vu": "déjà vu", strings.Repeat("é", longestReason): strings.Repeat("é", longestReason),
		"": "", "\t": "", "two\nlines": "", "a\x00b": "", "\x1b[31mred": "", "\xff": "", strings.Repeat("x", longestReason+1): "",
	} {
		got, err := statedReason(text, "pause")
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%.20q: %.20q, %v", text, got, err)
		}
		if exit, ok := errors.AsType[*exitError](err); err != nil && (!ok || exit.code != exitUsage) {
			t.Errorf("%.20q: %v is no exit code 2", text, err)
		}
	}
}

// twoPolicies have nothing due.
const twoPolicies = `version: 1
tenants: {table: orgs, key: id, retention: days}
policies:
  - {name: letters, table: letters, age: at, tenant: org, max_lag: 1h, schedule: "0 0 1 1 *"}
  - {name: cards, table: letters, age: at, tenant: org, where: id < 0, schedule: "0 0 1 1 *"}
`

// A pause by one process shows on all others within their control interval. It is no alarm, and
// ends by itself or by resume.
func TestRun_PausedByHand(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	db.Exec(t, `DELETE FROM letters`)
	s := serve(t, db.DSN(), twoPolicies)
	s.await("healthy", 20*time.Second, s.health(200))
	for _, metric := range []string{`reaper_paused 0`, `reaper_policy_paused{policy="letters"} 0`} {
		s.await(metric, 5*time.Second, s.shows(metric))
	}

	s.reaper("pause", "--policy", "letters", "--for", "12s", "--reason", "a short audit")
	s.await("letters is paused, cards is not", heard, s.paused(true, false))
	until := s.status().Policies[0].PausedUntil
	if left := time.Until(*until); left > 12*time.Second || left < 0 {
		t.Errorf("it ends in %s", left)
	}
	if p := s.status().Pauses; len(p) != 1 || p[0].Policy == nil || *p[0].Policy != "letters" || p[0].Reason != "a short audit" || p[0].By == "" {
		t.Errorf("pauses: %+v", p)
	}
	for _, metric := range []string{
		`reaper_paused 1`, `reaper_policy_paused{policy="letters"} 1`, `reaper_policy_paused{policy="cards"} 0`,
	} {
		s.await(metric, 2*time.Second, s.shows(metric))
	}
	if _, text := s.get("/metrics"); !strings.Contains(text, `reaper_pause_end_timestamp_seconds{policy="letters"} `) || strings.Contains(text, `reaper_pause_end_timestamp_seconds{policy="cards"}`) {
		t.Error("the end of the pause is not told, or one that is none")
	}
	for path, says := range map[string]string{"/health": "policy letters is paused by hand until", "/": "a short audit"} {
		if code, body := s.get(path); code != 200 || !strings.Contains(body, says) {
			t.Errorf("%s: %d, and it does not say %q:\n%s", path, code, says, body)
		}
	}
	if out := s.reaper("status"); !strings.Contains(out, "paused by hand: letters, until "+until.UTC().Format(time.DateTime)) {
		t.Errorf("status:\n%s", out)
	}
	s.await("it goes on by itself", 12*time.Second+heard, s.paused(false, false))
	s.await("the metric too", 2*time.Second, s.shows(`reaper_paused 0`))

	s.reaper("pause", "--reason", "a freeze")
	s.await("both are paused", heard, s.paused(true, true))
	s.reaper("resume")
	s.await("both go on", heard, s.paused(false, false))
	s.ends()
}

// A run that becomes due while its policy is paused is skipped, and made up once when the pause
// ends: no run waits, and the monitor gets no failure.
func TestRun_LeftForAPause(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	m := newMonitor(t)
	l := ledger.New(ledger.DefaultSchema, 0)
	if _, err := l.Migrate(t.Context(), db.Pool(t)); err != nil {
		t.Fatal(err)
	}
	if err := l.Pause(t.Context(), db.Pool(t), nil, time.Hour, "an audit", "ada"); err != nil {
		t.Fatal(err)
	}
	policy := strings.Replace(lettersPolicy("@every 1s", ""), "max_lag: 1h, ", "max_lag: 100y, ", 1) // what is overdue would still be overdue after a pause
	s := serve(t, db.DSN(), "guards: {max_pause: 1s}\n"+policy, "REAPER_HEARTBEAT="+m.URL+monitorPath)
	s.await("it is paused, and that is no alarm", 20*time.Second, func() bool { return s.paused(true)() && s.health(200)() })
	s.await("what is due is left", 10*time.Second, func() bool { return strings.Contains(s.text(), "run postponed: the policy is paused by hand") })
	time.Sleep(2 * time.Second) // several runs become due, and none may start
	if n := db.Int(t, `SELECT (SELECT count(*) FROM reaper.tick) + (SELECT count(*) FROM reaper.runs)`); n != 0 {
		t.Errorf("%d runs were begun, or claimed", n)
	}
	s.reaper("resume")
	alarm := ""
	s.await("it runs", 20*time.Second, func() bool {
		if code, body := s.get("/health"); code != 200 {
			alarm = body
		}
		return db.Int(t, `SELECT count(*) FROM reaper.runs WHERE status = 'complete'`) > 0
	})
	if alarm != "" {
		t.Errorf("the end of the pause was an alarm:\n%s", alarm)
	}
	if pings := m.got(); slices.Contains(pings, "/fail") {
		t.Errorf("pings: %q", pings)
	}
	if n := strings.Count(s.text(), "run postponed: the policy is paused by hand"); n != 1 {
		t.Errorf("it was said %d times that a run is left", n)
	}
	s.ends()
}

// A run that becomes due outside the windows of allow is skipped likewise, and made up when one
// opens.
func TestRun_LeftForAWindow(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	policy := strings.Replace(lettersPolicy("@every 1s", ""), "max_lag: 1h, ", "max_lag: 100y, ", 1)
	from := time.Now().UTC().Add(2 * time.Hour)
	s := serve(t, db.DSN(), fmt.Sprintf("guards: {every: 100ms, max_pause: 1s, allow: %q}\n", from.Format("15:04-")+from.Add(time.Hour).Format("15:04"))+policy)
	s.await("what is due is left", 20*time.Second, func() bool { return strings.Contains(s.text(), "run postponed: no window of allow is open") })
	time.Sleep(3 * time.Second) // several runs become due, and none may start
	if n := db.Int(t, `SELECT (SELECT count(*) FROM reaper.tick) + (SELECT count(*) FROM reaper.runs)`); n != 0 {
		t.Errorf("%d runs were begun, or claimed", n)
	}
	if code, body := s.get("/health"); code != 200 {
		t.Errorf("a window that is closed is an alarm: %d %s", code, body)
	}
	if n := strings.Count(s.text(), "run postponed: no window of allow is open"); n != 1 {
		t.Errorf("it was said %d times that a run is left", n)
	}
	write(t, s.cmd.Dir, "guards: {every: 100ms}\n"+policy)
	s.await("it runs", 20*time.Second, func() bool { return db.Int(t, `SELECT count(*) FROM reaper.runs WHERE status = 'complete'`) > 0 })
	s.ends()
}

// The leader records sizes, and any process can show the database's growth from them: a new process
// knows the previous days.
func TestRun_Growth(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	s := serve(t, db.DSN(), twoPolicies)
	kept := `SELECT count(*) FROM reaper.size WHERE database_bytes > 0 AND wal_bytes > 0 AND tables ? 'public.letters' AND tables ? 'public.pages'
		AND policies->'letters'->>'backlog' = '2000' AND policies->'cards'->>'backlog' = '0' AND policies->'letters' ?& ARRAY['deleted', 'inserted']`
	s.await("a size is kept, of all policies", 20*time.Second, func() bool {
		return db.Bool(t, `SELECT to_regclass('reaper.size') IS NOT NULL`) && db.Int(t, `SELECT count(*) FROM reaper.size`) > 0
	})
	if db.Int(t, kept) != 1 || db.Int(t, `SELECT count(*) FROM reaper.size`) != 1 {
		t.Errorf("kept: %s", db.Texts(t, `SELECT s::text FROM reaper.size s`))
	}
	s.ends()
	db.Exec(t, `INSERT INTO reaper.size SELECT at, pg_database_size(current_database()) - (1 << 20) * s, 1 << 24, '{"public.letters": 8192}',
			jsonb_build_object('letters', jsonb_build_object('backlog', round(2000 - s / 100), 'deleted', round(0 - s), 'inserted', round(2000 - 3 * s)))
		FROM (SELECT at, round(extract(epoch FROM now() - at)) AS s FROM generate_series(now() - interval '20 days', now() - interval '5 minutes', interval '10 minutes') at) x`)
	s = serve(t, db.DSN(), twoPolicies)
	var st web.Status
	s.await("the growth is known", 20*time.Second, func() bool {
		st = s.status()
		return st.Database.Forecast != nil && st.Database.Forecast.BytesPerSecond != nil && st.Policies[0].Balance != nil && st.Policies[0].Balance.Arrival != nil
	})
	f, b := st.Database.Forecast, st.Policies[0].Balance
	if rate := *f.BytesPerSecond; rate < 1<<20-1<<12 || rate > 1<<20+1<<12 || f.LimitBytes != nil || f.FullAt != nil || f.UsedBytes < 1<<24 {
		t.Errorf("forecast: %+v, %f bytes a second", f, rate)
	}
	if near := func(got *float64, want float64) bool { return got != nil && *got > want*0.98 && *got < want*1.02 }; !near(b.Arrival, 3) || !near(b.Deletion, 1) || !near(b.Due, 1.01) || b.ClearSeconds != nil {
		t.Errorf("balance: arrival %s, due %s, deletion %s, clear %v: %s", number(b.Arrival), number(b.Due), number(b.Deletion), b.ClearSeconds, b.Reason)
	}
	if n := len(st.Database.Sizes); n < 200 || n > 300 || time.Since(st.Database.Sizes[0].At) < 19*24*time.Hour {
		t.Errorf("%d sizes, from %s on", n, st.Database.Sizes[0].At)
	}
	for _, table := range st.Database.Tables {
		// Two sizes of the other table are known: the recorded one and the current one.
		if n := len(table.Sizes); n != 2 && table.Name == "public.pages" || n < 200 && table.Name == "public.letters" {
			t.Errorf("%d sizes of %s", n, table.Name)
		}
	}
	_, metrics := s.get("/metrics")
	for _, name := range []string{"reaper_storage_used_bytes ", "reaper_storage_growth_bytes_per_second 1.04", `reaper_arrival_rows_per_second{policy="letters"} `, `reaper_deletion_rows_per_second{policy="letters"} `} {
		if !strings.Contains(metrics, "\n"+name) {
			t.Errorf("no %s", name)
		}
	}
	for _, name := range []string{"reaper_storage_limit_bytes ", "reaper_storage_full_timestamp_seconds ", `reaper_backlog_clear_seconds{policy="letters"}`} {
		if strings.Contains(metrics, "\n"+name) {
			t.Errorf("there is %s", name)
		}
	}
	s.ends()
}

func number(n *float64) string {
	if n == nil {
		return "not known"
	}
	return fmt.Sprintf("%.3f", *n)
}
