package guard

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
)

// WindowsGuard is the name of the guard for Config.Allow.
const WindowsGuard = "allow"

// The guards that some code treats specially.
const (
	storageGuard = "storage"
	backlogGuard = "wal_backlog"
	replicaGuard = "replica_lag"
)

// signals returns the guards of a configuration, in the order of Readings.
func (w *Watch) signals() []*watched {
	c := w.c
	all := []*watched{
		{name: storageGuard, Signal: c.Storage.effective(), signal: w.storage(), noSession: c.Storage.Free.Prometheus != ""},
		{name: backlogGuard, Signal: c.WALBacklog.effective(), signal: &walBacklog{c.WALBacklog.Levels, w.wal}},
		{name: "wal_rate", Signal: c.WALRate.effective(), signal: w.walRate()},
		{name: replicaGuard, Signal: c.ReplicaLag.effective(), signal: newReplicas(c, w.log)},
		{name: "connections", Signal: c.Connections.effective(), signal: connections{c.Connections.Levels}},
		{name: "lock_waits", Signal: c.LockWaits.effective(), signal: lockWaits{c.LockWaits.Levels, c.Application}},
		{name: "oldest_transaction", Signal: c.OldestTransaction.effective(), signal: newHorizon(c)},
		{name: "dead_rows", Signal: c.DeadRows.effective(), signal: deadRows{c.DeadRows, w.touchedTables}},
		{name: "latency", Signal: c.Latency.effective(), signal: latency{c.Latency.Levels}, timeout: probeTime(c)},
		{name: "checkpoint", Signal: c.Checkpoint.effective(), signal: checkpoints{c.Checkpoint.Levels}},
	}
	for _, x := range c.Custom {
		all = append(all, &watched{name: x.Name, Signal: x.effective(), signal: custom{x, w.web}, noSession: x.Query.Prometheus != ""})
	}
	if len(c.Allow) > 0 {
		all = append(all, &watched{name: WindowsGuard, signal: &windows{all: c.Allow}, noSession: true})
	}
	return all
}

// session is a connection or a pool. Statements that resolve names go through queryOne
// and queryAll, which pin the search_path; Exec is for statements that resolve none.
type session interface {
	pg.Sender
	pg.Beginner
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// queryOne scans the single row of one of reaper's own statements.
func queryOne(ctx context.Context, db session, sql string, args []any, into ...any) error {
	return pg.Pinned(db).QueryRow(ctx, sql, args...).Scan(into...)
}

// queryAll reads the rows of one of reaper's own statements, each into a T by position.
func queryAll[T any](ctx context.Context, db session, sql string, args ...any) ([]T, error) {
	rows, err := pg.Pinned(db).Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[T])
}
