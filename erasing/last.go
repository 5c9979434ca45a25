package erasing

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
)

// plainTries is how often the tenant's row is waited for without the help of a second connection.
const plainTries = 2

// mostRounds is how often the last batch does the steps: a later one finds what came into a table
// before the rows were locked that it references.
const mostRounds = 8

// lastBatch locks out the tenant's writers, does what is left, and ends the erasure if nothing is.
// stuck is why it cannot; nil: it may go on.
func (x *run) lastBatch(ctx context.Context) (ended bool, stuck, err error) {
	tries := 0
	t, err := x.batch(ctx, func(ctx context.Context, t *transaction) error {
		tries++
		if err := x.lockOut(ctx, t, tries > plainTries); err != nil {
			return err
		}
		return x.finish(ctx, t)
	})
	if err != nil {
		return false, nil, fmt.Errorf("the last batch: %w", err)
	}
	return t.settled, t.stuck, nil
}

// lockOut locks the tenant's row FOR UPDATE; with helped, those who come later wait meanwhile.
func (x *run) lockOut(ctx context.Context, t *transaction, helped bool) error {
	if x.gone {
		return nil
	}
	if helped {
		defer x.holdUp(ctx)()
	}
	there, err := x.Plan.LockTenant(ctx, t.tx, x.key, true)
	if err != nil {
		return fmt.Errorf("locking the tenant's row: %w", err)
	}
	if !there {
		return errVanished
	}
	return nil
}

// queued is how long the request of the second connection is given to reach the queue of the lock.
const queued = 5 * time.Millisecond

// holdUp has new transactions that lock the tenants' table wait, at most for lock_timeout, until the
// function that it returns is called. This transaction already has the table.
func (x *run) holdUp(ctx context.Context) (release func()) {
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		err := pg.InTx(ctx, x.Control, pgx.ReadWrite, func(tx pgx.Tx) error {
			return pg.ExecAll(ctx, tx, pg.Timeouts(x.lockWait(), statementTimeout), x.Plan.LockTenantsSQL("EXCLUSIVE"))
		})
		if err != nil && ctx.Err() == nil && !pg.HasCode(err, "55P03") {
			x.Log.Warn("cannot hold up the tenants' writers", "error", pg.ErrorText(err))
		}
	}()
	x.sleep(ctx, queued)
	return func() {
		cancel()
		<-ended
	}
}

// finish does all steps in one transaction, with rounds until one changes nothing, and settles the
// erasure if nothing is left. More rows than a batch may have are left for the next one.
func (x *run) finish(ctx context.Context, t *transaction) error {
	for range mostRounds {
		before := t.rows
		more, err := x.round(ctx, t)
		if err != nil || more {
			return err
		}
		if t.rows == before {
			break
		}
	}
	return x.settleIfEmpty(ctx, t)
}

// round does all steps once, or as many as a batch has room for; then there is more.
func (x *run) round(ctx context.Context, t *transaction) (more bool, err error) {
	w := x.Plan.Walk(x.most())
	for s := w.Next(); s != nil; s = w.Next() {
		room := x.most() - int(t.rows)
		if room <= 0 || time.Since(t.began) > 5*x.Plan.Section.Limits.Time && t.rows > 0 {
			return true, nil
		}
		out, err := x.step(ctx, t, s, x.limitOf(s, room))
		if err != nil {
			return false, err
		}
		w.Did(out)
	}
	if err := w.Err(); err != nil {
		t.stuck = err
	}
	return t.stuck != nil, nil
}

// settleIfEmpty ends the erasure in its last batch, if nothing is left besides what is kept.
func (x *run) settleIfEmpty(ctx context.Context, t *transaction) error {
	rowStays, err := x.rowStays(ctx, t)
	if err != nil {
		return err
	}
	if rowStays {
		counts, err := x.Plan.Remaining(ctx, t.tx, x.key)
		if err != nil {
			return fmt.Errorf("counting what is left: %w", err)
		}
		if rows, _, _ := x.settle(counts); rows > 0 {
			return nil
		}
	} else if err := x.nothingBlocked(ctx, t); err != nil {
		return err
	}
	t.settled = true
	var first time.Duration
	if len(x.Sweeps) > 0 {
		first = x.Sweeps[0]
	}
	t.toldOf.Queue(durably)
	x.Ledger.EndErasure(t.toldOf, x.e.ID, rowStays, first)
	if x.e.State == ledger.ErasureEnded && rowStays == x.e.RowStays {
		return nil // it was told before
	}
	return x.emit(t, ledger.ErasureDone, map[string]any{"row_stays": rowStays})
}

// nothingBlocked refuses to end an erasure, and to let the tenant's row go, while something references
// rows that no foreign key leads from to it. What arrives there meanwhile is left to sweeps.
func (x *run) nothingBlocked(ctx context.Context, t *transaction) error {
	found, err := x.Plan.Blockers(ctx, t.tx, x.key)
	if err != nil || len(found) == 0 {
		return err
	}
	counts, err := x.Plan.Remaining(ctx, t.tx, x.key)
	if err != nil {
		return fmt.Errorf("counting what is left: %w", err)
	}
	return stopAt(slices.DeleteFunc(found, func(b erasure.Blocker) bool {
		return !slices.ContainsFunc(counts, func(c erasure.Count) bool { return c.Table == b.Parent && c.Rows > 0 })
	}))
}

// rowStays reports whether the tenants' table still has the tenant's row.
func (x *run) rowStays(ctx context.Context, t *transaction) (bool, error) {
	if x.gone {
		return false, nil
	}
	look, err := x.Plan.Look(ctx, t.tx, x.key)
	if err != nil {
		return false, fmt.Errorf("looking at the tenant's row: %w", err)
	}
	return look.Exists, nil
}

// emit queues an event for the transaction of what it tells of.
func (x *run) emit(t *transaction, kind string, data map[string]any) error {
	data["erasure_id"] = x.e.ID
	return x.Ledger.Emit(t.toldOf, ledger.Event{Kind: kind, Policy: policy.ErasurePolicy, Tenant: &x.key, RunID: x.report.RunID, Data: data})
}
