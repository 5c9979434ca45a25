package deletion

import (
	"context"
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// deleteCollected clears references, then deletes the roots and everything collected below
// them. nil keys: no roots among the rows.
func (tx *Tx) deleteCollected(ctx context.Context, m *plan.Traversal, known collection, keys pg.Values) error {
	for _, e := range m.Clears {
		if r := known[e.Parent]; r == nil || r.Len() == 0 {
			continue
		}
		if err := tx.noteDue(ctx, e, known); err != nil {
			return err
		}
		n, err := tx.clear(ctx, e, m, known)
		if err != nil {
			return fmt.Errorf("clearing %s of %s: %w", e.Label(), e.Child.Table.Name, err)
		}
		tx.countNullified(e.Child, n)
	}
	var err error
	if tx.stepwise || tx.plan.Ruled() {
		err = tx.deleteOneByOne(ctx, m, known, keys)
	} else {
		err = tx.deleteAtOnce(ctx, m, tx.plan.Nodes, known, keys)
	}
	if err != nil {
		return err
	}
	return tx.checkRows(ctx, m, known, keys)
}

// clear clears the references behind an edge. Where a trigger could undo a redaction, the rows are
// verified: once they reference nothing, nothing finds them any more.
func (tx *Tx) clear(ctx context.Context, e *plan.Edge, m *plan.Traversal, known collection) (n int64, err error) {
	if e.Redaction == nil || !tx.plan.Watched() {
		return tx.exec(ctx, collected.ClearSQL(&pg.Statement{}, e, m, known, 0))
	}
	var stay int64
	err = tx.row(ctx, collected.ClearCheckedSQL(e, m, known, 0)).Scan(&n, &stay)
	if err == nil && stay > 0 {
		err = unredacted(e)
	}
	return n, err
}

// unredacted: a trigger undoes a redaction.
func unredacted(e *plan.Edge) error {
	return fmt.Errorf("%w: rows of %s still reference what goes, or are not what they were redacted to: %s", ErrInterfered, e.Child.Table.Name, e.Child.Fires())
}

// deleteAtOnce deletes from several tables in one statement.
func (tx *Tx) deleteAtOnce(ctx context.Context, m *plan.Traversal, nodes []*plan.Node, known collection, keys pg.Values) error {
	s, targets, wanted := collected.DeleteSQL(tx.plan, m, nodes, tx.scope, tx.Tenant, keys, known, tx.Opts.LockDependents)
	if len(targets) == 0 {
		return nil
	}
	counts := make([]int64, len(targets))
	if err := tx.row(ctx, s).Scan(pg.Pointers(counts)...); err != nil {
		return fmt.Errorf("deleting from %s and its dependents: %w", tx.plan.Root.Table.Name, err)
	}
	for i, want := range wanted {
		if counts[i] == int64(want) {
			continue
		}
		if i == 0 && keys != nil {
			return tx.explainKeptRoots(ctx, keys, int64(want)-counts[i])
		}
		return tx.explainKeptRows(ctx, m, targets[i], known)
	}
	for i, n := range targets {
		tx.countDeleted(n, counts[i])
	}
	return nil
}

// explainKeptRows explains why collected rows were not deleted: a trigger or rule keeps them,
// or another transaction changed them.
func (tx *Tx) explainKeptRows(ctx context.Context, m *plan.Traversal, n *plan.Node, known collection) error {
	if !tx.plan.Watched() {
		return ErrChanged
	}
	if tx.Opts.LockDependents && n.Table.CanUpdate { // they were locked, so no other transaction changed them
		return fmt.Errorf("%w: %s", ErrInterfered, n.Stays())
	}
	s := collected.StillThereSQL(n, m, known, tx.Opts.LockDependents)
	var there bool
	if err := tx.row(ctx, s).Scan(&there); err != nil {
		return fmt.Errorf("verifying rows: %w", err)
	}
	if there {
		return fmt.Errorf("%w: %s", ErrInterfered, n.Stays())
	}
	return ErrChanged
}

// explainKeptRoots explains why locked roots were not deleted: a hold, a retention or a path
// changed after they were locked, or a trigger or rule keeps rows that are still expired. In
// both cases nothing below them may be deleted.
func (tx *Tx) explainKeptRoots(ctx context.Context, keys pg.Values, n int64) error {
	still, err := tx.countRoots(ctx, keys)
	if err == nil && still == n {
		return ErrKept
	}
	if err == nil && tx.plan.Watched() {
		err = tx.checkStillExpired(ctx, keys)
	}
	if err != nil {
		return err
	}
	return ErrChanged
}

// deleteOneByOne deletes table by table, from the leaves up. Tables that reference each other
// share one statement.
func (tx *Tx) deleteOneByOne(ctx context.Context, m *plan.Traversal, known collection, keys pg.Values) error {
	for _, e := range m.Deletes {
		if r := known[e.Parent]; r != nil && r.Len() > 0 {
			n, err := tx.exec(ctx, collected.DeleteAllBehindSQL(e, r))
			if err != nil {
				return fmt.Errorf("deleting from %s: %w", e.Child.Table.Name, err)
			}
			tx.countDeleted(e.Child, n)
		}
	}
	leaves := *m
	leaves.Deletes = nil
	for _, group := range slices.Backward(m.Order) {
		if err := tx.deleteGroup(ctx, &leaves, group, known, keys); err != nil {
			return err
		}
	}
	if !m.Collected[tx.plan.Root] {
		return tx.deleteNode(ctx, &leaves, tx.plan.Root, known, keys)
	}
	return nil
}

func (tx *Tx) deleteGroup(ctx context.Context, m *plan.Traversal, group []*plan.Node, known collection, keys pg.Values) error {
	if len(group) == 1 && !plan.Cyclic(group) {
		return tx.deleteNode(ctx, m, group[0], known, keys)
	}
	if !slices.Contains(group, tx.plan.Root) {
		keys = nil
	}
	return tx.deleteAtOnce(ctx, m, group, known, keys)
}

func (tx *Tx) deleteNode(ctx context.Context, m *plan.Traversal, n *plan.Node, known collection, keys pg.Values) error {
	r := known[n]
	if r == nil || r.Len() == 0 {
		return nil
	}
	var s *pg.Statement
	switch {
	case n == tx.plan.Root && keys == nil:
		return nil
	case n == tx.plan.Root && len(n.FiringRules()) > 0:
		s = tx.plan.DeleteRuledSQL(tx.scope, tx.Tenant, keys)
	case n == tx.plan.Root:
		s = tx.plan.DeleteRootsSQL(&pg.Statement{}, tx.scope, tx.Tenant, keys)
	default:
		s = collected.DeleteCollectedSQL(n, m, known, tx.Opts.LockDependents)
	}
	count, err := tx.exec(ctx, s)
	if err != nil {
		return fmt.Errorf("deleting from %s: %w", n.Table.Name, err)
	}
	tx.countDeleted(n, count)
	switch {
	case count == int64(r.Len()):
		return nil
	case n == tx.plan.Root:
		return tx.explainKeptRoots(ctx, keys, int64(r.Len())-count)
	}
	return tx.explainKeptRows(ctx, m, n, known)
}
