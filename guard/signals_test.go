package guard_test

import (
	"context"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
)

func itoa(n int) string { return strconv.Itoa(n) }

// Sessions use up the connections and release them.
func TestConnections(t *testing.T) {
	t.Parallel()
	s := server(t, map[string]string{"max_connections": "23", "superuser_reserved_connections": "3"})
	w := watchAt(t, s, guard.Config{Connections: levels(0.5, 0.8, none)})
	await(t, w, guard.Go)
	var sessions []session
	for range 11 {
		sessions = append(sessions, connect(t, s.DSN("postgres"), ""))
	}
	says(t, await(t, w, guard.Slow), "connections", "% of the 20 connections are in use|slow at 50%")
	for range 6 {
		sessions = append(sessions, connect(t, s.DSN("postgres"), ""))
	}
	says(t, await(t, w, guard.Pause), "connections", "pause at 80%")
	for _, x := range sessions {
		_ = x.Close(t.Context())
	}
	await(t, w, guard.Go)
}

// Sessions wait for a batch; waiting batches do not count.
func TestLockWaits(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, "CREATE TABLE t(id int); INSERT INTO t VALUES (1)")
	w := watch(t, db, guard.Config{LockWaits: levels(1, 2, none)})
	await(t, w, guard.Go)
	batch := connect(t, db.DSN(), "reaper")
	batch.exec("BEGIN", "DELETE FROM t")
	blocked := func(application string) chan error {
		x := connect(t, db.DSN(), application)
		done := make(chan error, 1)
		go func() {
			_, err := x.Exec(context.WithoutCancel(t.Context()), "UPDATE t SET id = 2")
			done <- err
		}()
		until(t, w, "session that waits", func() bool {
			return db.Bool(t, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND pid = $1)", x.pid())
		})
		return done
	}
	other := blocked("reaper")
	rounds(t, w, 2)
	if a := w.Advice(""); a.State != guard.Go {
		t.Errorf("a batch waits for a batch: %+v, want go", a)
	}
	one := blocked("app")
	says(t, await(t, w, guard.Slow), "lock_waits", "1 session is waiting for a lock held by reaper|slow at 1")
	two := blocked("app")
	says(t, await(t, w, guard.Pause), "lock_waits", "2 sessions are waiting")
	batch.exec("COMMIT")
	for _, done := range []chan error{other, one, two} {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	await(t, w, guard.Go)
}

// A snapshot holds back vacuum; reaper's own do not count.
func TestOldestTransaction(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, "CREATE TABLE t(id int)")
	w := watch(t, db, guard.Config{OldestTransaction: levels(0.3, 0.6, none)})
	await(t, w, guard.Go)
	own := connect(t, db.DSN(), "reaper")
	own.exec("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM t")
	db.Exec(t, "INSERT INTO t VALUES (1)")
	until(t, w, "second", func() bool {
		return db.Bool(t, "SELECT xact_start < clock_timestamp() - interval '1 s' FROM pg_stat_activity WHERE pid = $1", own.pid())
	})
	if a := w.Advice(""); a.State != guard.Go {
		t.Errorf("with a transaction of reaper's: %+v, want go", a)
	}
	old := connect(t, db.DSN(), "report\x01")
	old.exec("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1 FROM t")
	db.Exec(t, "INSERT INTO t VALUES (2)")
	says(t, await(t, w, guard.Pause), "oldest_transaction", "the transaction of role postgres (report|pid "+itoa(old.pid())+"|idle in transaction|holds back vacuum for|pause at 600 ms")
	old.exec("COMMIT")
	await(t, w, guard.Go)
}

// So does a prepared transaction, which has no session.
func TestPreparedTransaction(t *testing.T) {
	t.Parallel()
	s := server(t, map[string]string{"max_prepared_transactions": "2"})
	x := connect(t, s.DSN("postgres"), "")
	x.exec("CREATE TABLE t(id int)")
	w := watchAt(t, s, guard.Config{OldestTransaction: levels(none, 0.3, none)})
	await(t, w, guard.Go)
	x.exec("BEGIN", "INSERT INTO t VALUES (1)", "PREPARE TRANSACTION 'left behind'", "INSERT INTO t VALUES (2)")
	says(t, await(t, w, guard.Pause), "oldest_transaction", "the prepared transaction left behind holds back vacuum for")
	x.exec("ROLLBACK PREPARED 'left behind'")
	await(t, w, guard.Go)
}

// Dead rows count only in tables that are deleted from.
func TestDeadRows(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `CREATE TABLE t(id int) WITH (autovacuum_enabled = off); INSERT INTO t SELECT generate_series(1, 20000);
		CREATE TABLE p(id int) PARTITION BY RANGE (id); CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (100000) WITH (autovacuum_enabled = off);
		INSERT INTO p SELECT generate_series(1, 20000); ANALYZE t, p`)
	c := guard.Config{DeadRows: guard.DeadRows{Signal: levels(0.2, 0.5, none), Vacuuming: guard.Slow}}
	w := watch(t, db, c)
	// In PostgreSQL 14, a session reports its counts with a later statement.
	remove := func(table, counted string) {
		db.Exec(t, "DELETE FROM "+table+" WHERE id <= 15000")
		until(t, w, "statistics", func() bool {
			return db.Int(t, "SELECT n_dead_tup FROM pg_stat_user_tables WHERE relname = $1", counted) == 15000
		})
	}
	remove("t", "t")
	rounds(t, w, 2)
	if a := w.Advice(""); a.State != guard.Go {
		t.Errorf("dead rows of a table that nobody deletes from: %+v, want go", a)
	}
	w.Touch([]uint32{uint32(db.Int(t, "SELECT 't'::regclass::oid::int"))})
	says(t, await(t, w, guard.Pause), "dead_rows", "75% of the rows of public.t are dead|pause at 50%")
	db.Exec(t, "VACUUM t")
	await(t, w, guard.Go)
	w.Touch([]uint32{uint32(db.Int(t, "SELECT 'p'::regclass::oid::int"))})
	remove("p", "p1")
	says(t, await(t, w, guard.Pause), "dead_rows", "of the rows of public.p1 are dead")
	if a := w.Advice("", "dead_rows"); a.State != guard.Go {
		t.Errorf("without dead_rows: %+v, want go", a)
	}

	// Enough work to keep a vacuum busy for seconds, in too few rows for their share to count.
	db.Exec(t, "UPDATE t SET id = id WHERE id % 2 = 0")
	vacuum := connect(t, db.DSN(), "")
	vacuum.exec("SET vacuum_cost_delay = 100", "SET vacuum_cost_limit = 1")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := vacuum.Exec(ctx, "VACUUM t")
		done <- err
	}()
	until(t, w, "vacuum", func() bool {
		return db.Bool(t, "SELECT EXISTS (SELECT FROM pg_stat_progress_vacuum WHERE relid = 't'::regclass)")
	})
	db.Exec(t, "VACUUM p1")
	says(t, await(t, w, guard.Slow), "dead_rows", "t is being vacuumed")
	cancel()
	if err := <-done; err == nil {
		t.Error("the vacuum ended before it was cancelled")
	}
	await(t, w, guard.Go)
}

// A stopped server process answers no probe.
func TestLatency(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	w := watch(t, db, guard.Config{Timeout: time.Second, Latency: levels(1, 2, none)})
	await(t, w, guard.Go)
	probe := db.Int(t, "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reaper'")
	if err := syscall.Kill(probe, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Kill(probe, syscall.SIGCONT) }()
	says(t, await(t, w, guard.Pause), "latency", "a no-op statement takes 2")
	if err := syscall.Kill(probe, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	await(t, w, guard.Go)
}
