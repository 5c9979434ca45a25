package ledger

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// endAdvice ends what the guards said of a run last.
func (l *Ledger) endAdvice() string {
	return `UPDATE ` + l.schema + `.throttle SET ended_at = clock_timestamp() WHERE run_id = $1::uuid AND policy = $2 AND ended_at IS NULL`
}

// RecordAdvice writes what the guards make of a policy's run from now on: slow,
// pause or stop, by which guard, and why; an empty state: nothing any more.
func (l *Ledger) RecordAdvice(ctx context.Context, db *pgxpool.Pool, runID, policy, state, guard, reason string) error {
	return inTx(ctx, db, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, l.endAdvice(), runID, policy); err != nil || state == "" {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.throttle (run_id, policy, state, guard, reason) VALUES ($1::uuid, $2, $3, $4, $5)`,
			runID, policy, state, guard, reason)
		return err
	})
}
