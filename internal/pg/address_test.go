package pg_test

import (
	"net"
	"testing"

	"github.com/reaperdb/reaper/internal/pg"
)

// The server is named as reaper connects to it, and nothing else of the connection string is.
func TestAddress(t *testing.T) {
	t.Parallel()
	reached := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 5432}
	for dsn, want := range map[string]string{
		"postgres://me:secret@db.internal/helpdesk":                           "db.internal:5432",
		"postgres://me:secret@db.internal:6432/helpdesk?sslmode=prefer":       "db.internal:6432",
		"postgres://me:secret@[::1]:5433/helpdesk":                            "[::1]:5433",
		"host=/var/run/postgresql user=me password=secret":                    "/var/run/postgresql",
		"host=/tmp port=5433 user=me password=secret":                         "/tmp (port 5433)",
		"host=@abstract user=me password=secret":                              "@abstract",
		"postgres://me:secret@a.internal,b.internal/helpdesk?sslmode=disable": "10.0.0.7:5432",
		"host=a.internal,a.internal port=5432 user=me password=secret":        "a.internal:5432",
	} {
		c, err := pg.PoolConfig(dsn)
		if err != nil {
			t.Fatalf("%s: %v", dsn, err)
		}
		if got := pg.Address(c.ConnConfig, reached); got != want {
			t.Errorf("%s: %q, want %q", dsn, got, want)
		}
	}
}
