package erasing

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/ledger"
)

// Due is what is due by the database's clock.
type Due struct {
	Erasures, Sweeps []ledger.Erasure
}

// Do erases the tenants that are due, and does the sweeps that are; ended is told how each run ended.
// An error is that of one that could not even be recorded, and ends it.
func (r *Runner) Do(ctx context.Context, d Due, ended func(*Report)) error {
	for i := range d.Erasures {
		report, err := r.Erase(ctx, &d.Erasures[i])
		if err != nil {
			return err
		}
		ended(report)
	}
	for i := range d.Sweeps {
		if err := r.Sweep(ctx, &d.Sweeps[i]); err != nil {
			return err
		}
	}
	return nil
}

// ReadDue reads what is due.
func ReadDue(ctx context.Context, l *ledger.Ledger, db *pgxpool.Pool) (d Due, err error) {
	if d.Erasures, err = l.DueErasures(ctx, db); err == nil {
		d.Sweeps, err = l.DueSweeps(ctx, db)
	}
	return d, err
}
