package purge

import (
	"context"
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// deleteKnown empties references, and deletes roots and all that was collected
// below them. Without keys there are no roots among the rows.
func (b *batcher) deleteKnown(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, m *plan.Traversal, known map[*plan.Node]*plan.Rows, keys pg.Values) error {
	for _, e := range m.Clears {
		if r := known[e.Parent]; r == nil || r.Len() == 0 {
			continue
		}
		if err := b.noteDue(ctx, tx, t, e, known); err != nil {
			return err
		}
		n, err := tx.exec(ctx, plan.ClearSQL(&pg.Statement{}, e, m, known, 0))
		if err != nil {
			return fmt.Errorf("emptying %s of %s: %w", e.Label(), e.Child.Table.Name, err)
		}
		tx.countNullified(e.Child, n)
	}
	var err error
	if b.policy.state.deletesStepwise() || b.plan.Ruled() {
		err = b.deleteOneByOne(ctx, tx, t, m, known, keys)
	} else {
		err = b.deleteAtOnce(ctx, tx, t, m, b.plan.Nodes, known, keys)
	}
	if err != nil {
		return err
	}
	return b.checkRows(ctx, tx, m, known, keys)
}

// deleteAtOnce deletes from tables in one statement.
func (b *batcher) deleteAtOnce(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, m *plan.Traversal, nodes []*plan.Node, known map[*plan.Node]*plan.Rows, keys pg.Values) error {
	s, targets, wanted := plan.DeleteSQL(b.plan, m, nodes, b.scope(), t, keys, known, tx.lockDependents)
	if len(targets) == 0 {
		return nil
	}
	counts := make([]int64, len(targets))
	if err := tx.row(ctx, s).Scan(pg.Pointers(counts)...); err != nil {
		return fmt.Errorf("deleting from %s and its dependents: %w", b.plan.Root.Table.Name, err)
	}
	for i, want := range wanted {
		if counts[i] == int64(want) {
			continue
		}
		if i == 0 && keys != nil {
			return b.stayed(ctx, tx, t, keys, int64(want)-counts[i])
		}
		return b.moved(ctx, tx, m, targets[i], known)
	}
	for i, n := range targets {
		tx.countDeleted(n, counts[i])
	}
	return nil
}

// moved explains why rows that were collected were not deleted: a trigger or a rule keeps them,
// or somebody has changed them since.
func (b *batcher) moved(ctx context.Context, tx *batchTx, m *plan.Traversal, n *plan.Node, known map[*plan.Node]*plan.Rows) error {
	if !b.plan.Watched() {
		return errChanged
	}
	if tx.lockDependents && n.Table.CanUpdate { // they were locked: it was nobody else
		return fmt.Errorf("%w: %s", errInterfered, n.Stays())
	}
	s := plan.CollectedThereSQL(n, m, known, tx.lockDependents)
	var there bool
	if err := tx.row(ctx, s).Scan(&there); err != nil {
		return fmt.Errorf("looking at what became of the rows: %w", err)
	}
	if there {
		return fmt.Errorf("%w: %s", errInterfered, n.Stays())
	}
	return errChanged
}

// stayed explains why locked roots were not deleted: a hold, a retention or a path
// changed since they were locked, or something keeps rows that are expired
// still. Then nothing below them may go either.
func (b *batcher) stayed(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, keys pg.Values, n int64) error {
	still, err := b.countRoots(ctx, tx, t, keys)
	if err == nil && still == n {
		return errKept
	}
	if err == nil && b.plan.Watched() {
		err = b.stillOld(ctx, tx, t, keys)
	}
	if err != nil {
		return err
	}
	return errChanged
}

// deleteOneByOne deletes from one table after the other, from the leaves up. Tables that
// reference each other go in one statement.
func (b *batcher) deleteOneByOne(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, m *plan.Traversal, known map[*plan.Node]*plan.Rows, keys pg.Values) error {
	for _, e := range m.Deletes {
		if r := known[e.Parent]; r != nil && r.Len() > 0 {
			n, err := tx.exec(ctx, plan.DeleteAllBehindSQL(e, r))
			if err != nil {
				return fmt.Errorf("deleting from %s: %w", e.Child.Table.Name, err)
			}
			tx.countDeleted(e.Child, n)
		}
	}
	leaves := *m
	leaves.Deletes = nil
	for _, group := range slices.Backward(m.Order) {
		if err := b.deleteGroup(ctx, tx, t, &leaves, group, known, keys); err != nil {
			return err
		}
	}
	if !m.Collected[b.plan.Root] {
		return b.deleteNode(ctx, tx, t, &leaves, b.plan.Root, known, keys)
	}
	return nil
}

func (b *batcher) deleteGroup(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, m *plan.Traversal, group []*plan.Node, known map[*plan.Node]*plan.Rows, keys pg.Values) error {
	if len(group) == 1 && !plan.Cyclic(group) {
		return b.deleteNode(ctx, tx, t, m, group[0], known, keys)
	}
	if !slices.Contains(group, b.plan.Root) {
		keys = nil
	}
	return b.deleteAtOnce(ctx, tx, t, m, group, known, keys)
}

func (b *batcher) deleteNode(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, m *plan.Traversal, n *plan.Node, known map[*plan.Node]*plan.Rows, keys pg.Values) error {
	r := known[n]
	if r == nil || r.Len() == 0 {
		return nil
	}
	var s *pg.Statement
	switch {
	case n == b.plan.Root && keys == nil:
		return nil
	case n == b.plan.Root && len(n.FiringRules()) > 0:
		s = b.plan.DeleteRuledSQL(b.scope(), t, keys)
	case n == b.plan.Root:
		s = b.plan.DeleteRootsSQL(b.scope(), t, keys)
	default:
		s = plan.DeleteCollectedSQL(n, m, known, tx.lockDependents)
	}
	count, err := tx.exec(ctx, s)
	if err != nil {
		return fmt.Errorf("deleting from %s: %w", n.Table.Name, err)
	}
	tx.countDeleted(n, count)
	switch {
	case count == int64(r.Len()):
		return nil
	case n == b.plan.Root:
		return b.stayed(ctx, tx, t, keys, int64(r.Len())-count)
	}
	return b.moved(ctx, tx, m, n, known)
}
