package guard_test

import (
	"testing"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
)

// A replica whose replay is paused lags in time and in bytes, although the lag it reports
// stands still. One that is gone is unknown until it returns.
func TestReplicaLag(t *testing.T) {
	t.Parallel()
	s := server(t, map[string]string{"autovacuum": "off"})
	r := dbtest.Replica(t, s, "second")
	primary, second := connect(t, s.DSN("postgres"), ""), connect(t, r.DSN("postgres"), "")
	primary.exec("CREATE TABLE t(id int)")
	byTime := watchAt(t, s, guard.Config{ReplicaLag: guard.ReplicaLag{Signal: levels(none, 2, none), Replicas: 1}})
	byBytes := watchAt(t, s, guard.Config{ReplicaLag: guard.ReplicaLag{Bytes: levels(none, 10*megabyte, none).Levels}})
	await(t, byTime, guard.Go)
	await(t, byBytes, guard.Go)

	second.exec("SELECT pg_wal_replay_pause()")
	primary.exec("INSERT INTO t VALUES (1)")
	says(t, await(t, byTime, guard.Pause), "replica_lag", "the replica second is behind|pause at 2 s")
	if a := byBytes.Advice(""); a.State != guard.Go {
		t.Errorf("a few bytes behind: %+v, want go", a)
	}
	primary.exec(fill("a", 15))
	says(t, await(t, byBytes, guard.Pause), "replica_lag", "the replica second is behind by|MB of WAL (pause at 10 MB)")
	second.exec("SELECT pg_wal_replay_resume()")
	await(t, byTime, guard.Go)
	await(t, byBytes, guard.Go)

	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	says(t, await(t, byBytes, guard.Pause), "replica_lag", "unknown|the replica second is gone")
	await(t, byTime, guard.Pause)
	few := watchAt(t, s, guard.Config{ReplicaLag: guard.ReplicaLag{Replicas: 1}})
	says(t, await(t, few, guard.Pause), "replica_lag", "expected 1 replicas, found 0")
	if err := r.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, w := range []*guard.Watch{byTime, byBytes, few} {
		await(t, w, guard.Go)
	}
}

// A query on a replica with hot_standby_feedback holds back vacuum here; so does the slot
// that keeps the feedback of a replica that is gone.
func TestHorizonOfReplica(t *testing.T) {
	t.Parallel()
	s := server(t, map[string]string{"autovacuum": "off", "hot_standby_feedback": "on", "wal_receiver_status_interval": "1"})
	primary := connect(t, s.DSN("postgres"), "")
	primary.exec("CREATE TABLE t(id int)", "SELECT pg_create_physical_replication_slot('kept')")
	r := dbtest.Replica(t, s, "second")
	primary = connect(t, s.DSN("postgres"), "")
	w := watchAt(t, s, guard.Config{OldestTransaction: levels(none, 3, none)})
	second := connect(t, r.DSN("postgres"), "")
	second.exec("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
	primary.exec("INSERT INTO t VALUES (1)")
	says(t, await(t, w, guard.Pause), "oldest_transaction", "the replica second (pid|holds back vacuum for")
	second.exec("COMMIT")
	until(t, w, "go", func() bool {
		primary.exec("INSERT INTO t VALUES (1)") // others advance
		return w.Advice("").State == guard.Go
	})

	// With a slot, the slot holds it.
	second.exec("ALTER SYSTEM SET primary_slot_name = 'kept'", "SELECT pg_reload_conf()", "BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1")
	until(t, w, "pause", func() bool {
		primary.exec("INSERT INTO t VALUES (1)")
		return contains(w.Advice("").Reason, "the replication slot kept holds back vacuum for")
	})
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	rounds(t, w, 5)
	says(t, w.Advice(""), "oldest_transaction", "the replication slot kept")
	until(t, w, "slot that nobody uses", func() bool {
		var active bool
		err := primary.QueryRow(t.Context(), "SELECT active FROM pg_replication_slots").Scan(&active)
		return err == nil && !active
	})
	// A lost slot holds nothing, though it still shows an xmin.
	primary.exec("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'", "SELECT pg_reload_conf()")
	until(t, w, "lost slot", func() bool {
		primary.exec("INSERT INTO t VALUES (1)", "SELECT pg_switch_wal()", "CHECKPOINT")
		var lost bool
		err := primary.QueryRow(t.Context(), "SELECT wal_status = 'lost' AND xmin IS NOT NULL FROM pg_replication_slots").Scan(&lost)
		return err == nil && lost
	})
	await(t, w, guard.Go)
}
