package erasing

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/nearest"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
)

// Notice is how long a tenant stands among the erasures before `when` has it erased, as the text of an
// interval.
const Notice = "7 days"

// How many tenants are read at a time, and how many requests are looked at again.
const (
	dueAtOnce     = 1000
	mostRequested = 1000
)

// RequestDue requests the erasure of the tenants for which `when` has begun to hold, and withdraws
// those that have not begun and for which it no longer does.
func (r *Runner) RequestDue(ctx context.Context) error {
	x := r.prepare(&ledger.Erasure{}, "")
	if !x.Plan.Section.When.IsSet() {
		return nil
	}
	after := ""
	for {
		var keys []string
		if err := x.read(ctx, func(tx pgx.Tx) (err error) {
			keys, err = x.Plan.Due(ctx, tx, after, dueAtOnce)
			return err
		}); err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		n, err := r.Ledger.RequestByWhen(ctx, r.Pool, keys, "when holds for it", Notice)
		if err != nil {
			return err
		}
		if n > 0 {
			x.Log.Warn("tenants are to be erased in a week, because when says so; reaper erasures lists them", "tenants", n)
		}
		after = keys[len(keys)-1]
	}
	return x.withdrawn(ctx)
}

// withdrawn withdraws the requests for which `when` no longer holds.
func (x *run) withdrawn(ctx context.Context) error {
	open, err := x.Ledger.OpenByWhen(ctx, x.Pool)
	if err != nil {
		return err
	}
	for i, e := range open {
		if i == mostRequested {
			break
		}
		if e.State != ledger.ErasureRequested || e.Tenant == nil {
			continue
		}
		due := false
		if err := x.read(ctx, func(tx pgx.Tx) error {
			look, err := x.Plan.Look(ctx, tx, *e.Tenant)
			due = look.Due
			return err
		}); err != nil {
			return err
		}
		if due {
			continue
		}
		if err := x.Ledger.WithdrawErasure(ctx, x.Pool, e.ID, errNotDue.Error()); err != nil {
			return err
		}
		x.Log.Info("erasure withdrawn: when no longer holds for the tenant", "erasure_id", e.ID)
	}
	return nil
}

// UnknownError is a tenant that the tenants' table does not have, or has although it should be gone.
type UnknownError struct{ text string }

// Error implements error.
func (e *UnknownError) Error() string { return e.text }

// Known returns a tenant's key as PostgreSQL prints it, and an *UnknownError for one that its type
// cannot hold, that the tenants' table does not have or, with gone, that it has.
func (r *Runner) Known(ctx context.Context, tenant string, gone bool) (key string, err error) {
	x := r.prepare(&ledger.Erasure{}, "")
	exists := false
	err = x.read(ctx, func(tx pgx.Tx) error {
		if key, err = x.Plan.Canonical(ctx, tx, tenant); err != nil {
			return err
		}
		look, err := x.Plan.Look(ctx, tx, key)
		key, exists = look.Key, look.Exists
		return err
	})
	switch {
	case pg.HasCode(err, "22P02", "22003", "22007", "22008", "22023"):
		return "", &UnknownError{fmt.Sprintf("--tenant %s: %s; tenant keys are of type %s", tenant, pg.ErrorText(err), x.Plan.Key.Type)}
	case err != nil:
		return "", fmt.Errorf("looking up --tenant: %w", err)
	case gone && exists:
		return "", &UnknownError{fmt.Sprintf("--tenant %s: --gone is for a tenant whose row is missing, but %s has it", tenant, x.Plan.Tenants.Name())}
	case !gone && !exists:
		text := fmt.Sprintf("--tenant %s: %s has no such tenant", tenant, x.Plan.Tenants.Name())
		near, err := x.nearest(ctx, key)
		if near != "" {
			text += "; the nearest is " + near
		}
		return key, cmp.Or(err, error(&UnknownError{text + "; if its row is gone already: --gone"}))
	}
	return key, nil
}

// nearest is the tenant whose key is most like one that is not there; empty: none is.
func (x *run) nearest(ctx context.Context, key string) (string, error) {
	for _, p := range x.Policies {
		if p.NoTenant || !p.Readable() {
			continue
		}
		var alike []string
		if err := pg.ReadOne(ctx, x.Pool, p.ReadingPath(), statementTimeout, p.KeysLikeSQL(key), pg.ScanOne(&alike)); err != nil {
			return "", fmt.Errorf("looking up --tenant: %w", err)
		}
		if at := nearest.Index(key, alike, len(key)); at >= 0 {
			return alike[at], nil
		}
		break
	}
	return "", nil
}
