package purge

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
)

// savepoint runs what may fail in a savepoint, which is always rolled back.
func savepoint(ctx context.Context, outer pgx.Tx, do func(pgx.Tx) error) error {
	tx, err := outer.Begin(ctx)
	if err != nil {
		return err
	}
	defer pg.Rollback(tx)
	return do(tx)
}
