package pg

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Savepoint runs do, which may fail, in a savepoint that is always rolled back.
func Savepoint(ctx context.Context, outer pgx.Tx, do func(pgx.Tx) error) error {
	tx, err := outer.Begin(ctx)
	if err != nil {
		return err
	}
	defer Rollback(tx)
	return do(tx)
}

// ExecAll runs statements in order.
func ExecAll(ctx context.Context, tx pgx.Tx, statements ...string) error {
	for _, s := range statements {
		if _, err := tx.Exec(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
