package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// LongestPause bounds a manual pause. The table enforces the same bound.
const LongestPause = 7 * 24 * time.Hour

// Pause is a manual pause in effect.
type Pause struct {
	Policy *string   `json:"policy"` // nil means all policies
	Until  time.Time `json:"until"`  // by the database's clock, like Since
	Reason string    `json:"reason"`
	By     string    `json:"by"` // who has paused it
	Since  time.Time `json:"since"`
}

// Pause pauses policies, or all of them if nil, from now on for at most LongestPause.
// It does not shorten pauses already in effect. If by is empty, the database user and the
// application name are recorded.
func (l *Ledger) Pause(ctx context.Context, db *pgxpool.Pool, policies []string, length time.Duration, reason, by string) error {
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		// A server crash must not resume what a person was told is paused.
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.pause (policy, reason, who, created_at, ends_at)
			SELECT p, $2, `+person(`$3`)+`, now(), now() + $4::interval
			  FROM unnest(coalesce($1::text[], ARRAY[NULL::text])) p`, policies, reason, by, length.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("pausing: %w", err)
	}
	l.forgetPauses(ctx, db)
	return nil
}

// Resume ends the pauses of these policies, or every pause if nil, and returns how many
// it ended. A pause of all policies ends only with nil.
func (l *Ledger) Resume(ctx context.Context, db *pgxpool.Pool, policies []string) (int64, error) {
	var ended int64
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE `+l.schema+`.pause SET resumed_at = now() WHERE `+inForce+` AND ($1::text[] IS NULL OR policy = ANY ($1::text[]))`, policies)
		ended = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("resuming: %w", err)
	}
	return ended, nil
}

// inForce is the condition for a pause in effect by the database's clock. now() can use
// the index, which clock_timestamp() cannot, but it is the transaction's start, which may
// precede the pause's end; hence both.
const inForce = `resumed_at IS NULL AND (ends_at OPERATOR(pg_catalog.>) pg_catalog.now()) AND (ends_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp())`

// Pauses returns the pauses in effect by the database's clock, oldest first.
func (l *Ledger) Pauses(ctx context.Context, db *pgxpool.Pool) ([]Pause, error) {
	rows, err := l.on(db).Query(ctx, `SELECT policy, ends_at, reason, who, created_at FROM `+l.schema+`.pause WHERE `+inForce+` ORDER BY id`)
	if err != nil {
		return nil, fmt.Errorf("reading pauses: %w", err)
	}
	pauses, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Pause])
	if err != nil {
		return nil, fmt.Errorf("reading pauses: %w", err)
	}
	return pauses, nil
}

// PausedSQL returns an SQL condition for whether a policy is paused manually now. policy
// is an SQL expression of type text for its name, such as a parameter.
func (l *Ledger) PausedSQL(policy string) string {
	return `EXISTS (SELECT FROM ` + l.schema + `.pause WHERE ` + inForce + ` AND (pause.policy IS NULL OR (pause.policy OPERATOR(pg_catalog.=) (` + policy + `))))`
}
