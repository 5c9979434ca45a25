//go:build pgbouncer

package dbtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// In transaction mode a session may get another backend in its next transaction, so only
// what a single query shows, and as whom, can be relied on.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, setup)
	config, err := pgx.ParseConfig(dbtest.PgBouncer(t, db.As(db.Role(t, "reader"))))
	if err != nil {
		t.Fatal(err)
	}
	// PgBouncer before 1.21 does not support prepared statements in this mode.
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	var database, user string
	if err := conn.QueryRow(t.Context(), `SELECT current_database()::text, current_user::text`).Scan(&database, &user); err != nil {
		t.Fatal(err)
	}
	if database != db.Name() || user != db.Name()+"_reader" {
		t.Errorf("%s as %s, want %s as %[3]s_reader", database, user, db.Name())
	}
}
