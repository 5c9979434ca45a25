package dbtest

import (
	"context"
	"net/url"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pgtemp"
)

// Replica starts a streaming replica of a server, for this test alone.
func Replica(t testing.TB, s *pgtemp.Server, name string) *pgtemp.Server {
	t.Helper()
	r, err := s.Replica(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Stop(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// Replayed waits until a replica has all that its primary has now.
func Replayed(t testing.TB, s, r *pgtemp.Server) {
	t.Helper()
	var written string
	ask(t, s, &written, `SELECT pg_current_wal_lsn()::text`)
	for there, end := false, time.Now().Add(time.Minute); !there; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the replica does not follow")
		}
		ask(t, r, &there, `SELECT pg_last_wal_replay_lsn() >= $1::text::pg_lsn`, written)
	}
}

// ask reads one value.
func ask(t testing.TB, s *pgtemp.Server, into any, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), s.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(into); err != nil {
		t.Fatal(err)
	}
}

// Either is a connection string for whichever of two servers accepts writes.
func Either(t testing.TB, a, b *pgtemp.Server) string {
	t.Helper()
	u, err := url.Parse(a.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := url.Parse(b.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("host", q.Get("host")+","+other.Query().Get("host"))
	q.Set("target_session_attrs", "read-write")
	u.RawQuery = q.Encode()
	return u.String()
}
