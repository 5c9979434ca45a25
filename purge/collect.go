package purge

import (
	"context"
	"fmt"
	"slices"
)

// closureTries is how often a cyclic component is read and locked until both
// agree.
const closureTries = 5

// collect locks and reads, parents first, the rows that go with the seeds in
// this mode; more rows than the limit give errOverflow. limit 0: as many as there
// are.
func (b *batcher) collect(ctx context.Context, tx *batchTx, m *mode, seeds map[*Node]*rowsOf, limit int) (map[*Node]*rowsOf, error) {
	known := map[*Node]*rowsOf{}
	total := 0
	for n, r := range seeds {
		known[n] = r
		total += r.len()
	}
	for _, group := range m.order {
		before := 0
		for _, n := range group {
			if known[n] == nil {
				known[n] = newRows(n)
			}
			before += known[n].len()
		}
		var err error
		if cyclic(group) {
			err = b.collectCycle(ctx, tx, m, group, known, remaining(limit, total))
		} else {
			err = b.collectBehind(ctx, tx, m, group[0], known, remaining(limit, total))
		}
		if err != nil {
			return nil, err
		}
		for _, n := range group {
			total += known[n].len()
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
func (b *batcher) collectBehind(ctx context.Context, tx *batchTx, m *mode, n *Node, known map[*Node]*rowsOf, limit int) error {
	for _, e := range n.In {
		r := known[e.Parent]
		if !e.Action.deletes() || !m.walks(e) || r == nil || r.len() == 0 {
			continue
		}
		// What keeps a row is looked for later, and must not come any more then.
		lock := tx.lockDependents && n.Table.CanUpdate || n.needsLock()
		if err := b.readRows(ctx, tx, readBehindSQL(e, r, limit, lock), known[n]); err != nil {
			return fmt.Errorf("reading rows of %s: %w", n.Table.Name, err)
		}
	}
	return nil
}

// readRows adds the rows that a statement gathers.
func (b *batcher) readRows(ctx context.Context, tx *batchTx, s *statement, into *rowsOf) error {
	found := newRows(into.node)
	if err := tx.read(ctx, s, found.scan()); err != nil {
		return err
	}
	into.addAll(found)
	return nil
}

// collectCycle collects the rows of tables that reference each other, or
// themselves.
func (b *batcher) collectCycle(ctx context.Context, tx *batchTx, m *mode, group []*Node, known map[*Node]*rowsOf, limit int) error {
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
func (b *batcher) lockClosure(ctx context.Context, tx *batchTx, m *mode, group []*Node, seeds map[*Node]*rowsOf, limit int, partly bool) (map[*Node]*rowsOf, error) {
	var locked map[*Node]*rowsOf
	for range closureTries {
		read, err := b.readClosure(ctx, tx, m, group, seeds, limit)
		if err != nil {
			return nil, err
		}
		if sameRows(read, locked) || !partly && newRowsIn(read, seeds) >= limit {
			return read, nil
		}
		for _, n := range group {
			if read[n].len() == 0 {
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
func newRowsIn(read, seeds map[*Node]*rowsOf) int {
	n := 0
	for node, r := range read {
		n += r.len()
		if s := seeds[node]; s != nil {
			n -= s.len()
		}
	}
	return n
}

// lockRows locks rows where they stand. One that has moved meanwhile is no
// longer known to be what it was: the batch is redone.
func (b *batcher) lockRows(ctx context.Context, tx *batchTx, r *rowsOf) error {
	n, err := tx.exec(ctx, lockAtSQL(r))
	if err != nil {
		return fmt.Errorf("locking rows of %s: %w", r.node.Table.Name, err)
	}
	if n != int64(r.len()) {
		return errChanged
	}
	return nil
}

func sameRows(a, b map[*Node]*rowsOf) bool {
	if b == nil {
		return false
	}
	for n, r := range a {
		if b[n] == nil || r.len() != b[n].len() {
			return false
		}
		for id := range r.places() {
			if _, there := b[n].places()[id]; !there {
				return false
			}
		}
	}
	return true
}

// readClosure reads the rows of a cyclic component, seeds first, in the order
// of their distance.
func (b *batcher) readClosure(ctx context.Context, tx *batchTx, m *mode, group []*Node, known map[*Node]*rowsOf, limit int) (map[*Node]*rowsOf, error) {
	read := map[*Node]*rowsOf{}
	for _, n := range group {
		read[n] = newRows(n)
		if k := known[n]; k != nil { // seeds keep their places
			limit += k.len()
			for i := range k.len() {
				read[n].take(k, i)
			}
		}
	}
	rows, err := tx.query(ctx, closureSQL(b.plan, m, group, known, limit))
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
		read[b.plan.Nodes[node]].add(table, ctid, refs)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading dependents of %s: %w", group[0].Table.Name, err)
	}
	return read, nil
}

// weigh counts, in the full mode, what hangs below collected rows and was not
// collected, and refuses more rows or bytes than the limits allow.
func (b *batcher) weigh(ctx context.Context, tx *batchTx, m *mode, known map[*Node]*rowsOf, limit int) error {
	if !m.full {
		return nil
	}
	total := collected(known)
	var bytes float64
	for n, r := range known {
		if n != b.plan.Root {
			bytes += float64(r.len()) * n.meanBytes()
		}
	}
	for _, e := range slices.Concat(m.deletes, m.clears) {
		r := known[e.Parent]
		if r == nil || r.len() == 0 {
			continue
		}
		var n int
		s := countBehindSQL(e, r, remaining(limit, total))
		if err := tx.row(ctx, s).Scan(&n); err != nil {
			return fmt.Errorf("counting rows of %s: %w", e.Child.Table.Name, err)
		}
		total += n
		bytes += float64(n) * e.Child.meanBytes()
		if total > limit && n > 0 || int64(bytes) > b.plan.Policy.Limits.Bytes && total > 1 {
			return errOverflow
		}
	}
	return nil
}
