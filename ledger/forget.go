package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
)

// What is old is deleted in transactions of its own, behind what it follows: a run
// is closed, a pause made and a tick claimed whether or not this succeeds. The next
// one tries again.

// Bounds of such a statement. Somebody waits for it.
const (
	forgetLock    = time.Second
	forgetTimeout = 5 * time.Second
)

// delete deletes what is old.
func (l *Ledger) delete(ctx context.Context, db *pgxpool.Pool, sql string, args ...any) error {
	bounded := &pg.DB{Sender: db, Before: []string{pg.Timeouts(forgetLock, forgetTimeout)}}
	_, err := bounded.Exec(ctx, sql, args...)
	return err
}

// kept logs that old rows were not deleted.
func (l *Ledger) kept(what string, err error) {
	if err != nil && l.Log != nil {
		l.Log.Warn("deleting old rows of the ledger failed; it will be tried again", "schema", l.name, "rows", what, "error", err)
	}
}

// forgetRuns deletes closed runs that are older than the ledger's own retention, a
// few at a time, the oldest first. The last success of a policy stays, and so does
// the current run. Runs of so many tenants that a few take too long are deleted one
// at a time.
func (l *Ledger) forgetRuns(ctx context.Context, db *pgxpool.Pool, runID string) {
	if l.retention == 0 {
		return
	}
	sql := `DELETE FROM ` + l.schema + `.run WHERE (run_id, policy) IN (
		SELECT r.run_id, r.policy FROM ` + l.schema + `.run r
		 WHERE r.status <> 'running' AND r.run_id <> $3::uuid AND r.finished_at < clock_timestamp() - $1::interval
		   AND (NOT r.success OR EXISTS (SELECT FROM ` + l.schema + `.run n WHERE n.policy = r.policy AND n.success AND n.started_at > r.started_at))
		 ORDER BY r.finished_at LIMIT $2::bigint)`
	err := l.delete(ctx, db, sql, l.retention.String(), int64(200), runID)
	if canceled, ok := errors.AsType[*pgconn.PgError](err); ok && canceled.Code == "57014" {
		err = l.delete(ctx, db, sql, l.retention.String(), int64(1), runID)
	}
	l.kept("runs", err)
}

// forgetPauses deletes pauses that ended longer ago than the ledger's own retention.
func (l *Ledger) forgetPauses(ctx context.Context, db *pgxpool.Pool) {
	if l.retention > 0 {
		l.kept("pauses", l.delete(ctx, db, `DELETE FROM `+l.schema+`.pause WHERE ends_at < now() - $1::interval`, l.retention.String()))
	}
}

// forgetTicks deletes ticks of a policy that are much older than this one.
func (l *Ledger) forgetTicks(ctx context.Context, db *pgxpool.Pool, policy string, at time.Time) {
	l.kept("ticks", l.delete(ctx, db, `DELETE FROM `+l.schema+`.tick WHERE policy = $1 AND at < $2::timestamptz - $3::interval`, policy, at, keptTicks.String()))
	l.kept("leases", l.delete(ctx, db, `DELETE FROM `+l.schema+`.lease WHERE starts_with(name, $1) AND lease_until < clock_timestamp() - interval '1 day'`, processLease))
}
