package erasing

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/ledger"
)

// Due is what is due by the database's clock.
type Due struct {
	Erasures, Sweeps []ledger.Erasure
	Forgettable      []ledger.Erasure // whose tenants the ledger still names, and need not
}

// None reports whether nothing is due.
func (d Due) None() bool { return len(d.Erasures)+len(d.Sweeps)+len(d.Forgettable) == 0 }

// Do erases the tenants that are due, does the sweeps that are, and has the ledger forget tenants; ended
// is told how each run ended. An error is that of a run that could not even be recorded, and ends it;
// those of sweeps are returned together.
func (r *Runner) Do(ctx context.Context, d Due, ended func(*Report)) error {
	for i := range d.Erasures {
		report, err := r.Erase(ctx, &d.Erasures[i])
		if err != nil {
			return err
		}
		ended(report)
	}
	var failed []error
	for i := range d.Sweeps {
		if ctx.Err() != nil {
			break
		}
		failed = append(failed, r.Sweep(ctx, &d.Sweeps[i]))
	}
	return errors.Join(append(failed, r.forgetAll(ctx))...)
}

// forgetAll has the ledger forget the tenants of which nothing is kept and looked for any more.
func (r *Runner) forgetAll(ctx context.Context) error {
	all, err := r.Ledger.ForgettableErasures(ctx, r.Pool)
	if err != nil {
		return err
	}
	for i := range all {
		if err := r.prepare(&all[i], "").forget(ctx); err != nil {
			return err
		}
	}
	return nil
}

// ReadDue reads what is due.
func ReadDue(ctx context.Context, l *ledger.Ledger, db *pgxpool.Pool) (d Due, err error) {
	if d.Erasures, err = l.DueErasures(ctx, db); err != nil {
		return d, err
	}
	if d.Sweeps, err = l.DueSweeps(ctx, db); err != nil {
		return d, err
	}
	d.Forgettable, err = l.ForgettableErasures(ctx, db)
	return d, err
}
