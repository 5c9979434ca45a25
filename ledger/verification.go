package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Verification is what the last verification of the archive has found.
type Verification struct {
	At time.Time // by the database's clock
	// VerifiedAt is when one last found nothing wrong, LoadedAt when everything that it drew could be
	// loaded, too; nil: never.
	VerifiedAt, LoadedAt *time.Time
	// Found is JSON: what was counted, and failures.
	Found []byte
	// Error is why it could not be done; empty: it could.
	Error string
}

// SaveVerification records a verification that has ended just now. well: nothing was wrong; loaded: and
// everything could be loaded.
func (l *Ledger) SaveVerification(ctx context.Context, db *pgxpool.Pool, found []byte, failed string, well, loaded bool) error {
	return l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.verification AS v (at, verified_at, loaded_at, found, error)
			SELECT c.at, CASE WHEN $3::bool THEN c.at END, CASE WHEN $4::bool THEN c.at END, $1::jsonb, $2::text FROM (SELECT clock_timestamp() AS at) c
			ON CONFLICT (one) DO UPDATE SET at = excluded.at, verified_at = coalesce(excluded.verified_at, v.verified_at),
			  loaded_at = coalesce(excluded.loaded_at, v.loaded_at), found = excluded.found, error = excluded.error`, string(found), failed, well, loaded)
		return err
	})
}

// Verification returns the last one; nil: there was none.
func (l *Ledger) Verification(ctx context.Context, db *pgxpool.Pool) (*Verification, error) {
	var v Verification
	var found string
	err := l.on(db).QueryRow(ctx, `SELECT at, verified_at, loaded_at, found::text, error FROM `+l.schema+`.verification`).Scan(&v.At, &v.VerifiedAt, &v.LoadedAt, &found, &v.Error)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v.Found = []byte(found)
	return &v, nil
}
