package purge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// A trigger may return NULL and keep a row, a rule may do something else instead, and
// both may change other rows. So in a plan where any can fire, a batch looks at its rows
// before it commits: what was to go is gone, what was emptied is empty, and what was
// due is gone or due still. Else nothing of it is committed, and the triggers are named.

// look looks at the rows of a batch that has deleted them. keys: also the roots.
func (b *batcher) look(ctx context.Context, tx *batchTx, m *mode, known map[*Node]*rowsOf, keys values) error {
	if !b.plan.watched() {
		return nil
	}
	if err := b.fireDeferred(ctx, tx); err != nil {
		return err
	}
	if err := b.lookDue(ctx, tx); err != nil {
		return err
	}
	return b.passes(ctx, tx, b.plan.rowChecks(m, known, keys, tx.lockDependents))
}

// fireDeferred has deferred triggers fire now: at COMMIT nobody looks any more.
func (b *batcher) fireDeferred(ctx context.Context, tx *batchTx) error {
	if _, err := tx.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return fmt.Errorf("firing deferred triggers: %w", err)
	}
	return nil
}

// lookDue looks at the rows that were due when a reference in them was emptied.
func (b *batcher) lookDue(ctx context.Context, tx *batchTx) error {
	return b.passes(ctx, tx, dueChecks(tx.due))
}

// passes runs checks; the first that finds something wrong is the error.
func (b *batcher) passes(ctx context.Context, tx *batchTx, c *checks) error {
	if len(c.texts) == 0 {
		return nil
	}
	found := make([]bool, len(c.texts))
	if err := tx.row(ctx, c.sql()).Scan(pointers(found)...); err != nil {
		return fmt.Errorf("looking at what became of the rows: %w", err)
	}
	if i := slices.Index(found, true); i >= 0 {
		return fmt.Errorf("%w: %s", errInterfered, c.texts[i])
	}
	return nil
}

// lookBehind says why nothing behind an edge was deleted or emptied: something keeps
// the rows that are there. nil: there are none.
func (b *batcher) lookBehind(ctx context.Context, tx *batchTx, e *Edge, r *rowsOf) error {
	if !b.plan.watched() {
		return nil
	}
	return b.passes(ctx, tx, behindChecks(e, r))
}

// stillOld looks whether locked roots are still old enough, and meant: nobody but a
// trigger can have changed that.
func (b *batcher) stillOld(ctx context.Context, tx *batchTx, t *TenantCutoff, keys values) error {
	p := b.plan
	var young bool
	if err := tx.row(ctx, p.youngRootsSQL(b.scope(), t, keys)).Scan(&young); err != nil {
		return fmt.Errorf("looking at what became of the rows: %w", err)
	}
	if young {
		return fmt.Errorf("%w: deleting what depends on rows of %s, which are expired, makes them young again: %s", errInterfered, p.Root.Table.Name, strings.Join(p.firing(), ", "))
	}
	return nil
}

// noteDue locks and notes the rows behind an edge that are due, where a trigger could
// make them young when their reference is emptied.
func (b *batcher) noteDue(ctx context.Context, tx *batchTx, t *TenantCutoff, e *Edge, known map[*Node]*rowsOf) error {
	n := e.Child
	if len(n.ages) == 0 || !slices.ContainsFunc(n.Table.Triggers, func(x schema.Trigger) bool { return x.FiresOnUpdateOf(e.SetColumns) }) {
		return nil
	}
	for _, a := range n.ages {
		d := dueRows{edge: e, age: a, cutoff: t.Cutoff, key: newValues(len(n.key))}
		if a.latest != nil {
			d.cutoff = b.run.base
		}
		if err := tx.read(ctx, d.lockSQL(known[e.Parent]), scanColumns(d.key)); err != nil {
			return fmt.Errorf("noting what is due of %s: %w", n.Table.Name, err)
		}
		if d.key.len() > 0 {
			tx.due = append(tx.due, d)
		}
	}
	return nil
}
