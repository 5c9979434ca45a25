package deletion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// drainDeleter deletes one root with more dependents than fit in a batch, over several batches
// from the leaves up. Each batch locks and rechecks the root; draining stops when it is no
// longer expired or something keeps it.
type drainDeleter struct{}

func (drainDeleter) traversal(p *plan.Plan) *plan.Traversal { return p.Full }

func (drainDeleter) checksLimits() bool { return true }

func (drainDeleter) statementTimeout(l policy.Limits, _ bool) time.Duration {
	return usualTimeout(l, true)
}

func (drainDeleter) delete(ctx context.Context, tx *Tx) (Outcome, error) {
	root, keys, err := tx.lockRoots(ctx)
	if err != nil || root.Len() == 0 {
		return Outcome{}, err
	}
	if kept, err := tx.keptRoot(ctx, root); err != nil || kept {
		return Outcome{Kept: 1}, err
	}
	if err := tx.deleteWhole(ctx, root, keys, tx.Limit); !errors.Is(err, ErrOverflow) {
		return Outcome{Roots: 1}, err
	}
	some, err := (&drainer{tx: tx, limit: tx.Limit}).deleteBelow(ctx, tx.plan.Root, root)
	if err == nil && some {
		err = tx.checkDrained(ctx, keys)
	}
	if err != nil || some {
		return Outcome{More: true}, err
	}
	// Nothing below can be deleted separately: a cycle larger than a batch, or a limit below
	// what one root needs. Delete it whole.
	return Outcome{Roots: 1}, tx.deleteWhole(ctx, root, keys, 0)
}

// keptRoot reports whether something keeps a locked root. All rows that a keep edge could
// reference are locked first.
func (tx *Tx) keptRoot(ctx context.Context, root *collected.Rows) (bool, error) {
	if !tx.plan.Keeps() {
		return false, nil
	}
	known, err := tx.collect(ctx, tx.plan.Usual, collection{tx.plan.Root: root}, 0)
	if err != nil {
		return false, err
	}
	free, err := tx.free(ctx, known, 1)
	return len(free) == 0, err
}

// deleteWhole deletes rows and everything below them. If that exceeds limit, it deletes nothing
// and returns ErrOverflow; limit 0 means no limit. keys are those of the roots among the rows;
// nil: no roots.
func (tx *Tx) deleteWhole(ctx context.Context, rows *collected.Rows, keys pg.Values, limit int) error {
	known, err := tx.collect(ctx, tx.plan.Full, collection{rows.Node: rows}, limit)
	if err == nil && limit > 0 {
		err = tx.checkLimits(ctx, tx.plan.Full, known, limit)
	}
	if err != nil {
		return err
	}
	return tx.deleteCollected(ctx, tx.plan.Full, known, keys)
}

// checkDrained verifies, where triggers can fire, that the root is still expired after some of
// its dependents were deleted.
func (tx *Tx) checkDrained(ctx context.Context, keys pg.Values) error {
	if !tx.plan.Watched() {
		return nil
	}
	if err := tx.fireDeferred(ctx); err != nil {
		return err
	}
	return tx.checkStillExpired(ctx, keys)
}

// drainer finds at most limit rows below a root that can be deleted with everything below them,
// and deletes them.
type drainer struct {
	tx        *Tx
	limit     int
	descents  int
	lastTotal int // size of the last complete closure, which was too large
}

// maxDescents bounds the search for the end of a long chain.
const maxDescents = 1000

// deleteBelow deletes some of the rows that reference the rows of a node. false: there are
// none, or none can be deleted separately.
func (d *drainer) deleteBelow(ctx context.Context, n *plan.Node, rows *collected.Rows) (bool, error) {
	m := d.tx.plan.Full
	for _, e := range n.Out {
		if e.Action.Clears() {
			if done, err := d.clearReferences(ctx, e, rows); err != nil || done {
				return done, err
			}
		}
	}
	for _, e := range n.Out {
		if !e.Action.Deletes() {
			continue
		}
		var done bool
		var err error
		switch {
		case !m.Collected[e.Child]:
			done, err = d.deleteLeaves(ctx, e, rows)
		case e.Internal():
			done, err = d.deleteFromCycle(ctx, n, rows)
		default:
			done, err = d.deleteSubtrees(ctx, e, rows)
		}
		if err != nil || done {
			return done, err
		}
	}
	return false, nil
}

// clearReferences clears some references. If a trigger, or a default that is the deleted row
// itself, restores them, draining would never end: ErrStillReferenced.
func (d *drainer) clearReferences(ctx context.Context, e *plan.Edge, rows *collected.Rows) (bool, error) {
	var cleared, stay int64
	err := d.tx.noteDue(ctx, e, collection{e.Parent: rows})
	if err == nil {
		err = d.tx.row(ctx, collected.ClearCheckedSQL(e, nil, collection{e.Parent: rows}, d.limit)).Scan(&cleared, &stay)
	}
	if err == nil && cleared == 0 {
		err = d.tx.checkBehind(ctx, e, rows)
	}
	if err == nil {
		err = d.tx.checkDue(ctx)
	}
	switch {
	case err != nil || stay == 0:
	case e.Redaction != nil && d.tx.plan.Watched():
		err = unredacted(e)
	default:
		err = ErrStillReferenced
	}
	if err != nil {
		return false, fmt.Errorf("clearing %s of %s: %w", e.Label(), e.Child.Table.Name, err)
	}
	d.tx.countNullified(e.Child, cleared)
	return cleared > 0, nil
}

func (d *drainer) deleteLeaves(ctx context.Context, e *plan.Edge, rows *collected.Rows) (bool, error) {
	n, err := d.tx.exec(ctx, collected.DeleteBehindSQL(e, rows, d.limit))
	if err == nil && n == 0 {
		err = d.tx.checkBehind(ctx, e, rows)
	}
	if err != nil {
		return false, fmt.Errorf("deleting from %s: %w", e.Child.Table.Name, err)
	}
	d.tx.countDeleted(e.Child, n)
	return n > 0, nil
}

// deleteSubtrees deletes some rows of a node with everything below them.
func (d *drainer) deleteSubtrees(ctx context.Context, e *plan.Edge, rows *collected.Rows) (bool, error) {
	found := collected.NewRows(e.Child)
	if err := d.tx.readRows(ctx, collected.ReadBehindSQL(e, rows, d.limit, true), found); err != nil {
		return false, fmt.Errorf("locking rows of %s: %w", e.Child.Table.Name, err)
	}
	if found.Len() == 0 {
		return false, nil
	}
	done, err := d.deletePrefix(ctx, found)
	if err != nil || done {
		return done, err
	}
	one := found.Slice(0, 1)
	if done, err = d.deleteBelow(ctx, e.Child, one); err != nil || done {
		return done, err
	}
	return true, d.tx.deleteWhole(ctx, one, nil, 0)
}

// deleteFromCycle deletes some rows of a self-reference or a cycle of tables, farthest first:
// rows are read in order of distance.
func (d *drainer) deleteFromCycle(ctx context.Context, n *plan.Node, rows *collected.Rows) (bool, error) {
	m := d.tx.plan.Full
	var group []*plan.Node
	for _, g := range m.Order {
		if slices.Contains(g, n) {
			group = g
		}
	}
	reach := max(d.limit, 10_000)
	read, err := d.tx.lockClosure(ctx, m, group, collection{n: rows}, reach, true)
	if err != nil {
		return false, err
	}
	far, total := collected.NewRows(n), 0
	for _, g := range group {
		total += read[g].Len()
		from := 0
		if g == n {
			from = rows.Len() // skip the starting rows
		}
		if read[g].Len()-from > far.Len() {
			far = read[g].Slice(from, read[g].Len())
		}
	}
	if far.Len() == 0 {
		return false, nil
	}
	far = far.Reversed()
	if done, err := d.deletePrefix(ctx, far); err != nil || done {
		return done, err
	}
	whole := total < reach+rows.Len()
	if d.descents++; d.descents > maxDescents || whole && d.lastTotal > 0 && total >= d.lastTotal {
		return false, nil
	}
	if whole {
		d.lastTotal = total
	}
	return d.deleteBelow(ctx, far.Node, far.Slice(0, 1))
}

// deletePrefix deletes as many of the first rows, with everything below them, as fit into the
// batch. false: not even one fits.
func (d *drainer) deletePrefix(ctx context.Context, rows *collected.Rows) (bool, error) {
	m := d.tx.plan.Full
	var best collection
	for n := 1; ; n = min(n*4, rows.Len()) {
		known, err := d.tx.collect(ctx, m, collection{rows.Node: rows.Slice(0, n)}, d.limit)
		if err == nil {
			err = d.tx.checkLimits(ctx, m, known, d.limit)
		}
		if errors.Is(err, ErrOverflow) {
			break
		}
		if err != nil {
			return false, err
		}
		best = known
		if n == rows.Len() || n >= d.limit {
			break
		}
	}
	if best == nil {
		return false, nil
	}
	return true, d.tx.deleteCollected(ctx, m, best, nil)
}
