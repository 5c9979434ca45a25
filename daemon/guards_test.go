package daemon_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/daemon"
	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/policy"
)

const onePolicy = "version: 1\npolicies: [{name: a, table: t, age: at, tenant: none, retention: 1d}]\n"

func guardConfig(t *testing.T, file string) guard.Config {
	t.Helper()
	f, err := policy.Parse("reaper.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return daemon.GuardConfig(f, "reaper")
}

func at(slow, pause float64) guard.Signal {
	return guard.Signal{Levels: guard.Levels{Slow: &slow, Pause: &pause}, Unknown: guard.Pause}
}

func TestGuardConfigByDefault(t *testing.T) {
	t.Parallel()
	unwatched := guard.Signal{Unknown: guard.Pause}
	want := guard.Config{
		Every: 5 * time.Second, Timeout: 2 * time.Second, MaxPause: 30 * time.Minute, Hysteresis: 0.1, Application: "reaper", Implicit: true,
		Storage: guard.Storage{Signal: unwatched}, WALBacklog: at(1<<30, 5<<30), WALRate: guard.WALRate{Signal: unwatched},
		ReplicaLag:  guard.ReplicaLag{Signal: at(10, 60), Bytes: at(256<<20, 1<<30).Levels},
		Connections: at(0.8, 0.9), LockWaits: at(1, 3), OldestTransaction: at(900, 7200), DeadRows: guard.DeadRows{Signal: unwatched},
		Latency: at(0.5, 5), Checkpoint: at(1.5, 3),
	}
	if diff := cmp.Diff(want, guardConfig(t, onePolicy)); diff != "" {
		t.Error(diff)
	}
	if c := guardConfig(t, onePolicy+"guards: {}\n"); c.Implicit {
		t.Error("an empty section asks for guards, and is not heard")
	}
}

func TestGuardConfig(t *testing.T) {
	t.Parallel()
	c := guardConfig(t, onePolicy+`guards:
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
	want.Latency = guard.Signal{Off: "the policy file switches it off", Unknown: guard.Stop}
	want.DeadRows = guard.DeadRows{Signal: guard.Signal{Unknown: guard.Stop}, Vacuuming: guard.Pause}
	want.Custom = []guard.Custom{{
		Name: "free_slots", Query: guard.Query{SQL: "SELECT 1"}, Below: true,
		Signal: guard.Signal{Levels: guard.Levels{Pause: guard.At(3)}, Unknown: guard.Slow},
	}}
	want.Allow = []guard.Window{{From: 22 * 60, To: 6 * 60, Days: [7]bool{time.Monday: true}, Zone: time.UTC}}
	if diff := cmp.Diff(want, c, cmp.Comparer(func(a, b *time.Location) bool { return a.String() == b.String() })); diff != "" {
		t.Error(diff)
	}
}
