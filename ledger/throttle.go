package ledger

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// endAdvice returns the statement that ends a run's current throttle record.
func (l *Ledger) endAdvice() string {
	return `UPDATE ` + l.schema + `.throttle SET ended_at = clock_timestamp() WHERE run_id = $1::uuid AND policy = $2 AND ended_at IS NULL`
}

// RecordAdvice records that the guards slow, pause or stop a policy's run from now on,
// with the guard and the reason. An empty state ends the record.
func (l *Ledger) RecordAdvice(ctx context.Context, db *pgxpool.Pool, runID, policy, state, guard, reason string) error {
	return l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		// The same state continues: update its figures.
		tag, err := tx.Exec(ctx, `UPDATE `+l.schema+`.throttle SET reason = $5 WHERE run_id = $1::uuid AND policy = $2 AND ended_at IS NULL AND state = $3 AND guard = $4`,
			runID, policy, state, guard, reason)
		if err != nil || tag.RowsAffected() > 0 {
			return err
		}
		if _, err := tx.Exec(ctx, l.endAdvice(), runID, policy); err != nil || state == "" {
			return err
		}
		_, err = tx.Exec(ctx, `INSERT INTO `+l.schema+`.throttle (run_id, policy, state, guard, reason) VALUES ($1::uuid, $2, $3, $4, $5)`,
			runID, policy, state, guard, reason)
		return err
	})
}
