package web_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reaperdb/reaper/web"
)

func TestHealth(t *testing.T) {
	t.Parallel()
	const ok, no = http.StatusOK, http.StatusServiceUnavailable
	for name, c := range map[string]struct {
		change  func(*web.Status)
		process int // /readyz/process
		ready   int // /readyz
		health  int
		reasons []string
	}{
		"all is well": {func(*web.Status) {}, ok, ok, ok, nil},
		"the database is gone": {
			func(s *web.Status) { s.Database = down().Database }, ok, no, no,
			[]string{"the database does not answer, since 2026-03-02T03:18:30Z: connecting to the database: dial tcp 10.0.0.7:5432: connect: connection refused"},
		},
		"the database was gone before the ledger could be read": {
			func(s *web.Status) { s.Database, s.LedgerError = down().Database, "it has not been read yet" }, ok, no, no,
			[]string{"the database does not answer, since 2026-03-02T03:18:30Z: connecting to the database: dial tcp 10.0.0.7:5432: connect: connection refused"},
		},
		"the loop hangs": {
			func(s *web.Status) { s.At = now.Add(-web.DefaultMaxAge - time.Second) }, no, no, no,
			[]string{"reaper is stuck; its data is 11 s old, since 2026-03-02T04:12:19Z"},
		},
		"just in time": {func(s *web.Status) { s.At = now.Add(-web.DefaultMaxAge) }, ok, ok, ok, nil},
		"nothing yet":  {func(s *web.Status) { *s = web.Status{} }, no, no, no, []string{"reaper has just started and has no data yet"}},
		"no policy":    {func(s *web.Status) { s.Policies = nil }, ok, no, no, []string{"there is no policy"}},
		"the ledger cannot be used": {
			func(s *web.Status) { s.LedgerError = "no privilege" }, ok, no, no, []string{"reaper's ledger cannot be used, and nothing runs: no privilege"},
		},
		"a broken file": {
			func(s *web.Status) { s.Config.Error = "reaper.yaml:1:1: no" }, ok, no, no,
			[]string{"the policy file is not valid; the one loaded at 27 Feb 04:12 UTC stays in effect: reaper.yaml:1:1: no"},
		},
		"never a good file": {
			func(s *web.Status) { s.Config = web.Config{Error: "no"}; s.Policies = nil }, no, no, no, []string{"the policy file is not valid: no"},
		},
		"late": {
			func(s *web.Status) { s.Policies[0].Late, s.Policies[0].LagSeconds = true, new(13*3600.0) }, ok, ok, no,
			[]string{"policy emails is late by 1 h (lag 13 h, allowed 12 h)"},
		},
		"late, who knows how much": {
			func(s *web.Status) { s.Policies[1].Late, s.Policies[1].LagSeconds = true, nil }, ok, ok, no, []string{"policy audit-log is late"},
		},
		"failing": {
			func(s *web.Status) {
				s.Policies[1].Failing, s.Policies[1].FailingSince, s.Policies[1].Reason = true, ago(day), "no privilege"
			}, ok, ok, no,
			[]string{"policy audit-log is failing, since 2026-03-01T04:12:30Z: no privilege"},
		},
		"all of it": {
			func(s *web.Status) {
				s.Database.Up, s.Config.Error = false, "no"
				s.Policies[0].Late, s.Policies[1].Failing = true, true
			}, ok, no, no,
			[]string{
				"the database does not answer", "the policy file is not valid; the one loaded at 27 Feb 04:12 UTC stays in effect: no",
				"policy emails is late with a lag of 3 h", "policy audit-log is failing",
			},
		},
		"paused, stale, and no pings": {
			func(s *web.Status) {
				s.Policies[0].Paused, s.Policies[0].ScanStale, s.Heartbeats[0].LastError = true, true, "500"
			}, ok, ok, ok, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fine()
			c.change(&s)
			answers(t, s, "/healthz", ok, nil)
			answers(t, s, "/health", c.health, c.reasons)
			reasons := c.reasons
			if c.process == ok { // whatever the database and the policies are like
				reasons = nil
			}
			answers(t, s, "/readyz/process", c.process, reasons)
			reasons = c.reasons
			if c.ready == ok {
				reasons = nil
			} else if len(reasons) == 4 {
				reasons = reasons[:2] // the state of policies does not matter here
			}
			answers(t, s, "/readyz", c.ready, reasons)
		})
	}
}

func answers(t *testing.T, s web.Status, path string, code int, reasons []string) {
	t.Helper()
	w := ask(t, http.MethodGet, path, s)
	var body struct {
		OK      bool
		Reasons []string
		At      *time.Time
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatal(err)
	}
	if w.Code != code || body.OK != (code == http.StatusOK) || !slices.Equal(body.Reasons, reasons) || body.Reasons == nil {
		t.Errorf("%s: %d %s\nwant %d %q", path, w.Code, w.Body, code, reasons)
	}
}

// Manual pauses and pausing guards appear in /health without making it unhealthy.
func TestHealthNotes(t *testing.T) {
	t.Parallel()
	s := paused()
	s.Policies[0].Running = &web.Progress{Held: &web.Held{Guard: "storage", State: "pause", Reason: "full", Since: *ago(time.Minute)}}
	s.Database.Forecast.FullAt = ago(-27 * day)
	var body struct {
		OK    bool
		Notes []string
	}
	want := []string{
		"every policy is paused by hand until 06:00 UTC (in 1 h 48 min), since 2026-03-02T04:00:30Z: moving the archive table, see OPS-1234 (ann@laptop)",
		"policy emails is held back by the guard storage, since 2026-03-02T04:11:30Z: full",
		"the limit of 500 GiB is reached in 27 d: it grows by 1.0 GiB a day, over 7 days, one jump left out",
	}
	w := ask(t, http.MethodGet, "/health", s)
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Code != http.StatusOK || !body.OK || !slices.Equal(body.Notes, want) {
		t.Errorf("%v, %d %s\nwant %q", err, w.Code, w.Body, want)
	}
}

// The machine's clock may jump; a snapshot's age does not.
func TestAgeByTheProcessClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := fine()
		s.At = time.Now()
		if v := s.Judge(time.Now(), time.Minute); !v.Healthy() || !v.Ready() {
			t.Errorf("at once: %v", v.Problems())
		}
		time.Sleep(time.Minute + time.Second)
		if v := s.Judge(time.Now(), time.Minute); v.Healthy() || v.Ready() || !v.Stale {
			t.Error("a minute and a second later it still counts")
		}
	})
}
