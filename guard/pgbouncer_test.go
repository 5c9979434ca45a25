//go:build pgbouncer

package guard_test

import (
	"testing"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
)

// Every signal can be read through PgBouncer in transaction mode.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, queueTable+"; CREATE TABLE t(id int)")
	c := queue(levels(none, 100, none), false)
	c.Storage = guard.Storage{Signal: levels(none, 1<<50, none), Limit: 1 << 50}
	c.WALBacklog, c.WALRate.Signal = levels(none, 1<<50, none), levels(none, 1<<50, none)
	c.ReplicaLag.Signal, c.Connections, c.LockWaits = levels(none, 60, none), levels(none, 1, none), levels(none, 3, none)
	c.OldestTransaction, c.DeadRows.Signal, c.Latency = levels(none, 7200, none), levels(none, 0.5, none), levels(none, 5, none)
	c.Checkpoint = levels(none, 1000, none)
	w := run(t, guard.New(quick(c), as(t, dbtest.PgBouncer(t, db.DSN())), nil))
	w.Touch([]uint32{uint32(db.Int(t, "SELECT 't'::regclass::oid::int"))})
	await(t, w, guard.Go)
	for _, r := range w.Readings() {
		if r.Off != "" || r.Unknown != "" {
			t.Errorf("%s: off %q, unknown %q", r.Guard, r.Off, r.Unknown)
		}
	}
	db.Exec(t, "UPDATE queue SET n = 100")
	says(t, await(t, w, guard.Pause), "queue_depth", "is 100")
}
