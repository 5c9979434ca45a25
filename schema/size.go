package schema

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
)

// UnindexedRows is the size of a table, in rows, above which a lookup in it must have an index.
const UnindexedRows = 100_000

// HasMoreRows reports whether a table has more than n rows, reading at most n+1. false, too, if the role
// may not read it.
func HasMoreRows(ctx context.Context, tx pgx.Tx, t *Table, n int) (bool, error) {
	if t.EstimatedRows > float64(n) {
		return true, nil
	}
	if !t.CanSelect {
		return false, nil
	}
	var rows int
	err := pg.Savepoint(ctx, tx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, fmt.Sprintf("SELECT count(*) FROM (SELECT FROM %s LIMIT %d) x", From(t), n+1)).Scan(&rows)
	})
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && !pg.HasCode(err, "55P03") {
		return false, nil // reported elsewhere: no privilege, or row-level security
	}
	return rows > n, err
}
