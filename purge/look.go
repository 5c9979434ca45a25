package purge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// A trigger may return NULL and keep a row, a rule may do something else instead, and
// both may change other rows. So in a plan where any can fire, a batch looks at its rows
// before it commits: what was to go is gone, what was emptied is empty, and what was
// due is gone or due still. Else nothing of it is committed, and the triggers are named.

// checkRows looks at the rows of a batch that has deleted them. keys: also the roots.
func (b *batcher) checkRows(ctx context.Context, tx *batchTx, m *plan.Traversal, known map[*plan.Node]*plan.Rows, keys pg.Values) error {
	if !b.plan.Watched() {
		return nil
	}
	if err := b.fireDeferred(ctx, tx); err != nil {
		return err
	}
	if err := b.checkDue(ctx, tx); err != nil {
		return err
	}
	return b.runChecks(ctx, tx, b.plan.RowChecks(m, known, keys, tx.lockDependents))
}

// fireDeferred has deferred triggers fire now: at COMMIT nobody looks any more.
func (b *batcher) fireDeferred(ctx context.Context, tx *batchTx) error {
	if _, err := tx.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return fmt.Errorf("firing deferred triggers: %w", err)
	}
	return nil
}

// checkDue looks at the rows that were due when a reference in them was emptied.
func (b *batcher) checkDue(ctx context.Context, tx *batchTx) error {
	return b.runChecks(ctx, tx, plan.DueChecks(tx.due))
}

// runChecks runs checks; the first that finds something wrong is the error.
func (b *batcher) runChecks(ctx context.Context, tx *batchTx, c *plan.Checks) error {
	if len(c.Texts) == 0 {
		return nil
	}
	found := make([]bool, len(c.Texts))
	if err := tx.row(ctx, c.SQL()).Scan(pg.Pointers(found)...); err != nil {
		return fmt.Errorf("looking at what became of the rows: %w", err)
	}
	if i := slices.Index(found, true); i >= 0 {
		return fmt.Errorf("%w: %s", errInterfered, c.Texts[i])
	}
	return nil
}

// checkBehind says why nothing behind an edge was deleted or emptied: something keeps
// the rows that are there. nil: there are none.
func (b *batcher) checkBehind(ctx context.Context, tx *batchTx, e *plan.Edge, r *plan.Rows) error {
	if !b.plan.Watched() {
		return nil
	}
	return b.runChecks(ctx, tx, plan.BehindChecks(e, r))
}

// stillOld looks whether locked roots are still old enough, and meant: nobody but a
// trigger can have changed that.
func (b *batcher) stillOld(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, keys pg.Values) error {
	p := b.plan
	var young bool
	if err := tx.row(ctx, p.YoungRootsSQL(b.scope(), t, keys)).Scan(&young); err != nil {
		return fmt.Errorf("looking at what became of the rows: %w", err)
	}
	if young {
		return fmt.Errorf("%w: deleting what depends on rows of %s, which are expired, makes them young again: %s", errInterfered, p.Root.Table.Name, strings.Join(p.Firing(), ", "))
	}
	return nil
}

// noteDue locks and notes the rows behind an edge that are due, where a trigger could
// make them young when their reference is emptied.
func (b *batcher) noteDue(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, e *plan.Edge, known map[*plan.Node]*plan.Rows) error {
	n := e.Child
	if len(n.Ages) == 0 || !slices.ContainsFunc(n.Table.Triggers, func(x schema.Trigger) bool { return x.FiresOnUpdateOf(e.SetColumns) }) {
		return nil
	}
	for _, a := range n.Ages {
		d := plan.DueRows{Edge: e, Age: a, Cutoff: t.Cutoff, Key: pg.NewValues(len(n.Key))}
		if a.Latest != nil {
			d.Cutoff = b.run.base
		}
		if err := tx.read(ctx, d.LockSQL(known[e.Parent]), pg.ScanColumns(d.Key)); err != nil {
			return fmt.Errorf("noting what is due of %s: %w", n.Table.Name, err)
		}
		if d.Key.Len() > 0 {
			tx.due = append(tx.due, d)
		}
	}
	return nil
}
