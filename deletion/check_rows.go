package deletion

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// A trigger may return NULL and keep a row, a rule may do something else instead, and both may
// change other rows. Where any can fire, a batch therefore verifies its rows before it commits:
// deleted rows are gone, cleared references are empty, and rows that were due are gone or still
// due. Otherwise the batch rolls back and the error names the triggers.

// checkRows verifies the rows of a batch after the DELETE, roots included if keys are given.
func (tx *Tx) checkRows(ctx context.Context, m *plan.Traversal, known collection, keys pg.Values) error {
	if !tx.plan.Watched() {
		return nil
	}
	if err := tx.fireDeferred(ctx); err != nil {
		return err
	}
	if err := tx.checkDue(ctx); err != nil {
		return err
	}
	return tx.runChecks(ctx, collected.RowChecks(tx.plan, m, known, keys, tx.Opts.LockDependents))
}

// fireDeferred fires deferred triggers now, before the checks, instead of at COMMIT.
func (tx *Tx) fireDeferred(ctx context.Context) error {
	if _, err := tx.Conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return fmt.Errorf("firing deferred triggers: %w", err)
	}
	return nil
}

// checkDue verifies the rows that were due when one of their references was cleared.
func (tx *Tx) checkDue(ctx context.Context) error {
	return tx.runChecks(ctx, collected.DueChecks(tx.due))
}

// runChecks runs the checks; the first one that fails is the error.
func (tx *Tx) runChecks(ctx context.Context, c *collected.Checks) error {
	if len(c.Texts) == 0 {
		return nil
	}
	found := make([]bool, len(c.Texts))
	if err := tx.row(ctx, c.SQL()).Scan(pg.Pointers(found)...); err != nil {
		return fmt.Errorf("verifying rows: %w", err)
	}
	if i := slices.Index(found, true); i >= 0 {
		return fmt.Errorf("%w: %s", ErrInterfered, c.Texts[i])
	}
	return nil
}

// checkBehind explains why nothing behind an edge was deleted or cleared: a trigger or rule
// kept the rows. nil: there are none.
func (tx *Tx) checkBehind(ctx context.Context, e *plan.Edge, r *collected.Rows) error {
	if !tx.plan.Watched() {
		return nil
	}
	return tx.runChecks(ctx, collected.BehindChecks(e, r))
}

// checkStillExpired verifies that locked roots are still expired and still match `where`. Only
// a trigger can have changed that.
func (tx *Tx) checkStillExpired(ctx context.Context, keys pg.Values) error {
	p := tx.plan
	var unexpired bool
	if err := tx.row(ctx, collected.YoungRootsSQL(p, tx.scope, tx.Tenant, keys)).Scan(&unexpired); err != nil {
		return fmt.Errorf("verifying rows: %w", err)
	}
	if unexpired {
		return fmt.Errorf("%w: deleting the dependents of expired rows of %s makes those rows unexpired: %s", ErrInterfered, p.Root.Table.Name, strings.Join(p.Firing(), ", "))
	}
	return nil
}

// noteDue locks and records the due rows behind an edge, where a trigger could make them
// unexpired when their reference is cleared.
func (tx *Tx) noteDue(ctx context.Context, e *plan.Edge, known collection) error {
	n := e.Child
	if len(n.Ages) == 0 || !slices.ContainsFunc(n.Table.Triggers, func(x schema.Trigger) bool { return x.FiresOnUpdateOf(e.SetColumns) }) {
		return nil
	}
	for _, a := range n.Ages {
		d := collected.DueRows{Edge: e, Age: a, Cutoff: tx.Tenant.Cutoff, Key: pg.NewValues(len(n.Key))}
		if a.Latest != nil {
			d.Cutoff = tx.scope.Base
		}
		if err := tx.read(ctx, d.LockSQL(known[e.Parent]), pg.ScanColumns(d.Key)); err != nil {
			return fmt.Errorf("recording due rows of %s: %w", n.Table.Name, err)
		}
		if d.Key.Len() > 0 {
			tx.due = append(tx.due, d)
		}
	}
	return nil
}
