package purge

import (
	"context"
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// closureTries is how often a cyclic component is read and locked until both
// agree.
const closureTries = 5

// collect locks and reads, parents first, the rows that go with the seeds in
// this mode; more rows than the limit give errOverflow. limit 0: as many as there
// are.
func (b *batcher) collect(ctx context.Context, tx *batchTx, m *plan.Traversal, seeds map[*plan.Node]*plan.Rows, limit int) (map[*plan.Node]*plan.Rows, error) {
	known := map[*plan.Node]*plan.Rows{}
	total := 0
	for n, r := range seeds {
		known[n] = r
		total += r.Len()
	}
	for _, group := range m.Order {
		before := 0
		for _, n := range group {
			if known[n] == nil {
				known[n] = plan.NewRows(n)
			}
			before += known[n].Len()
		}
		var err error
		if plan.Cyclic(group) {
			err = b.collectCycle(ctx, tx, m, group, known, remaining(limit, total))
		} else {
			err = b.collectBehind(ctx, tx, m, group[0], known, remaining(limit, total))
		}
		if err != nil {
			return nil, err
		}
		for _, n := range group {
			total += known[n].Len()
		}
		if total -= before; limit > 0 && total > limit {
			return nil, errOverflow
		}
	}
	return known, nil
}

// remaining is how many rows are still worth reading: one more than fit.
func remaining(limit, total int) int {
	if limit == 0 {
		return 1 << 30
	}
	return max(limit-total, 0) + 1
}

// collectBehind collects the rows of a node that reference collected rows.
func (b *batcher) collectBehind(ctx context.Context, tx *batchTx, m *plan.Traversal, n *plan.Node, known map[*plan.Node]*plan.Rows, limit int) error {
	for _, e := range n.In {
		r := known[e.Parent]
		if !e.Action.Deletes() || !m.Walks(e) || r == nil || r.Len() == 0 {
			continue
		}
		// What keeps a row is looked for later, and must not come any more then.
		lock := tx.lockDependents && n.Table.CanUpdate || n.NeedsLock()
		if err := b.readRows(ctx, tx, plan.ReadBehindSQL(e, r, limit, lock), known[n]); err != nil {
			return fmt.Errorf("reading rows of %s: %w", n.Table.Name, err)
		}
	}
	return nil
}

// readRows adds the rows that a statement gathers.
func (b *batcher) readRows(ctx context.Context, tx *batchTx, s *pg.Statement, into *plan.Rows) error {
	found := plan.NewRows(into.Node)
	if err := tx.read(ctx, s, found.Scan()); err != nil {
		return err
	}
	into.AddAll(found)
	return nil
}

// collectCycle collects the rows of tables that reference each other, or
// themselves.
func (b *batcher) collectCycle(ctx context.Context, tx *batchTx, m *plan.Traversal, group []*plan.Node, known map[*plan.Node]*plan.Rows, limit int) error {
	read, err := b.lockClosure(ctx, tx, m, group, known, limit, false)
	for _, n := range group {
		known[n] = read[n]
	}
	return err
}

// lockClosure reads all rows of a cyclic component, locks them, and reads again
// until nothing has changed. Once the rows are locked, no new row can come to
// reference them, and none can leave. A reading that stops at the limit is
// locked only if partly says so: else it is known to be too large.
func (b *batcher) lockClosure(ctx context.Context, tx *batchTx, m *plan.Traversal, group []*plan.Node, seeds map[*plan.Node]*plan.Rows, limit int, partly bool) (map[*plan.Node]*plan.Rows, error) {
	var locked map[*plan.Node]*plan.Rows
	for range closureTries {
		read, err := b.readClosure(ctx, tx, m, group, seeds, limit)
		if err != nil {
			return nil, err
		}
		if sameRows(read, locked) || !partly && newRowsIn(read, seeds) >= limit {
			return read, nil
		}
		for _, n := range group {
			if read[n].Len() == 0 {
				continue
			}
			if err := b.lockRows(ctx, tx, read[n]); err != nil {
				return nil, err
			}
		}
		locked = read
	}
	return nil, errChanged
}

// newRowsIn is how many rows a closure holds besides its seeds.
func newRowsIn(read, seeds map[*plan.Node]*plan.Rows) int {
	n := 0
	for node, r := range read {
		n += r.Len()
		if s := seeds[node]; s != nil {
			n -= s.Len()
		}
	}
	return n
}

// lockRows locks rows where they stand. One that has moved meanwhile is no
// longer known to be what it was: the batch is redone.
func (b *batcher) lockRows(ctx context.Context, tx *batchTx, r *plan.Rows) error {
	n, err := tx.exec(ctx, plan.LockAtSQL(r))
	if err != nil {
		return fmt.Errorf("locking rows of %s: %w", r.Node.Table.Name, err)
	}
	if n != int64(r.Len()) {
		return errChanged
	}
	return nil
}

func sameRows(a, b map[*plan.Node]*plan.Rows) bool {
	if b == nil {
		return false
	}
	for n, r := range a {
		if b[n] == nil || r.Len() != b[n].Len() {
			return false
		}
		for id := range r.Places() {
			if _, there := b[n].Places()[id]; !there {
				return false
			}
		}
	}
	return true
}

// readClosure reads the rows of a cyclic component, seeds first, in the order
// of their distance.
func (b *batcher) readClosure(ctx context.Context, tx *batchTx, m *plan.Traversal, group []*plan.Node, known map[*plan.Node]*plan.Rows, limit int) (map[*plan.Node]*plan.Rows, error) {
	read := map[*plan.Node]*plan.Rows{}
	for _, n := range group {
		read[n] = plan.NewRows(n)
		if k := known[n]; k != nil { // seeds keep their places
			limit += k.Len()
			for i := range k.Len() {
				read[n].Take(k, i)
			}
		}
	}
	rows, err := tx.query(ctx, plan.ClosureSQL(b.plan, m, group, known, limit))
	if err != nil {
		return nil, fmt.Errorf("reading dependents of %s: %w", group[0].Table.Name, err)
	}
	defer rows.Close()
	for rows.Next() {
		var node int
		var table, ctid string
		var refs []*string
		if err := rows.Scan(&node, &table, &ctid, &refs); err != nil {
			return nil, fmt.Errorf("reading dependents of %s: %w", group[0].Table.Name, err)
		}
		read[b.plan.Nodes[node]].Add(table, ctid, refs)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading dependents of %s: %w", group[0].Table.Name, err)
	}
	return read, nil
}

// checkLimits counts, in the full mode, what hangs below collected rows and was not
// collected, and refuses more rows or bytes than the limits allow.
func (b *batcher) checkLimits(ctx context.Context, tx *batchTx, m *plan.Traversal, known map[*plan.Node]*plan.Rows, limit int) error {
	if !m.Full {
		return nil
	}
	total := collected(known)
	var bytes float64
	for n, r := range known {
		if n != b.plan.Root {
			bytes += float64(r.Len()) * preview.MeanBytes(n)
		}
	}
	for _, e := range slices.Concat(m.Deletes, m.Clears) {
		r := known[e.Parent]
		if r == nil || r.Len() == 0 {
			continue
		}
		var n int
		s := plan.CountBehindSQL(e, r, remaining(limit, total))
		if err := tx.row(ctx, s).Scan(&n); err != nil {
			return fmt.Errorf("counting rows of %s: %w", e.Child.Table.Name, err)
		}
		total += n
		bytes += float64(n) * preview.MeanBytes(e.Child)
		if total > limit && n > 0 || int64(bytes) > b.plan.Policy.Limits.Bytes && total > 1 {
			return errOverflow
		}
	}
	return nil
}
