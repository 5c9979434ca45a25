//go:build pgbouncer

package main

import (
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// A pooled connection keeps what another client has set for its session. In the replica role no
// foreign key acts: a batch on such a connection stops, and nothing dangles.
func TestPgBouncer_ReplicaRoleLeftBehind(t *testing.T) {
	t.Parallel()
	c := parseCase(t, "testdata/settings.txtar")
	c.steps = "reaper purge --yes --connections 4"
	c.alternatives = []string{
		"exit: 0\n" + everythingGone,
		"exit: 1 2 3\nsays: session_replication_role",
	}
	runCase(t, c, func(db *dbtest.DB) string {
		db.Exec(t, `INSERT INTO doc (org_id, at) SELECT 1 + i % 5, now() - interval '30 days' FROM generate_series(1, 8000) i`)
		db.Exec(t, `INSERT INTO part (doc_id) SELECT id FROM doc`)
		bouncer := dbtest.PgBouncer(t, db.DSN())
		pollute(t, bouncer, 5)
		return bouncer
	})
}

// pollute opens several server connections and leaves the setting on all but two. PgBouncer hands
// out the most recently returned connection first, so the clean ones are returned last: a single
// client gets these.
func pollute(t *testing.T, bouncer string, number int) {
	t.Helper()
	config, err := pgx.ParseConfig(bouncer)
	if err != nil {
		t.Fatal(err)
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	clients := make([]*pgx.Conn, number)
	exec := func(conn *pgx.Conn, sql string) {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	for i := range clients {
		if clients[i], err = pgx.ConnectConfig(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		exec(clients[i], "BEGIN")
	}
	for i, conn := range clients {
		if i >= 2 {
			exec(conn, "SET session_replication_role = replica")
			exec(conn, "COMMIT")
		}
	}
	for i := range 2 {
		exec(clients[i], "COMMIT")
	}
	for _, conn := range clients {
		if err := conn.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
