package erasing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
)

// keysAtOnce is how many values of rows that went are held against the tables at a time.
const keysAtOnce = 5000

// swept is what a sweep has found in a table.
type swept struct {
	found, deleted int64
	note           string
}

// Sweep looks for what has arrived for a tenant since its erasure, and deletes it where the file, or
// the kind of the keys, says so. Its next sweep is set, or the ledger forgets the tenant.
func (r *Runner) Sweep(ctx context.Context, e *ledger.Erasure) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("generating a run ID: %w", err)
	}
	x := r.prepare(e, id.String())
	if e.Tenant == nil {
		return errors.New("sweeping: the ledger no longer knows the tenant")
	}
	x.gone, x.report.StartedAt = true, time.Now()
	if e.RecheckedAt == nil { // the run was killed before
		if err := x.recheck(ctx); err != nil {
			return fmt.Errorf("sweeping: %w", err)
		}
	}
	found, err := x.sweepTables(ctx)
	if err != nil {
		return fmt.Errorf("sweeping: %w", err)
	}
	if err := x.endSweep(ctx, found); err != nil {
		return fmt.Errorf("sweeping: %w", err)
	}
	if e.Sweeps+1 < len(x.Sweeps) {
		return nil
	}
	return x.forget(ctx)
}

// forget has the ledger forget the tenant, but for what a new one of the same key needs.
func (x *run) forget(ctx context.Context) error {
	taken, err := x.taken(ctx)
	if err != nil {
		return err
	}
	return x.Ledger.ForgetTenant(ctx, x.Pool, x.e, taken == inUse)
}

// sweepTables counts what has arrived, by table, and deletes it if it may.
func (x *run) sweepTables(ctx context.Context) (map[*erasure.Table]swept, error) {
	all := map[*erasure.Table]swept{}
	taken, err := x.taken(ctx)
	if err != nil {
		return nil, err
	}
	err = x.chunks(ctx, func(remembered map[*erasure.Table]map[string][]string) error {
		counts, err := x.countLeftovers(ctx, remembered)
		if err != nil {
			return err
		}
		arrived := false
		for _, c := range counts {
			s := all[c.Table]
			s.found = max(s.found, c.Rows)
			s.note = taken
			all[c.Table] = s
			arrived = arrived || c.Rows > 0
		}
		if !arrived || taken != "" || !x.Plan.DeletesLeftovers() {
			return nil
		}
		return x.deleteLeftovers(ctx, remembered, all)
	})
	return all, err
}

// taken is why nothing that has arrived may go; empty: it may.
func (x *run) taken(ctx context.Context) (why string, err error) {
	if x.e.RowStays {
		return "the tenant's row has stayed", nil
	}
	err = x.read(ctx, func(tx pgx.Tx) error {
		look, err := x.Plan.Look(ctx, tx, x.key)
		if look.Exists {
			why = inUse
		}
		return err
	})
	return why, err
}

func (x *run) countLeftovers(ctx context.Context, remembered map[*erasure.Table]map[string][]string) (counts []erasure.Count, err error) {
	err = x.read(ctx, func(tx pgx.Tx) error {
		counts, err = x.Plan.LeftoverCount(ctx, tx, x.key, remembered)
		return err
	})
	return counts, err
}

// chunks gives the values that are remembered, some at a time; the first time perhaps none.
func (x *run) chunks(ctx context.Context, do func(map[*erasure.Table]map[string][]string) error) error {
	byName := map[string]*erasure.Table{}
	for _, t := range x.Plan.Tables {
		byName[t.Name()] = t
	}
	var after int64
	for first := true; ; first = false {
		keys, err := x.Ledger.RememberedKeys(ctx, x.Pool, x.e.ID, after, keysAtOnce)
		if err != nil || len(keys) == 0 && !first {
			return err
		}
		remembered := map[*erasure.Table]map[string][]string{}
		for _, k := range keys {
			after = k.N
			t := byName[k.Table]
			if t == nil {
				continue // the table was dropped
			}
			if remembered[t] == nil {
				remembered[t] = map[string][]string{}
			}
			remembered[t][k.Column] = append(remembered[t][k.Column], k.Value)
		}
		if err := do(remembered); err != nil || len(keys) == 0 {
			return err
		}
	}
}

// mostSteps is how many batches a sweep has at most: where rows arrive faster than it deletes them, the
// next sweep goes on.
const mostSteps = 10_000

// deleteLeftovers deletes what has arrived, in batches. Each ends with a look at the tenants' table:
// see the package's comment.
func (x *run) deleteLeftovers(ctx context.Context, remembered map[*erasure.Table]map[string][]string, all map[*erasure.Table]swept) error {
	steps := 0
	for again := true; again && steps < mostSteps; {
		again = false
		for _, s := range x.Plan.Leftovers(remembered) {
			for ; steps < mostSteps; steps++ {
				out, err := x.sweepStep(ctx, s)
				if taken, note := leftoversStay(err); taken {
					for _, t := range s.Tables {
						w := all[t]
						w.note = note
						all[t] = w
					}
					return nil
				}
				if err != nil {
					return err
				}
				for i, n := range out.Rows {
					w := all[s.Tables[i]]
					w.deleted += n
					w.found = max(w.found, w.deleted)
					all[s.Tables[i]] = w
					again = again || n > 0
				}
				if out.Total() == 0 {
					break
				}
			}
		}
	}
	return nil
}

// leftoversStay reports whether an error means that what has arrived is not to go, and why.
func leftoversStay(err error) (bool, string) {
	var halt stop
	if errors.As(err, &halt) {
		return true, halt.reason
	}
	return false, ""
}

// sweepStep does a step of a sweep in a transaction of its own, which counts what it deletes.
func (x *run) sweepStep(ctx context.Context, s *erasure.Step) (out erasure.Outcome, err error) {
	for try := 0; ; try++ {
		if err := x.ready(ctx); err != nil {
			return out, err
		}
		out, err = x.trySweep(ctx, s)
		if err == nil || decide(err, try, x.ended(ctx)) != tryAgain && !serverAway(err) || try >= mostTries {
			return out, err
		}
		x.sleep(ctx, delay(try))
	}
}

func (x *run) trySweep(ctx context.Context, s *erasure.Step) (out erasure.Outcome, err error) {
	t := &transaction{counts: map[ledger.ErasedRows]int64{}, toldOf: &pgx.Batch{}}
	err = pg.InTx(ctx, x.Pool, pgx.ReadWrite, func(tx pgx.Tx) error {
		t.tx = tx
		if err := x.beginSweep(ctx, t); err != nil {
			return err
		}
		if out, err = x.step(ctx, t, s, x.limitOf(s, x.size)); err != nil {
			return err
		}
		if err := x.unused(ctx, t); err != nil {
			return err
		}
		for i, n := range out.Rows {
			if n > 0 {
				x.Ledger.CountLeftovers(t.toldOf, x.e.ID, x.e.Sweeps+1, s.Tables[i].Name(), n, n, "")
			}
		}
		return tx.SendBatch(ctx, t.toldOf).Close()
	})
	return out, err
}

// beginSweep takes the locks and makes the settings of a batch of a sweep.
func (x *run) beginSweep(ctx context.Context, t *transaction) error {
	if err := pg.ExecAll(ctx, t.tx, pg.Timeouts(x.lockWait(), statementTimeout)); err != nil {
		return err
	}
	if _, err := t.tx.Exec(ctx, lockSQL, x.lockKeys()); err != nil {
		return err
	}
	var paused, held bool
	err := t.tx.QueryRow(ctx, `SELECT `+x.Ledger.PausedSQL(`$1::text`)+`, `+x.Ledger.TenantHeldSQL(`$2::text`), policy.ErasurePolicy, x.key).Scan(&paused, &held)
	switch {
	case err != nil:
		return err
	case paused:
		return stopf("paused by hand")
	case held:
		return stopf("the tenant is held (reaper holds)")
	}
	if _, err := t.tx.Exec(ctx, x.Plan.Settings(statementTimeout, x.lockWait())); err != nil {
		return err
	}
	return x.unused(ctx, t)
}

// endSweep records what was found, tells the application, and sets the next sweep.
func (x *run) endSweep(ctx context.Context, found map[*erasure.Table]swept) error {
	in, total, deleted := &pgx.Batch{}, int64(0), int64(0)
	sweep := x.e.Sweeps + 1
	for t, s := range found {
		if s.found == 0 {
			continue
		}
		total += s.found
		deleted += s.deleted
		x.Ledger.CountLeftovers(in, x.e.ID, sweep, t.Name(), s.found, 0, s.note)
	}
	var next time.Duration
	if sweep < len(x.Sweeps) {
		next = x.Sweeps[sweep] - x.Sweeps[sweep-1]
	}
	x.Ledger.EndSweep(in, x.e.ID, sweep, next)
	if total > 0 {
		x.Log.Warn("rows have arrived for a tenant that was erased", "rows", total, "deleted", deleted, "sweep", sweep)
		err := x.Ledger.Emit(in, ledger.Event{Kind: ledger.LeftoversFound, Policy: policy.ErasurePolicy, Tenant: &x.key, Data: map[string]any{"erasure_id": x.e.ID, "sweep": sweep, "rows": total, "deleted": deleted}})
		if err != nil {
			return err
		}
	}
	return x.tellLedger(ctx, in)
}
