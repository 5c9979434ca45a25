package guard_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// A session is a connection other than reaper's.
type session struct {
	*pgx.Conn
	t *testing.T
}

// connect opens a session, with an application_name unless it is empty.
func connect(t *testing.T, dsn, application string) session {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	if application != "" {
		config.RuntimeParams["application_name"] = application
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	return session{conn, t}
}

func (s session) exec(statements ...string) {
	s.t.Helper()
	for _, sql := range statements {
		if _, err := s.Exec(s.t.Context(), sql); err != nil {
			s.t.Fatalf("%s: %v", sql, err)
		}
	}
}

func (s session) pid() int { return int(s.PgConn().PID()) }

// server starts a server for one test: WAL, connections and replicas are server-wide.
func server(t *testing.T, settings map[string]string) *pgtemp.Server {
	t.Helper()
	return dbtest.Server(t, pgtemp.Options{Settings: settings})
}

// watchAt runs a Watch on the database postgres of a server.
func watchAt(t *testing.T, s *pgtemp.Server, c guard.Config) *guard.Watch {
	t.Helper()
	return run(t, guard.New(quick(c), as(t, s.DSN("postgres")), nil))
}

// fill writes about that many megabytes of WAL, and as much data.
func fill(table string, megabytes int) string {
	return "CREATE TABLE IF NOT EXISTS " + table + "(x text); ALTER TABLE " + table + " ALTER x SET STORAGE plain; " +
		"INSERT INTO " + table + " SELECT repeat('x', 1000) FROM generate_series(1, " + itoa(megabytes*1000) + ")"
}

// dsnOf is the connection string of a server for another role.
func dsnOf(s *pgtemp.Server, role string) string {
	return strings.Replace(s.DSN("postgres"), "//postgres@", "//"+role+"@", 1)
}

func contains(s, part string) bool { return strings.Contains(s, part) }
