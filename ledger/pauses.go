package ledger

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// LongestPause is how long a pause by hand may last. The table has the same bound.
const LongestPause = 7 * 24 * time.Hour

// Pause is a pause by hand that is in force.
type Pause struct {
	Policy *string   `json:"policy"` // nil: all policies
	Until  time.Time `json:"until"`  // by the database's clock, as Since
	Reason string    `json:"reason"`
	By     string    `json:"by"` // who has paused it
	Since  time.Time `json:"since"`
}

// Pause pauses policies, nil for all of them, from now on for a time of at most
// LongestPause. Whatever was paused before stays paused for as long as it was to
// be. An empty by stands for the database's user and the application's name.
func (l *Ledger) Pause(ctx context.Context, db *pgxpool.Pool, policies []string, length time.Duration, reason, by string) error {
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		// A crash of the server must not begin again what a person was told is paused.
		if _, err := tx.Exec(ctx, synchronous); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.pause (policy, reason, who, created_at, ends_at)
			SELECT p, $2, coalesce(nullif($3::text, ''), session_user || '@' || current_setting('application_name')), now(), now() + $4::interval
			  FROM unnest(coalesce($1::text[], ARRAY[NULL::text])) p`, policies, reason, by, length.String())
		return err
	})
	if err != nil {
		return fmt.Errorf("pausing: %w", err)
	}
	l.forgetPauses(ctx, db)
	return nil
}

// Resume ends the pauses of these policies, nil for every pause, and gives how many
// it has ended. A pause of all policies ends with nil alone.
func (l *Ledger) Resume(ctx context.Context, db *pgxpool.Pool, policies []string) (int64, error) {
	var ended int64
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, synchronous); err != nil {
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

// inForce is the condition of a pause that is in force by the database's clock.
// now() leads through the index, which a clock that moves on within the statement
// cannot; it may be that of a transaction which began before the pause ended.
const inForce = `resumed_at IS NULL AND (ends_at OPERATOR(pg_catalog.>) pg_catalog.now()) AND (ends_at OPERATOR(pg_catalog.>) pg_catalog.clock_timestamp())`

// Pauses are those in force by the database's clock, the oldest first.
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

// PausedSQL is an SQL condition: whether a policy is paused by hand now. policy is
// an SQL expression of type text for its name, such as a parameter.
func (l *Ledger) PausedSQL(policy string) string {
	return `EXISTS (SELECT FROM ` + l.schema + `.pause WHERE ` + inForce + ` AND (pause.policy IS NULL OR (pause.policy OPERATOR(pg_catalog.=) (` + policy + `))))`
}
