package guard_test

import (
	"context"
	"testing"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// promote makes a replica the primary after stopping its old primary.
func promote(t *testing.T, primary, replica *pgtemp.Server) {
	t.Helper()
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	connect(t, replica.DSN("postgres"), "").exec("SELECT pg_promote()")
}

// remembering watches every signal that compares readings over time.
func remembering() guard.Config {
	return guard.Config{
		ReplicaLag: guard.ReplicaLag{Signal: levels(none, 60, none)}, OldestTransaction: levels(none, 3600, none),
		WALRate: guard.WALRate{Signal: levels(none, 1<<50, none)},
	}
}

// known waits until a reading has seen the replica.
func known(t *testing.T, w *guard.Watch) {
	t.Helper()
	until(t, w, "reading of the replica", func() bool {
		r := reading(t, w, "replica_lag")
		return r.State == guard.Go && r.Value != nil
	})
}

// A replica that became the primary is not reported missing there.
func TestFailover(t *testing.T) {
	t.Parallel()
	s := server(t, nil)
	r := dbtest.Replica(t, s, "second")
	w := run(t, guard.New(quick(remembering()), as(t, dbtest.Either(t, s, r)), nil))
	known(t, w)
	promote(t, s, r)
	until(t, w, "go on the new primary", func() bool {
		now := reading(t, w, "replica_lag")
		if contains(now.Reason, "is gone") {
			t.Fatalf("the new primary misses itself: %s", now.Reason)
		}
		return now.State == guard.Go && now.Value == nil && w.Advice("").State == guard.Go
	})
}

// A Watch that replaces another takes over its replicas, unless the server changed.
func TestFailoverBetweenWatches(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]struct {
		end     func(t *testing.T, primary, replica *pgtemp.Server) (serving *pgtemp.Server)
		unknown string
	}{
		"the replica ends": {func(t *testing.T, primary, replica *pgtemp.Server) *pgtemp.Server {
			if err := replica.Kill(); err != nil {
				t.Fatal(err)
			}
			return primary
		}, "the replica second is gone"},
		"the primary ends": {func(t *testing.T, primary, replica *pgtemp.Server) *pgtemp.Server {
			promote(t, primary, replica)
			return replica
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := server(t, nil)
			r := dbtest.Replica(t, s, "second")
			streams(t, s, 1)
			c := remembering()
			c.Every, c.Timeout = time.Hour, time.Minute
			first := guard.New(c, as(t, s.DSN("postgres")), nil)
			once(t, first)
			if now := reading(t, first, "replica_lag"); now.Value == nil {
				t.Fatalf("%+v, want the replica seen", now)
			}
			serving := change.end(t, s, r)
			streams(t, serving, 0)
			second := guard.New(c, as(t, serving.DSN("postgres")), nil)
			second.Succeed(first)
			once(t, second)
			if now := reading(t, second, "replica_lag"); (now.Unknown == "") != (change.unknown == "") || !contains(now.Unknown, change.unknown) {
				t.Errorf("%+v, want it unknown: %q", now, change.unknown)
			}
		})
	}
}

// once runs a Watch for one round.
func once(t *testing.T, w *guard.Watch) {
	t.Helper()
	changed := w.Changed()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); w.Run(ctx) }()
	<-changed
	cancel()
	<-done
}

// streams waits until a server has want replicas that have reported a replay position.
func streams(t *testing.T, s *pgtemp.Server, want int) {
	t.Helper()
	conn := connect(t, s.DSN("postgres"), "")
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		var there int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_replication WHERE replay_lsn IS NOT NULL").Scan(&there); err != nil {
			t.Fatal(err)
		}
		if there == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d replicas stream, want %d", there, want)
		}
	}
}
