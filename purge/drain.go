package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/reaperdb/reaper/plan"
)

// drain deletes one root with more dependents than a batch may hold, over
// several batches from the leaves up. The root is locked and looked at again in
// each: when it is no longer expired, or something keeps it, draining stops.
func (b *batcher) drain(ctx context.Context, t *plan.TenantCutoff, root candidate) (outcome, error) {
	var total outcome
	opts := attemptOptions{traversal: b.plan.Full, locked: true, singleRoot: true, lockDependents: true}
	if b.drainSize == 0 {
		b.drainSize = b.plan.Policy.Limits.TotalRows
	}
	for a := (attempt{roots: 1, options: opts, draining: true}); ; {
		started := time.Now()
		if !b.policy.waitForGuards(ctx, b.worker) {
			total.remaining = 1
			return total, nil
		}
		if ok, err := b.policy.refresh(ctx, t); err != nil || !ok {
			return total, err
		}
		var more bool
		o, err := b.inTransaction(ctx, t, opts, func(tx *batchTx) (outcome, error) {
			var o outcome
			var err error
			o, more, err = b.drainOnce(ctx, tx, t, root, opts)
			return o, err
		})
		if err == nil {
			a.try = 0
			total.add(o)
			b.adaptDrain(time.Since(started))
			if !more {
				return total, nil
			}
			continue
		}
		a.size = b.size
		d := decide(err, a)
		b.prepare(ctx, err, a, d)
		switch d.action {
		case awaitGuards, awaitResume:
		case retryBatch:
			a.try++
		case leaveRoots, leaveBusy:
			total.add(outcome{remaining: 1, busy: d.action == leaveBusy})
			return total, nil
		default:
			return total, err
		}
	}
}

// adaptDrain aims the next batch of a drain at the time wanted: at most
// doubled, at most halved. The far end of a cycle of tables costs the same to
// find however few rows are then deleted: there a smaller batch is no shorter.
func (b *batcher) adaptDrain(took time.Duration) {
	limits := b.plan.Policy.Limits
	if slices.ContainsFunc(b.plan.Full.Order, plan.Cyclic) {
		return
	}
	ratio := min(max(float64(limits.Time)/float64(took+1), 0.5), 2)
	b.drainSize = min(max(int(float64(b.drainSize)*ratio), 100), limits.TotalRows)
}

// drainOnce is one batch of a drain; more tells that the root is still there.
func (b *batcher) drainOnce(ctx context.Context, tx *batchTx, t *plan.TenantCutoff, c candidate, opts attemptOptions) (o outcome, more bool, err error) {
	keys := keysOf([]candidate{c}, len(b.plan.Key))
	root, locked, err := b.lockRoots(ctx, tx, t, keys)
	if err != nil {
		return o, false, err
	}
	if root.Len() == 0 {
		o, err = b.stillDue(ctx, tx, t, keys, o)
		return o, false, err
	}
	if b.plan.Keeps() {
		// All rows that a keeping edge could reference are locked first.
		known, err := b.collect(ctx, tx, b.plan.Usual, map[*plan.Node]*plan.Rows{b.plan.Root: root}, 0)
		if err != nil {
			return o, false, err
		}
		free, err := b.free(ctx, tx, known, 1)
		if err != nil {
			return o, false, err
		}
		if len(free) == 0 {
			return outcome{kept: 1}, false, nil
		}
	}
	limit := b.drainSize
	seeds := map[*plan.Node]*plan.Rows{b.plan.Root: root}
	known, err := b.collect(ctx, tx, opts.traversal, seeds, limit)
	if err == nil {
		err = b.checkLimits(ctx, tx, opts.traversal, known, limit)
	}
	if err == nil {
		return outcome{roots: 1}, false, b.deleteKnown(ctx, tx, t, opts.traversal, known, locked)
	}
	if !errors.Is(err, errOverflow) {
		return o, false, err
	}
	d := &drainer{b: b, tx: tx, tenant: t, limit: limit}
	done, err := d.below(ctx, b.plan.Root, root)
	if err == nil && done && b.plan.Watched() {
		if err = b.fireDeferred(ctx, tx); err == nil {
			err = b.stillOld(ctx, tx, t, keys)
		}
	}
	if err != nil || done {
		return o, true, err
	}
	// Nothing below can go by itself: a cycle larger than a batch, or a limit
	// below what one root needs. It goes whole.
	if known, err = b.collect(ctx, tx, opts.traversal, map[*plan.Node]*plan.Rows{b.plan.Root: root}, 0); err != nil {
		return o, false, err
	}
	return outcome{roots: 1}, false, b.deleteKnown(ctx, tx, t, opts.traversal, known, locked)
}

// drainer finds some rows below a root, at most limit, below which nothing is
// left behind, and deletes them.
type drainer struct {
	b      *batcher
	tx     *batchTx
	tenant *plan.TenantCutoff
	limit  int
	jumps  int
	last   int // rows of the last whole closure that was too large
}

// maxJumps bounds the search for the end of a long chain.
const maxJumps = 1000

// below deletes some of what references the rows of a node; false: nothing
// does, or nothing of it can go by itself.
func (d *drainer) below(ctx context.Context, n *plan.Node, rows *plan.Rows) (bool, error) {
	m := d.b.plan.Full
	for _, e := range n.Out {
		if e.Action.Clears() {
			if done, err := d.clear(ctx, e, rows); err != nil || done {
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
			done, err = d.leaves(ctx, e, rows)
		case e.Internal():
			done, err = d.cycle(ctx, n, rows)
		default:
			done, err = d.middle(ctx, e, rows)
		}
		if err != nil || done {
			return done, err
		}
	}
	return false, nil
}

// clear empties some references. Where they come back, by a default that is
// the very row that goes or by a trigger, there would be no end of it.
func (d *drainer) clear(ctx context.Context, e *plan.Edge, rows *plan.Rows) (bool, error) {
	var cleared, stay int64
	err := d.b.noteDue(ctx, d.tx, d.tenant, e, map[*plan.Node]*plan.Rows{e.Parent: rows})
	if err == nil {
		err = d.tx.row(ctx, plan.ClearSomeSQL(e, rows, d.limit)).Scan(&cleared, &stay)
	}
	if err == nil && cleared == 0 {
		err = d.b.checkBehind(ctx, d.tx, e, rows)
	}
	if err == nil {
		err = d.b.checkDue(ctx, d.tx)
	}
	if err == nil && stay > 0 {
		err = errStay
	}
	if err != nil {
		return false, fmt.Errorf("emptying %s of %s: %w", e.Label(), e.Child.Table.Name, err)
	}
	d.tx.countNullified(e.Child, cleared)
	return cleared > 0, nil
}

func (d *drainer) leaves(ctx context.Context, e *plan.Edge, rows *plan.Rows) (bool, error) {
	n, err := d.tx.exec(ctx, plan.DeleteBehindSQL(e, rows, d.limit))
	if err == nil && n == 0 {
		err = d.b.checkBehind(ctx, d.tx, e, rows)
	}
	if err != nil {
		return false, fmt.Errorf("deleting from %s: %w", e.Child.Table.Name, err)
	}
	d.tx.countDeleted(e.Child, n)
	return n > 0, nil
}

// middle deletes some rows of a node with all that hangs off them.
func (d *drainer) middle(ctx context.Context, e *plan.Edge, rows *plan.Rows) (bool, error) {
	found := plan.NewRows(e.Child)
	if err := d.b.readRows(ctx, d.tx, plan.ReadBehindSQL(e, rows, d.limit, true), found); err != nil {
		return false, fmt.Errorf("locking rows of %s: %w", e.Child.Table.Name, err)
	}
	if found.Len() == 0 {
		return false, nil
	}
	done, err := d.some(ctx, found)
	if err != nil || done {
		return done, err
	}
	one := found.Slice(0, 1)
	if done, err = d.below(ctx, e.Child, one); err != nil || done {
		return done, err
	}
	return d.whole(ctx, one)
}

// cycle deletes some rows of a self-reference or a cycle of tables, from its
// far end: rows come in the order of their distance.
func (d *drainer) cycle(ctx context.Context, n *plan.Node, rows *plan.Rows) (bool, error) {
	m := d.b.plan.Full
	var group []*plan.Node
	for _, g := range m.Order {
		if slices.Contains(g, n) {
			group = g
		}
	}
	reach := max(d.limit, 10_000)
	read, err := d.b.lockClosure(ctx, d.tx, m, group, map[*plan.Node]*plan.Rows{n: rows}, reach, true)
	if err != nil {
		return false, err
	}
	far, total := plan.NewRows(n), 0
	for _, g := range group {
		total += read[g].Len()
		from := 0
		if g == n {
			from = rows.Len() // the rows themselves are not below themselves
		}
		if read[g].Len()-from > far.Len() {
			far = read[g].Slice(from, read[g].Len())
		}
	}
	if far.Len() == 0 {
		return false, nil
	}
	far = far.Reversed()
	if done, err := d.some(ctx, far); err != nil || done {
		return done, err
	}
	whole := total < reach+rows.Len()
	if d.jumps++; d.jumps > maxJumps || whole && d.last > 0 && total >= d.last {
		return false, nil
	}
	if whole {
		d.last = total
	}
	return d.below(ctx, far.Node, far.Slice(0, 1))
}

// some deletes as many of the first rows as fit into the batch with all that
// hangs off them; false: not even one does.
func (d *drainer) some(ctx context.Context, rows *plan.Rows) (bool, error) {
	m := d.b.plan.Full
	var best map[*plan.Node]*plan.Rows
	for n := 1; ; n = min(n*4, rows.Len()) {
		known, err := d.b.collect(ctx, d.tx, m, map[*plan.Node]*plan.Rows{rows.Node: rows.Slice(0, n)}, d.limit)
		if err == nil {
			err = d.b.checkLimits(ctx, d.tx, m, known, d.limit)
		}
		if errors.Is(err, errOverflow) {
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
	return true, d.b.deleteKnown(ctx, d.tx, d.tenant, m, best, nil)
}

// whole deletes one row and all that hangs off it, whatever its size.
func (d *drainer) whole(ctx context.Context, one *plan.Rows) (bool, error) {
	known, err := d.b.collect(ctx, d.tx, d.b.plan.Full, map[*plan.Node]*plan.Rows{one.Node: one}, 0)
	if err != nil {
		return false, err
	}
	return true, d.b.deleteKnown(ctx, d.tx, d.tenant, d.b.plan.Full, known, nil)
}
