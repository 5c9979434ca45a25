package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Deleted is what a run has deleted of a tenant.
type Deleted struct {
	RunID string    `json:"run_id"`
	At    time.Time `json:"at"` // the run's start
	Rows  int64     `json:"rows"`
}

// LastDeletion is the last run that has deleted rows of a tenant (as PostgreSQL prints its key; nil:
// of a policy without tenants), as far as the ledger goes back; nil: none has.
func (l *Ledger) LastDeletion(ctx context.Context, db *pgxpool.Pool, policy string, tenant *string) (*Deleted, error) {
	var d Deleted
	err := l.on(db).QueryRow(ctx, `SELECT r.run_id::text, r.started_at, d.rows
		  FROM `+l.schema+`.run r CROSS JOIN LATERAL (SELECT sum(x.rows)::bigint AS rows FROM `+l.schema+`.deletions x
		       WHERE x.run_id = r.run_id AND x.policy = r.policy AND x.tenant IS NOT DISTINCT FROM $2::text) d
		 WHERE r.policy = $1::text AND d.rows > 0 ORDER BY r.started_at DESC LIMIT 1`, policy, tenant).Scan(&d.RunID, &d.At, &d.Rows)
	switch {
	case errors.Is(err, pgx.ErrNoRows) || isMissing(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading what was deleted: %w", err)
	}
	return &d, nil
}
