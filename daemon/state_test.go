package daemon

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

const text = `version: 1
tenants: {table: orgs, key: id, retention: days, overrides: {"42": forever}}
policies:
  - {name: a, table: letters, age: at, tenant: org, schedule: "0 * * * *"}
`

func states(t *testing.T, text string) []*state {
	t.Helper()
	var all []*state
	for _, e := range entriesOf(t, Config{}, text) {
		all = append(all, &state{scheduled: scheduled{entry: e}})
	}
	return all
}

// A run is ended for a change of what it deletes, and for no other.
func TestDiffers(t *testing.T) {
	t.Parallel()
	before := states(t, text)[0]
	for _, c := range []struct {
		name, old, new string
		want           bool
	}{
		{"nothing", "", "", false},
		{"a comment, and so all places", "version: 1", "# a comment\nversion: 1", false},
		{"its schedule", "0 * * * *", "5 * * * *", false},
		{"its max_lag", "tenant: org,", "tenant: org, max_lag: 1h,", false},
		{"another policy", "  - {name: a", "  - {name: b, table: other, age: at, tenant: org}\n  - {name: a", false},
		{"a hold of all tenants", "retention: days,", "retention: days, hold: held,", true},
		{"an override", `"42"`, `"43"`, true},
		{"its own retention", "tenant: org,", "tenant: org, retention: 400d,", true},
		{"its dependents", "tenant: org,", "tenant: org, dependents: [{table: seals, action: keep}],", true},
		{"safety", "policies:", "safety: {synchronous_commit: on}\npolicies:", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for _, s := range states(t, strings.Replace(text, c.old, c.new, 1)) {
				if s.name() == "a" && s.differs(before.entry) != c.want {
					t.Errorf("differs: %t", !c.want)
				}
			}
		})
	}
}

// byHandReason is that of a run which a pause by hand has outlasted.
const byHandReason = "paused for 30m0s (max_pause) by the guard by_hand: until 2026-11-24 18:00:00 UTC, by ada: an audit"

// A pause by hand is no failure to the monitor; what went wrong besides is.
func TestVerdictOfAPause(t *testing.T) {
	t.Parallel()
	p := states(t, text)[0].policy
	for _, c := range []struct {
		name   string
		report purge.PolicyReport
		want   heartbeat.Event
	}{
		{"by hand", purge.PolicyReport{Status: purge.Incomplete, Reason: byHandReason}, heartbeat.Log},
		{"by hand, and a tenant failed", purge.PolicyReport{Status: purge.Incomplete, Reason: byHandReason, Tenants: purge.TenantCounts{Failed: 1}}, heartbeat.Fail},
		{"by a guard", purge.PolicyReport{Status: purge.Incomplete, Reason: strings.Replace(byHandReason, "by_hand", "latency", 1)}, heartbeat.Fail},
		{"a failure", purge.PolicyReport{Status: purge.Failed, Reason: byHandReason}, heartbeat.Fail},
	} {
		if got := Verdict(p, "", &c.report); got.Event != c.want || got.Reason == "" {
			t.Errorf("%s: %+v, want %s", c.name, got, c.want)
		}
	}
}

// How long a policy is failing does not depend on how many runs are shown.
func TestFailingSince(t *testing.T) {
	t.Parallel()
	s := states(t, text)[0]
	s.loaded = noon
	at := func(hours int) ledger.Ended {
		end := noon.Add(time.Duration(hours) * time.Hour)
		return ledger.Ended{LastRun: ledger.LastRun{Trigger: bySchedule, Status: "failed", FinishedAt: &end}}
	}
	first := at(-30)
	s.ended, s.failure = []ledger.Ended{at(-1), at(-2)}, &first
	if since, _ := s.failing(noon); since == nil || !since.Equal(*first.FinishedAt) {
		t.Errorf("failing since %v, want the first of its failures", since)
	}
	s.ended = append(s.ended, ledger.Ended{Success: true})
	if since, _ := s.failing(noon); since == nil || !since.Equal(noon.Add(-2*time.Hour)) {
		t.Errorf("failing since %v, want the first after the success that is shown", since)
	}
}

func TestFailing(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 30, 0, 0, time.UTC)
	ended := func(trigger, status string, success bool) ledger.Ended {
		at := now.Add(-time.Hour)
		return ledger.Ended{LastRun: ledger.LastRun{Trigger: trigger, Status: status, FinishedAt: &at}, Success: success}
	}
	died := func(trigger string) ledger.Ended {
		e := ended(trigger, "failed", false)
		e.Reason = ledger.DiedReason
		return e
	}
	for _, c := range []struct {
		name string
		set  func(*state)
		says string
	}{
		{"nothing yet", func(*state) {}, ""},
		{"a success", func(s *state) {
			s.ended = []ledger.Ended{ended("schedule", "complete", true), ended("schedule", "failed", false)}
		}, ""},
		{"a failure", func(s *state) {
			s.ended = []ledger.Ended{ended("schedule", "failed", false), ended("schedule", "complete", true)}
		}, "ended failed"},
		{"a helper was ended", func(s *state) {
			s.ended = []ledger.Ended{ended("assist", "incomplete", false), ended("schedule", "complete", true)}
		}, ""},
		{"a narrowed purge does not mend it", func(s *state) {
			s.ended = []ledger.Ended{ended("manual", "complete", false), ended("schedule", "failed", false)}
		}, "ended failed"},
		{"a whole purge does", func(s *state) {
			s.ended = []ledger.Ended{ended("manual", "complete", true), ended("schedule", "failed", false)}
		}, ""},
		{"a bounded purge is no failure", func(s *state) {
			s.ended = []ledger.Ended{ended("manual", "incomplete", false), ended("schedule", "complete", true)}
		}, ""},
		{"a pause by hand outlasted it", func(s *state) {
			e := ended("schedule", "incomplete", false)
			e.Reason = byHandReason
			s.ended = []ledger.Ended{e, ended("schedule", "complete", true)}
		}, ""},
		{"a pause by hand does not mend what failed before", func(s *state) {
			e := ended("schedule", "incomplete", false)
			e.Reason = byHandReason
			s.ended = []ledger.Ended{e, ended("schedule", "failed", false)}
		}, "ended failed"},
		{"the end of a window outlasted it", func(s *state) {
			e := ended("schedule", "incomplete", false)
			e.Reason = strings.Replace(byHandReason, "by_hand", "allow", 1)
			s.ended = []ledger.Ended{e, ended("schedule", "complete", true)}
		}, ""},
		{"a deploy ended it, and another run resumes it", func(s *state) {
			e := ended("schedule", "incomplete", false)
			e.Reason = "interrupted by a signal"
			s.ended = []ledger.Ended{e, ended("schedule", "complete", true)}
		}, ""},
		{"a deploy does not mend what failed before", func(s *state) {
			e := ended("catch_up", "failed", false)
			e.Reason = "context canceled; interrupted by a signal"
			s.ended = []ledger.Ended{e, ended("schedule", "failed", false)}
		}, "ended failed"},
		{"nobody resumes the run of a CronJob that a signal ended", func(s *state) {
			e := ended("once", "incomplete", false)
			e.Reason = "interrupted by a signal"
			s.ended = []ledger.Ended{e, ended("once", "complete", true)}
		}, "interrupted by a signal"},
		{"a process that was killed", func(s *state) {
			s.ended = []ledger.Ended{died("schedule"), ended("schedule", "complete", true)}
		}, "ended without closing"},
		{"another run resumes that of a process that was killed", func(s *state) {
			s.last = &web.Run{Status: "running"}
			s.ended = []ledger.Ended{died("schedule"), ended("schedule", "complete", true)}
		}, ""},
		{"one process after the other is killed", func(s *state) {
			s.last = &web.Run{Status: "running"}
			s.ended = []ledger.Ended{died("schedule"), died("catch_up"), ended("schedule", "complete", true)}
		}, "ended without closing"},
		{"a kill does not mend what failed before", func(s *state) {
			s.last = &web.Run{Status: "running"}
			s.ended = []ledger.Ended{died("schedule"), ended("schedule", "failed", false)}
		}, "ended failed"},
		{"nobody resumes a CronJob's run that was killed", func(s *state) {
			s.last = &web.Run{Status: "running"}
			s.ended = []ledger.Ended{died("once"), ended("once", "complete", true)}
		}, "ended without closing"},
		{"due outside the windows", func(s *state) { s.handled = now.Add(-2 * time.Hour); s.outside = true }, ""},
		{"another guard's pause outlasted it", func(s *state) {
			e := ended("schedule", "incomplete", false)
			e.Reason = strings.Replace(byHandReason, "by_hand", "latency", 1)
			s.ended = []ledger.Ended{e}
		}, "by the guard latency"},
		{"left for a pause that has just ended", func(s *state) { s.handled = now.Add(-2 * time.Hour); s.resumed = now.Add(-time.Minute) }, ""},
		{"left for a pause that ended long ago", func(s *state) { s.handled = now.Add(-2 * time.Hour); s.resumed = now.Add(-10 * time.Minute) }, "has not begun"},
		{"due and not begun", func(s *state) { s.handled = now.Add(-2 * time.Hour); s.trouble = "no privilege" }, "has not begun: no privilege"},
		{"due, and running elsewhere", func(s *state) { s.handled = now.Add(-2 * time.Hour); s.last = &web.Run{Status: "running"} }, ""},
		{"due a moment ago", func(s *state) { s.handled = now.Add(-31 * time.Minute); s.later = 27 * time.Minute }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := states(t, text)[0]
			s.loaded = now
			c.set(s)
			if _, reason := s.failing(now); c.says == "" && reason != "" || !strings.Contains(reason, c.says) {
				t.Errorf("%q, want %q", reason, c.says)
			}
		})
	}
}

// An observer knows only from the ledger whether what was due has begun; what a
// person ran is not what was due.
func TestFailing_Observed(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 30, 0, 0, time.UTC) // due at 12:00
	begun := func(trigger string, ago time.Duration) ledger.Ended {
		at := now.Add(time.Second - ago)
		return ledger.Ended{LastRun: ledger.LastRun{Trigger: trigger, Status: "complete", StartedAt: now.Add(-ago), FinishedAt: &at}, Success: true}
	}
	for _, c := range []struct {
		name string
		set  func(*state)
		says string
	}{
		{"no run yet, and nothing was due", func(s *state) { s.loaded = now.Add(-29 * time.Minute) }, ""},
		{"no run yet, and one was due", func(s *state) { s.loaded = now.Add(-time.Hour) }, "has not begun"},
		{"it ran", func(s *state) { s.ended = []ledger.Ended{begun("once", 29*time.Minute)} }, ""},
		{"it ran, and the database's clock is slow", func(s *state) { s.ended = []ledger.Ended{begun("once", 30*time.Minute+20*time.Second)} }, ""},
		{"the newest run began since", func(s *state) {
			s.last = &web.Run{Trigger: "once", StartedAt: now.Add(-29 * time.Minute), FinishedAt: &now}
			s.ended = []ledger.Ended{begun("once", 89*time.Minute)}
		}, ""},
		{"the last one was an hour before", func(s *state) { s.ended = []ledger.Ended{begun("once", 89*time.Minute)} }, "has not begun"},
		{"a person's purge is no run of the schedule", func(s *state) {
			s.ended = []ledger.Ended{begun("manual", 20*time.Minute), begun("once", 89*time.Minute)}
		}, "has not begun"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := states(t, text)[0]
			s.observed, s.loaded = true, now
			c.set(s)
			if _, reason := s.failing(now); c.says == "" && reason != "" || !strings.Contains(reason, c.says) {
				t.Errorf("%q, want %q", reason, c.says)
			}
		})
	}
}

func TestOffset(t *testing.T) {
	t.Parallel()
	s, err := policy.ParseSchedule("@every 100s", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[time.Duration]bool{}
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		o := offset(name, s, time.Minute)
		if o < 0 || o >= 10*time.Second || o != offset(name, s, time.Minute) {
			t.Errorf("%s: %s", name, o)
		}
		seen[o] = true
	}
	if len(seen) < 4 {
		t.Errorf("not spread: %v", seen)
	}
	if o := offset("a", s, 0); o != 0 {
		t.Errorf("%s without jitter", o)
	}
}

// Guards are the same wherever they stand in the file: windows too, whose zones have
// fields that nobody may look into.
func TestGuardsWithoutPlaces(t *testing.T) {
	t.Parallel()
	const windows = "\nguards: {allow: [\"22:00-06:00 Europe/Paris\", \"Sat 00:00-24:00\"]}\n"
	parse := func(text string) any {
		file, err := policy.Parse("reaper.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return unplacedValue(file.Guards)
	}
	one, same, other := parse(text+windows), parse(text+"\n\n"+windows), parse(text+strings.Replace(windows, "Paris", "Oslo", 1))
	if !reflect.DeepEqual(one, same) || reflect.DeepEqual(one, other) {
		t.Errorf("the same guards are equal: %t, others: %t", reflect.DeepEqual(one, same), reflect.DeepEqual(one, other))
	}
}

// An empty section of guards says something: what cannot be read counts as unknown then,
// and not as off.
func TestGuardsAreAskedFor(t *testing.T) {
	t.Parallel()
	guards := func(text string) any {
		file, err := policy.Parse("reaper.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return unplacedValue(file.Guards)
	}
	if reflect.DeepEqual(guards(text), guards(text+"guards: {}\n")) {
		t.Error("the section is not seen")
	}
}
