package daemon

import (
	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/policy"
)

// GuardConfig is what a policy file says of guards, for batches of sessions with an
// application_name.
func GuardConfig(f *policy.File, application string) guard.Config {
	g := f.Guards
	c := guard.Config{
		Every: g.Every, Timeout: g.Timeout, MaxPause: g.MaxPause, Hysteresis: g.Hysteresis,
		Application: application, Implicit: !g.IsSet(),
		Storage:           guard.Storage{Signal: guardSignal(g.Storage.Guard), Limit: g.Storage.Limit, Free: guardQuery(g.Storage.Free)},
		WALBacklog:        guardSignal(g.WALBacklog),
		WALRate:           guard.WALRate{Signal: guardSignal(g.WALRate.Guard), Own: g.WALRate.Own},
		ReplicaLag:        guard.ReplicaLag{Signal: guardSignal(g.ReplicaLag.Guard), Bytes: guard.Levels(g.ReplicaLag.Bytes), Replicas: g.ReplicaLag.Replicas},
		Connections:       guardSignal(g.Connections),
		LockWaits:         guardSignal(g.LockWaits),
		OldestTransaction: guardSignal(g.OldestTransaction),
		DeadRows:          guard.DeadRows{Signal: guardSignal(g.DeadRows.Guard), Vacuuming: guardState(g.DeadRows.Vacuuming)},
		Latency:           guardSignal(g.Latency),
		Checkpoint:        guardSignal(g.Checkpoint),
	}
	for _, x := range g.Custom {
		c.Custom = append(c.Custom, guard.Custom{Name: x.Name.Value, Signal: guardSignal(x.Guard), Query: guardQuery(x.Query), Below: x.Below})
	}
	for _, w := range g.Allow {
		c.Allow = append(c.Allow, guard.Window(w))
	}
	return c
}

func guardSignal(g policy.Guard) guard.Signal {
	s := guard.Signal{Levels: guard.Levels(g.Thresholds), Unknown: guardState(string(g.Unknown)), Ignore: g.Unknown == policy.UnknownIgnore}
	if g.Off {
		s.Off = "the policy file switches it off"
	}
	return s
}

func guardQuery(q policy.NumberQuery) guard.Query {
	return guard.Query{SQL: q.Query, Prometheus: q.Prometheus}
}

// guardState reads a state's word; guard.Go for any other.
func guardState(word string) guard.State {
	for _, s := range []guard.State{guard.Slow, guard.Pause, guard.Stop} {
		if s.String() == word {
			return s
		}
	}
	return guard.Go
}
