package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
)

// Old rows are deleted in separate transactions, after the change they follow: a run is
// closed, a pause made and a tick claimed whether or not the deletion succeeds. The
// next deletion retries.

// The bounds of such a statement, because a caller waits for it.
const (
	forgetLock    = time.Second
	forgetTimeout = 5 * time.Second
)

// deleteOld runs a bounded DELETE of old rows.
func (l *Ledger) deleteOld(ctx context.Context, db *pgxpool.Pool, sql string, args ...any) error {
	bounded := &pg.DB{Sender: db, Before: []string{pg.Timeouts(forgetLock, forgetTimeout)}}
	_, err := bounded.Exec(ctx, sql, args...)
	return err
}

// logForgetFailure logs that old rows could not be deleted.
func (l *Ledger) logForgetFailure(what string, err error) {
	if err != nil && l.Log != nil {
		l.Log.Warn("deleting old ledger rows failed; will retry", "schema", l.name, "rows", what, "error", err)
	}
}

// forgetRuns deletes some closed runs past the ledger's retention, oldest first. It
// keeps the current run and each policy's last success. If some runs have so many
// tenants that the statement times out, it deletes one at a time. Then it deletes old segments, and
// the oldest events but for the newest, after which the next ids are given.
func (l *Ledger) forgetRuns(ctx context.Context, db *pgxpool.Pool, runID string) {
	if l.retention == 0 {
		return
	}
	sql := `DELETE FROM ` + l.schema + `.run WHERE (run_id, policy) IN (
		SELECT r.run_id, r.policy FROM ` + l.schema + `.run r
		 WHERE r.status <> 'running' AND r.run_id <> $3::uuid AND r.finished_at < clock_timestamp() - $1::interval
		   AND (NOT r.success OR EXISTS (SELECT FROM ` + l.schema + `.run n WHERE n.policy = r.policy AND n.success AND n.started_at > r.started_at))
		 ORDER BY r.finished_at LIMIT $2::bigint)`
	err := l.deleteOld(ctx, db, sql, l.retention.String(), int64(1000), runID)
	if canceled, ok := errors.AsType[*pgconn.PgError](err); ok && canceled.Code == "57014" {
		err = l.deleteOld(ctx, db, sql, l.retention.String(), int64(1), runID)
	}
	l.logForgetFailure("runs", err)
	l.logForgetFailure("segments and events", l.deleteOld(ctx, db, `WITH segments AS (
			DELETE FROM `+l.schema+`.segment WHERE list IS NULL AND at < clock_timestamp() - $1::interval)
		DELETE FROM `+l.schema+`.event WHERE n IN (SELECT n FROM (
			SELECT n, at FROM `+l.schema+`.event WHERE id < (SELECT max(id) FROM `+l.schema+`.event) ORDER BY id LIMIT 1000) oldest
			WHERE at < clock_timestamp() - $1::interval)`, l.retention.String()))
}

// forgetPauses deletes pauses that ended before the ledger's retention.
func (l *Ledger) forgetPauses(ctx context.Context, db *pgxpool.Pool) {
	if l.retention > 0 {
		l.logForgetFailure("pauses", l.deleteOld(ctx, db, `DELETE FROM `+l.schema+`.pause WHERE ends_at < now() - $1::interval`, l.retention.String()))
	}
}

// forgetHolds deletes holds that ended before the ledger's retention.
func (l *Ledger) forgetHolds(ctx context.Context, db *pgxpool.Pool) {
	if l.retention > 0 {
		l.logForgetFailure("holds", l.deleteOld(ctx, db, `DELETE FROM `+l.schema+`.hold WHERE least(ends_at, released_at) < now() - $1::interval`, l.retention.String()))
	}
}

// forgetApprovals deletes approvals that ended before the ledger's retention.
func (l *Ledger) forgetApprovals(ctx context.Context, db *pgxpool.Pool) {
	if l.retention > 0 {
		l.logForgetFailure("approvals", l.deleteOld(ctx, db, `DELETE FROM `+l.schema+`.approval WHERE ends_at < now() - $1::interval`, l.retention.String()))
	}
}

// forgetTicks deletes a policy's ticks that are much older than at.
func (l *Ledger) forgetTicks(ctx context.Context, db *pgxpool.Pool, policy string, at time.Time) {
	l.logForgetFailure("ticks", l.deleteOld(ctx, db, `DELETE FROM `+l.schema+`.tick WHERE policy = $1 AND at < $2::timestamptz - $3::interval`, policy, at, tickRetention.String()))
	l.logForgetFailure("leases", l.deleteOld(ctx, db, `DELETE FROM `+l.schema+`.lease WHERE starts_with(name, $1) AND lease_until < clock_timestamp() - interval '1 day'`, processLease))
}
