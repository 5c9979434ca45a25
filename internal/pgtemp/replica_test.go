package pgtemp_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pgtemp"
)

// A replica has the primary's data, and receives what comes later.
func TestReplica(t *testing.T) {
	t.Parallel()
	s := start(t, pgtemp.Options{FsyncOff: true})
	primary := s.DSN("postgres")
	run(t, primary, "CREATE TABLE before AS SELECT 1 AS n")
	r, err := s.Replica(t.Context(), "second")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	if n := ask(t, r.DSN("postgres"), "SELECT count(*) FROM before WHERE pg_is_in_recovery()"); n != 1 {
		t.Errorf("%d rows on the standby, want 1", n)
	}
	run(t, primary, "INSERT INTO before VALUES (2)")
	replayed(t, primary, "second")
	if n := ask(t, r.DSN("postgres"), "SELECT count(*) FROM before"); n != 2 {
		t.Errorf("%d rows on the standby after an insert, want 2", n)
	}
}

// replayed waits until a replica has replayed everything written by its primary so far. It may
// not even have connected yet.
func replayed(t *testing.T, primary, replica string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), primary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var written string
	if err := conn.QueryRow(t.Context(), "SELECT pg_current_wal_flush_lsn()::text").Scan(&written); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		var there bool
		err := conn.QueryRow(t.Context(), "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE application_name = $1 AND replay_lsn >= $2::text::pg_lsn)", replica, written).Scan(&there)
		switch {
		case err != nil:
			t.Fatal(err)
		case there:
			return
		case time.Now().After(deadline):
			t.Fatalf("the replica %s has not replayed %s within a minute", replica, written)
		}
	}
}

// run runs statements in one session.
func run(t *testing.T, dsn string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}
