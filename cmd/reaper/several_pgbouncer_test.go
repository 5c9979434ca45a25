//go:build pgbouncer

package main

import (
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// The same through PgBouncer in transaction mode.
func TestPgBouncer_SeveralKilled(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, witness)
	several(t, db, dbtest.PgBouncer(t, db.DSN()), 15*time.Second)
}
