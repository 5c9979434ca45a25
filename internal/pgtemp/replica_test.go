package pgtemp_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pgtemp"
)

// A replica has what the primary had, and gets what comes after.
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
	// The commit returns when the replica has replayed it: it is there, and streams.
	run(t, primary, "ALTER SYSTEM SET synchronous_standby_names = 'second'", "SELECT pg_reload_conf()",
		"SET synchronous_commit = remote_apply", "INSERT INTO before VALUES (2)")
	if n := ask(t, r.DSN("postgres"), "SELECT count(*) FROM before"); n != 2 {
		t.Errorf("%d rows on the standby after an insert, want 2", n)
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
