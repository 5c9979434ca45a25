package erasing

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
)

// firstSize is how many rows the first batch takes.
const firstSize = 500

// Bounds of the passes over all steps: how many there are while rows keep coming, and how many in a row
// may find that the steps do not come to an end.
const (
	mostPasses = 1000
	mostStuck  = 20
)

// mostSmall is how often a step may find fewer rows than a batch has room for, in one pass.
const mostSmall = 16

// drain does the steps, and again from the leaves up while rows come, until the last batch has ended
// the erasure.
func (x *run) drain(ctx context.Context) error {
	stuck := 0
	for pass := range mostPasses {
		if err := x.walk(ctx); err != nil {
			return err
		}
		ended, why, err := x.lastBatch(ctx)
		if err != nil || ended {
			return err
		}
		if stuck++; why == nil {
			stuck = 0
		}
		if err := x.blocked(ctx); err != nil {
			return err
		}
		if stuck >= mostStuck {
			return stop{why.Error()}
		}
		x.sleep(ctx, delay(min(pass, 6)))
	}
	return stopf("rows keep coming for the tenant")
}

// walk does the steps up to the one that may take the tenant's row, which is the last batch's. One that
// does not come to an end, or finds a few rows again and again since writers bring them, is left to it
// as well: there are no writers then.
func (x *run) walk(ctx context.Context) error {
	w := x.Plan.Walk(x.most())
	small := map[*erasure.Step]int{}
	for s := w.Next(); s != nil && !s.Last && small[s] < mostSmall; s = w.Next() {
		var out erasure.Outcome
		limit := x.limitOf(s, x.size)
		t, err := x.batch(ctx, func(ctx context.Context, t *transaction) (err error) {
			out, err = x.step(ctx, t, s, limit)
			return err
		})
		if err != nil {
			return err
		}
		w.Did(out)
		if out.Found > 0 && out.Found < limit {
			small[s]++
		}
		x.adapt(out.Found, limit, time.Since(t.began))
	}
	return nil
}

// limitOf is how many rows a step may change, of those that there is room for. What is left of a circle
// goes as a whole or not at all.
func (x *run) limitOf(s *erasure.Step, room int) int {
	if s.Kind == erasure.StepTogether {
		return x.most()
	}
	return min(room, x.most())
}

// most is how many rows a batch may take at most.
func (x *run) most() int { return x.Plan.Section.Limits.Rows }

// adapt chooses the size of the next batch by the time of the last one, if that was full.
func (x *run) adapt(found, limit int, took time.Duration) {
	target := x.Plan.Section.Limits.Time
	switch {
	case took > target:
		x.size = max(int(float64(limit)*max(float64(target)/float64(took), 0.25)), 1)
	case found >= limit && took < target/2:
		x.size = min(limit*2, x.most())
	}
}

// batch does something in one transaction, and again as decide says. It waits for the guards first.
func (x *run) batch(ctx context.Context, do func(context.Context, *transaction) error) (*transaction, error) {
	var away time.Time
	for try := 0; ; try++ {
		if err := x.ready(ctx); err != nil {
			return nil, err
		}
		t, err := x.transact(ctx, do)
		if err == nil {
			x.committed(ctx, t)
			return t, nil
		}
		if !serverAway(err) {
			away = time.Time{}
		} else if away.IsZero() {
			away = time.Now()
		}
		if !away.IsZero() && time.Since(away) > x.Patience {
			return nil, err
		}
		if err := x.follow(ctx, err, try); err != nil {
			return nil, err
		}
	}
}

// follow does what decide says of an error; nil: try again.
func (x *run) follow(ctx context.Context, err error, try int) error {
	switch decide(err, try, x.ended(ctx)) {
	case tryAgain, awaitServer:
		x.Log.Debug("retrying batch", "error", pg.ErrorText(err))
		x.sleep(ctx, delay(try))
		return nil
	case awaitResume:
		return x.awaitResume(ctx)
	case lookAgain:
		return x.sameDatabase(ctx)
	case goOnGone:
		x.Log.Warn("the tenant's row is gone; going on without it")
		x.gone = true
		return x.Ledger.TenantGone(ctx, x.Pool, x.e.ID)
	case withdraw:
		if err := x.Ledger.WithdrawErasure(ctx, x.Pool, x.e.ID, errNotDue.Error()); err != nil {
			return err
		}
		return stop{errNotDue.Error()}
	}
	if pg.Passes(err) {
		return stopf("%s, %d times", pg.ErrorText(err), try+1)
	}
	return err
}

// sameDatabase asks the latch whether the server is still the one that is known.
func (x *run) sameDatabase(ctx context.Context) error {
	if x.Gates == nil {
		return stop{errMoved.Error()}
	}
	d, err := x.Gates.Alive(ctx)
	if err != nil {
		return err
	}
	if d.Text != "" {
		return refused{d.Warning()}
	}
	return nil
}

// committed counts a batch, tells the observer, and rests.
func (x *run) committed(ctx context.Context, t *transaction) {
	took := time.Since(t.began)
	r := x.report
	if t.rows > 0 {
		r.Batches++
	}
	r.WALBytes += t.wal
	deleted := map[string]int64{}
	for c, n := range t.counts {
		switch c.Action {
		case "redact":
			r.RowsRedacted += n
		case "nullify":
			r.RowsNullified += n
		default:
			deleted[c.Table] += n
			r.Rows[c.Table] += n
			r.RowsTotal += n
		}
	}
	if x.Guard != nil {
		x.Guard.Wrote(t.wal)
	}
	if t.rows == 0 {
		return
	}
	x.Observer.Batch(purge.BatchEvent{Policy: policy.ErasurePolicy, Tenant: &x.key, Rows: t.rows, Roots: t.rows, Tenants: 1, Duration: took, WALBytes: t.wal, Deleted: deleted})
	x.Log.Debug("batch", "rows", t.rows, "duration_seconds", took.Seconds())
	share := x.Plan.Section.Limits.Pace
	if x.Guard != nil {
		share *= x.Guard.Advice(policy.ErasurePolicy).Share
	}
	if share > 0 && share < 1 {
		x.sleep(ctx, time.Duration(float64(took)*(1/share-1)))
	}
}

// blocked stops where rows that stay reference rows that should go: no further pass would change that.
func (x *run) blocked(ctx context.Context) error {
	var found []erasure.Blocker
	err := x.read(ctx, func(tx pgx.Tx) (err error) {
		found, err = x.Plan.Blockers(ctx, tx, x.key)
		return err
	})
	if err != nil {
		return err
	}
	return stopAt(found)
}

// stopAt is the end of a run that these references stop; nil: there are none.
func stopAt(found []erasure.Blocker) error {
	if len(found) == 0 {
		return nil
	}
	all := make([]string, len(found))
	for i, b := range found {
		all[i] = fmt.Sprintf("rows of %s reference %d of %s (%s)", b.Child.Name(), b.Rows, b.Parent.Name(), b.Constraint)
	}
	return stopf("rows that stay reference rows that should go: %s", strings.Join(all, "; "))
}

// read runs fn in a short read-only transaction with the settings of a batch.
func (x *run) read(ctx context.Context, fn func(pgx.Tx) error) error {
	return x.patiently(ctx, func() error {
		return pg.InTx(ctx, x.Pool, pgx.ReadOnly, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, x.Plan.Settings(readTimeout, mostLockWait)); err != nil {
				return err
			}
			return fn(tx)
		})
	})
}

// readTimeout bounds a statement that only counts.
const readTimeout = 10 * time.Minute

// recheck counts what is left of the tenant, and records that and what is kept.
func (x *run) recheck(ctx context.Context) error {
	var counts []erasure.Count
	if err := x.read(ctx, func(tx pgx.Tx) (err error) {
		counts, err = x.Plan.Remaining(ctx, tx, x.key)
		return err
	}); err != nil {
		return fmt.Errorf("counting what is left: %w", err)
	}
	remaining, kept, again := x.settle(counts)
	x.report.Kept = kept
	in := &pgx.Batch{}
	if err := x.Ledger.RecheckErasure(in, x.e.ID, remaining, kept, again); err != nil {
		return err
	}
	if err := x.tellLedger(ctx, in); err != nil {
		return err
	}
	if remaining > 0 {
		x.Log.Warn("rows have come since the last batch; sweeps look at them", "rows", remaining)
	}
	return nil
}

// lookAgain is how long kept rows stay unlooked at, at most.
const lookAgainAfter = 30 * 24 * time.Hour

// settle sums what was counted, and says when kept rows are looked at again; nil: never.
func (x *run) settle(counts []erasure.Count) (remaining int64, kept []ledger.Kept, again *time.Time) {
	kept = []ledger.Kept{}
	for _, c := range counts {
		remaining += c.Rows
		if c.Kept == 0 {
			continue
		}
		k := ledger.Kept{Table: c.Table.Name(), Rows: c.Kept}
		if c.Table.Entry != nil {
			k.Reason = c.Table.Entry.Reason
		}
		if !c.Until.IsZero() {
			k.Until = &c.Until
			if again == nil || c.Until.Before(*again) {
				again = &c.Until
			}
		}
		kept = append(kept, k)
	}
	if latest := x.report.StartedAt.Add(lookAgainAfter); again != nil && again.After(latest) {
		again = &latest
	}
	return remaining, kept, again
}

// tellLedger writes rows of the ledger in a transaction of their own, which a crash of the server does
// not undo.
func (x *run) tellLedger(ctx context.Context, in *pgx.Batch) error {
	return x.patiently(ctx, func() error {
		return pg.InTx(ctx, x.Pool, pgx.ReadWrite, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, durably); err != nil {
				return err
			}
			return tx.SendBatch(ctx, in).Close()
		})
	})
}

// durably makes a commit wait for the disk.
const durably = `SELECT pg_catalog.set_config('synchronous_commit', pg_catalog.replace(pg_catalog.current_setting('synchronous_commit'), 'off', 'on'), true)`
