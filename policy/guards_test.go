package policy_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/policy"
)

// inGuards places a line at 9:3.
func inGuards(line string) string {
	return "version: 1\npolicies:\n- name: a\n  table: t\n  age: at\n  tenant: none\n  retention: 90d\nguards:\n  " + line + "\n"
}

// guardMistakes are single mistakes in the guards section.
var guardMistakes = []mistake{
	{file: inGuards("every: 5"), at: "9:10", words: "5 has no unit|like 5s", shape: true},
	{file: inGuards("every: 10ms"), at: "9:3", words: "every must be from 100ms to 1m"},
	{file: inGuards("timeout: 5m"), at: "9:3", words: "timeout must be 1m at most"},
	{file: inGuards("max_pause: 0s"), at: "9:14", words: "is zero|like 10s", shape: true},
	{file: inGuards("unknown: go"), at: "9:12", words: "one of pause, stop, slow, ignore", shape: true},
	{file: inGuards("hysteresis: 60%"), at: "9:15", words: "from 1% to 50%", shape: true},
	{file: inGuards("hysteresis: 10"), at: "9:15", words: "no unit|10%", shape: true},
	{file: inGuards("wal_backlogs: off"), at: "9:3", words: "did you mean wal_backlog?", shape: true},
	{file: inGuards("wal_backlog: on"), at: "9:16", words: "a mapping of thresholds, or off", shape: true},
	{file: inGuards("wal_backlog: {slow: 1}"), at: "9:23", words: "1 has no unit|like 1GB", shape: true},
	{file: inGuards("wal_backlog: {slow: 80%}"), at: "9:23", words: "size \"80%\"", shape: true},
	{file: inGuards("wal_backlog: {fast: 1GB}"), at: "9:17", words: "unknown key \"fast\" in wal_backlog", shape: true},
	{file: inGuards("wal_backlog: {slow: 2GB, pause: 1GB}"), at: "9:35", words: "wal_backlog: slow must be below pause"},
	{file: inGuards("wal_backlog: {pause: 512MB}"), at: "9:24", words: "slow (by default) must be below pause|write both"},
	{file: inGuards("wal_backlog: {slow: 10GB}"), at: "9:23", words: "slow must be below pause (by default)"},
	{file: inGuards("wal_backlog: {slow: none, stop: 2GB}"), at: "9:35", words: "pause (by default) must be below stop"},
	{file: inGuards("wal_rate: {of: reaper}"), at: "9:13", words: "wal_rate has no threshold|wal_rate: off"},
	{file: inGuards("wal_rate: {of: me, pause: 1MB}"), at: "9:18", words: "one of server, reaper", shape: true},
	{file: inGuards("dead_rows: {vacuuming: stop}"), at: "9:26", words: "one of go, slow, pause", shape: true},
	{file: inGuards("dead_rows: {slow: 0%}"), at: "9:21", words: "whole percentage above zero", shape: true},
	{file: inGuards("custom: [{name: by_hand, query: SELECT 1, slow: 1}]"), at: "9:19", words: "by_hand is a built-in guard"},
	{file: inGuards("connections: {slow: 80%, pause: 120%}"), at: "9:35", words: "connections: pause is above 100%|never be reached"},
	{file: inGuards("connections: {slow: 101%}"), at: "9:23", words: "connections: slow is above 100%"},
	{file: inGuards("dead_rows: {pause: 150%}"), at: "9:22", words: "dead_rows: pause is above 100%"},
	{file: inGuards("storage: {limit: 5GB, stop: 6GB}"), at: "9:31", words: "storage: stop is above the limit"},
	{file: inGuards("storage: {limit: 5GB, stop: 101%}"), at: "9:31", words: "storage: stop is above the limit"},
	{file: inGuards("lock_waits: {slow: 1.5}"), at: "9:22", words: "whole number from 1", shape: true},
	{file: inGuards("lock_waits: {slow: '1'}"), at: "9:22", words: "without quotes", shape: true},
	{file: inGuards("replica_lag: {replicas: 0}"), at: "9:27", words: "replicas must be a whole number from 1 to", shape: true},
	{file: inGuards("replica_lag: {pause_bytes: 100MB}"), at: "9:30", words: "replica_lag, bytes: slow (by default)"},
	{file: inGuards("latency: {slow: 1y}"), at: "9:19", words: "ms, s, m, h, d", shape: true},
	{file: inGuards("storage: {slow: 80%}"), at: "9:12", words: "neither limit nor free|storage: off"},
	{file: inGuards("storage: {limit: 1GB, free: {query: SELECT 1}, pause: 1GB}"), at: "9:31", words: "limit and free: remove one"},
	{file: inGuards("storage: {free: {query: SELECT 1}, pause: 10%}"), at: "9:45", words: "a percentage needs a limit|10GB"},
	{file: inGuards("storage: {free: {query: SELECT 1}, slow: 10GB}"), at: "9:12", words: "no pause threshold"},
	{file: inGuards("storage: {free: {query: SELECT 1}, slow: 10GB, pause: 20GB}"), at: "9:57", words: "slow must be above pause"},
	{file: inGuards("storage: {free: {query: DROP TABLE t}, pause: 20GB}"), at: "9:27", words: "begin with SELECT|one number"},
	{file: inGuards("storage: {free: {query: up, prometheus: " + secret + "}, pause: 20GB}"), at: "9:43", words: "a complete URL|secret", shape: true},
	{file: inGuards("storage: {free: {prometheus: https://x}, pause: 20GB}"), at: "9:19", words: "free has no query", shape: true},
	{file: inGuards("custom: [{name: a, query: SELECT 1}]"), at: "9:12", words: "the guard a has no threshold"},
	{file: inGuards("custom: [{name: A, query: SELECT 1, slow: 1}]"), at: "9:19", words: "a-z, 0-9, - and _", shape: true},
	{file: inGuards("custom: [{name: storage, query: SELECT 1, slow: 1}]"), at: "9:19", words: "a built-in guard"},
	{file: inGuards("custom: [{name: a, query: SELECT 1, slow: 1}, {name: a, query: SELECT 1, slow: 1}]"), at: "9:56", words: "guard a is already defined on line 9"},
	{file: inGuards("custom: [{name: a, query: '', slow: 1}]"), at: "9:29", words: "query is empty", shape: true},
	{file: inGuards("custom: [{name: a, query: SELECT 1, slow: 1s}]"), at: "9:45", words: "must be a number", shape: true},
	{file: inGuards("custom: [{name: a, query: SELECT 1, slow: .nan}]"), at: "9:45", words: "must be a number"},
	{file: inGuards("custom: [{name: a, query: SELECT 1, slow: 1, pause: 2, below: true}]"), at: "9:55", words: "slow must be above pause"},
	{file: inGuards("custom: [{name: a, query: SELECT 1, slow: 1, below: 'yes'}]"), at: "9:55", words: "true or false", shape: true},
	{file: inGuards("allow: []"), at: "9:10", words: "empty list", shape: true},
	{file: inGuards("allow: at night"), at: "9:10", words: "at is not a list of days"},
	{file: inGuards("allow: 22:00"), at: "9:10", words: "HH:MM-HH:MM", shape: true},
	{file: inGuards("allow: [22:00-06:00, 6:00-7:00]"), at: "9:24", words: "HH:MM-HH:MM", shape: true},
	{file: inGuards("allow: 22:00-24:01"), at: "9:10", words: "HH:MM-HH:MM"},
	{file: inGuards("allow: 22:00-22:00"), at: "9:10", words: "same time|00:00-24:00"},
	{file: inGuards("allow: 22:00-06:00 Europe/Atlantis"), at: "9:10", words: "unknown time zone Europe/Atlantis"},
	{file: inGuards("allow: 22:00-06:00 Local"), at: "9:10", words: "unknown time zone Local"},
	{file: inGuards("allow: Mon-Frei 22:00-06:00"), at: "9:10", words: "Mon-Frei is not a list of days|Mon-Fri"},
}

func parseGuards(t *testing.T, file string) guard.Config {
	t.Helper()
	f, err := policy.Parse("reaper.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return f.Guards
}

// from makes thresholds; 0 means none.
func from(slow, pause, stop float64) (t guard.Levels) {
	for _, x := range []struct {
		at    **float64
		value float64
	}{{&t.Slow, slow}, {&t.Pause, pause}, {&t.Stop, stop}} {
		if x.value != 0 {
			*x.at = &x.value
		}
	}
	return t
}

const gb = 1 << 30

// off is the Off of a guard that the file turns off.
const off = "turned off in the policy file"

// implied is the configuration of a file without the section.
func implied() guard.Config {
	g := defaultGuards()
	g.Implicit = true // guards are not configured
	return g
}

// defaultGuards is the configuration of a file with an empty section.
func defaultGuards() guard.Config {
	g := func(t guard.Levels) guard.Signal {
		return guard.Signal{Levels: t, Unknown: guard.Pause}
	}
	return guard.Config{
		Every: 5 * time.Second, Timeout: 2 * time.Second, MaxPause: 30 * time.Minute, Hysteresis: 0.1,
		Storage:           guard.Storage{Signal: g(guard.Levels{})},
		WALBacklog:        g(from(1*gb, 5*gb, 0)),
		WALRate:           guard.WALRate{Signal: g(guard.Levels{})},
		ReplicaLag:        guard.ReplicaLag{Signal: g(from(10, 60, 0)), Bytes: from(gb/4, gb, 0)},
		Connections:       g(from(0.8, 0.9, 0)),
		LockWaits:         g(from(1, 3, 0)),
		OldestTransaction: g(from(900, 7200, 0)),
		DeadRows:          guard.DeadRows{Signal: g(guard.Levels{})},
		Latency:           g(from(0.5, 5, 0)),
		Checkpoint:        g(from(1.5, 3, 0)),
	}
}

// compare compares zones by name.
func compare(t *testing.T, got, want guard.Config) {
	t.Helper()
	zones := cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })
	if diff := cmp.Diff(want, got, zones, cmpopts.EquateApprox(1e-9, 0)); diff != "" {
		t.Error(diff)
	}
}

func TestGuardsByDefault(t *testing.T) {
	none := parseGuards(t, "version: 1\npolicies:\n- name: a\n  table: t\n  age: at\n  tenant: none\n  retention: 90d\n")
	compare(t, none, implied())
	empty := parseGuards(t, "version: 1\nguards: {}\npolicies:\n- name: a\n  table: t\n  age: at\n  tenant: none\n  retention: 90d\n")
	compare(t, empty, defaultGuards())
}

func TestGuards(t *testing.T) {
	got := parseGuards(t, `version: 1
policies:
- {name: a, table: t, age: at, tenant: none, retention: 90d}
guards:
  every: 100ms
  timeout: 1s
  max_pause: 2h
  unknown: stop
  hysteresis: 20%
  storage: {limit: 100GB, pause: 85GB, unknown: ignore}
  wal_backlog: {slow: none, pause: 8GB, stop: 20GB}
  wal_rate: {pause: 50MB, of: reaper}
  replica_lag: {slow: 5s, pause: 2m, slow_bytes: 512MB, pause_bytes: 2GB, replicas: 2}
  connections: off
  lock_waits: {slow: none, pause: 1}
  oldest_transaction: {stop: 1d}
  dead_rows: {vacuuming: slow}
  latency: {slow: 50ms, pause: 1s}
  checkpoint: {slow: 100%, pause: 200%}
  custom:
  - {name: queue_depth, query: SELECT count(*) FROM jobs;, slow: 1000, pause: 5000.5, below: false}
  - {name: free-slots, prometheus: https://me:hunter2@prometheus.example, query: slots_free, slow: 5, pause: 0, stop: -1, below: true, unknown: slow}
  allow: ["22:00-06:00 Europe/Paris", "Fri-Mon 00:00-24:00"]
`)
	want := defaultGuards()
	want.Every, want.Timeout, want.MaxPause, want.Hysteresis = 100*time.Millisecond, time.Second, 2*time.Hour, 0.2
	g := func(t guard.Levels) guard.Signal {
		return guard.Signal{Levels: t, Unknown: guard.Stop}
	}
	want.Storage = guard.Storage{Limit: 100 * gb, Signal: guard.Signal{Levels: from(80*gb, 85*gb, 97*gb), Ignore: true}}
	want.WALBacklog = g(from(0, 8*gb, 20*gb))
	want.WALRate = guard.WALRate{Signal: g(from(0, 50<<20, 0)), Own: true}
	want.ReplicaLag = guard.ReplicaLag{Signal: g(from(5, 120, 0)), Bytes: from(gb/2, 2*gb, 0), Replicas: 2}
	want.Connections = guard.Signal{Off: off, Unknown: guard.Stop}
	want.LockWaits = g(from(0, 1, 0))
	want.OldestTransaction = g(from(900, 7200, 86400))
	want.DeadRows = guard.DeadRows{Signal: g(guard.Levels{}), Vacuuming: guard.Slow}
	want.Latency, want.Checkpoint = g(from(0.05, 1, 0)), g(from(1, 2, 0))
	zero, minus := 0.0, -1.0
	low := from(5, 0, 0)
	low.Pause, low.Stop = &zero, &minus
	want.Custom = []guard.Custom{
		{Name: "queue_depth", Query: guard.Query{SQL: "SELECT count(*) FROM jobs"}, Signal: g(from(1000, 5000.5, 0))},
		{
			Name: "free-slots", Below: true, Signal: guard.Signal{Levels: low, Unknown: guard.Slow},
			Query: guard.Query{SQL: "slots_free", Prometheus: "https://me:hunter2@prometheus.example"},
		},
	}
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	want.Allow = []guard.Window{
		{From: 22 * 60, To: 6 * 60, Zone: paris},
		{From: 0, To: 24 * 60, Zone: time.UTC, Days: [7]bool{time.Friday: true, time.Saturday: true, time.Sunday: true, time.Monday: true}},
	}
	compare(t, got, want)
}

func TestGuardsOfFreeSpace(t *testing.T) {
	got := parseGuards(t, inGuards("storage: {free: {query: SELECT 1}, slow: 20GB, pause: 10GB}"))
	want := defaultGuards()
	want.Storage.Free.SQL = "SELECT 1"
	want.Storage.Levels = from(20*gb, 10*gb, 0)
	compare(t, got, want)
	compare(t, parseGuards(t, inGuards("storage: off")), func() guard.Config {
		g := defaultGuards()
		g.Storage.Off = off
		return g
	}())
}

func TestGuardsOfOtherKinds(t *testing.T) {
	c := parseGuards(t, "version: 1\npolicies: [{name: a, table: t, age: at, tenant: none, retention: 1d}]\n"+`guards:
  unknown: stop
  storage: {free: {query: free, prometheus: "https://prometheus.example"}, pause: 1GB}
  wal_rate: {pause: 1MB, of: reaper}
  replica_lag: {replicas: 2, unknown: ignore}
  latency: off
  dead_rows: {vacuuming: pause}
  custom: [{name: free_slots, query: SELECT 1, pause: 3, below: true, unknown: slow}]
  allow: Mon 22:00-06:00
`)
	want := c
	want.Storage.Free = guard.Query{SQL: "free", Prometheus: "https://prometheus.example"}
	want.Storage.Signal = guard.Signal{Levels: guard.Levels{Pause: guard.At(1 << 30)}, Unknown: guard.Stop}
	want.WALRate = guard.WALRate{Own: true, Signal: guard.Signal{Levels: guard.Levels{Pause: guard.At(1 << 20)}, Unknown: guard.Stop}}
	want.ReplicaLag.Replicas, want.ReplicaLag.Ignore, want.ReplicaLag.Unknown = 2, true, guard.Go
	want.Latency = guard.Signal{Off: off, Unknown: guard.Stop}
	want.DeadRows = guard.DeadRows{Signal: guard.Signal{Unknown: guard.Stop}, Vacuuming: guard.Pause}
	want.Custom = []guard.Custom{{
		Name: "free_slots", Query: guard.Query{SQL: "SELECT 1"}, Below: true,
		Signal: guard.Signal{Levels: guard.Levels{Pause: guard.At(3)}, Unknown: guard.Slow},
	}}
	want.Allow = []guard.Window{{From: 22 * 60, To: 6 * 60, Days: [7]bool{time.Monday: true}, Zone: time.UTC}}
	compare(t, c, want)
}

// A formatted window parses back to the same.
func TestWindowString(t *testing.T) {
	for in, want := range map[string]string{
		"22:00-06:00":                    "22:00-06:00 UTC",
		"Sat,Sun 00:00-24:00":            "Sun,Sat 00:00-24:00 UTC",
		"Mon-Wed 01:30-02:00 Asia/Tokyo": "Mon,Tue,Wed 01:30-02:00 Asia/Tokyo",
		"Sat-Mon 23:59-00:00 UTC":        "Sun,Mon,Sat 23:59-00:00 UTC",
	} {
		w, err := policy.ParseWindow(in)
		if err != nil || w.String() != want {
			t.Errorf("%s is %s (%v), want %s", in, w, err, want)
			continue
		}
		if again, err := policy.ParseWindow(w.String()); err != nil || again.String() != want {
			t.Errorf("%s is read back as %s (%v)", w, again, err)
		}
	}
}
