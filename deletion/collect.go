package deletion

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/search"
)

// closureTries is how often a cyclic component is read and locked until both agree.
const closureTries = 5

// collect locks and reads, parents first, the rows deleted along with the seeds in this
// traversal. More rows than limit is ErrOverflow; limit 0 means no limit.
func (tx *Tx) collect(ctx context.Context, m *plan.Traversal, seeds collection, limit int) (collection, error) {
	known := collection{}
	total, empty := 0, collected.NewRows
	for n, r := range seeds {
		known[n], empty = r, r.Below
		total += r.Len()
	}
	for _, group := range m.Order {
		before := 0
		for _, n := range group {
			if known[n] == nil {
				known[n] = empty(n)
			}
			before += known[n].Len()
		}
		var err error
		if plan.Cyclic(group) {
			err = tx.collectCycle(ctx, m, group, known, remaining(limit, total))
		} else {
			err = tx.collectBehind(ctx, m, group[0], known, remaining(limit, total))
		}
		if err != nil {
			return nil, err
		}
		for _, n := range group {
			total += known[n].Len()
		}
		if total -= before; limit > 0 && total > limit {
			return nil, ErrOverflow
		}
	}
	return known, nil
}

// remaining is how many rows are worth reading: one more than fits.
func remaining(limit, total int) int {
	if limit == 0 {
		return 1 << 30
	}
	return max(limit-total, 0) + 1
}

// collectBehind collects the rows of a node that reference collected rows.
func (tx *Tx) collectBehind(ctx context.Context, m *plan.Traversal, n *plan.Node, known collection, limit int) error {
	for _, e := range n.In {
		r := known[e.Parent]
		if !e.Action.Deletes() || !m.Walks(e) || r == nil || r.Len() == 0 {
			continue
		}
		// free looks for keeping rows later; none may be added after that.
		lock := !tx.snapshot && (tx.Opts.LockDependents && n.Table.CanUpdate || n.NeedsLock())
		if err := tx.readRows(ctx, collected.ReadBehindSQL(e, r, limit, lock), known[n]); err != nil {
			return fmt.Errorf("reading rows of %s: %w", n.Table.Name, err)
		}
	}
	return nil
}

// readRows appends the rows that a statement returns.
func (tx *Tx) readRows(ctx context.Context, s *pg.Statement, into *collected.Rows) error {
	found := into.Below(into.Node)
	if err := tx.read(ctx, s, found.Scan()); err != nil {
		return err
	}
	into.AddAll(found)
	return nil
}

// collectCycle collects the rows of tables that reference each other or themselves.
func (tx *Tx) collectCycle(ctx context.Context, m *plan.Traversal, group []*plan.Node, known collection, limit int) error {
	read, err := tx.lockClosure(ctx, m, group, known, limit, false)
	for _, n := range group {
		known[n] = read[n]
	}
	return err
}

// lockClosure reads all rows of a cyclic component, locks them, and rereads until nothing
// changes. Once the rows are locked, no new row can reference them and none can leave. A read
// that stopped at the limit is locked only if partly is set; otherwise it is known to be too
// large.
func (tx *Tx) lockClosure(ctx context.Context, m *plan.Traversal, group []*plan.Node, seeds collection, limit int, partly bool) (collection, error) {
	var locked collection
	for range closureTries {
		read, err := tx.readClosure(ctx, m, group, seeds, limit)
		if err != nil {
			return nil, err
		}
		if tx.snapshot || sameRows(read, locked) || !partly && newRowsIn(read, seeds) >= limit {
			return read, nil
		}
		for _, n := range group {
			if read[n].Len() == 0 {
				continue
			}
			if err := tx.lockRows(ctx, read[n]); err != nil {
				return nil, err
			}
		}
		locked = read
	}
	return nil, ErrChanged
}

// newRowsIn counts the rows of a closure without its seeds.
func newRowsIn(read, seeds collection) int {
	n := 0
	for node, r := range read {
		n += r.Len()
		if s := seeds[node]; s != nil {
			n -= s.Len()
		}
	}
	return n
}

// lockRows locks rows by ctid. If one has moved, the batch is redone.
func (tx *Tx) lockRows(ctx context.Context, r *collected.Rows) error {
	n, err := tx.exec(ctx, collected.LockAtSQL(r))
	if err != nil {
		return fmt.Errorf("locking rows of %s: %w", r.Node.Table.Name, err)
	}
	if n != int64(r.Len()) {
		return ErrChanged
	}
	return nil
}

func sameRows(a, b collection) bool {
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

// readClosure reads the rows of a cyclic component, seeds first, ordered by distance.
func (tx *Tx) readClosure(ctx context.Context, m *plan.Traversal, group []*plan.Node, known collection, limit int) (collection, error) {
	read := collection{}
	for _, n := range group {
		read[n] = collected.NewRows(n)
		if k := known[n]; k != nil { // seeds keep their positions
			limit += k.Len()
			for i := range k.Len() {
				read[n].Take(k, i)
			}
		}
	}
	rows, err := tx.query(ctx, collected.ClosureSQL(tx.plan, m, group, known, limit))
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
		read[tx.plan.Nodes[node]].Add(table, ctid, refs)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading dependents of %s: %w", group[0].Table.Name, err)
	}
	return read, nil
}

// checkLimits counts, in a full traversal, the dependents that were not collected, and refuses
// more rows or bytes than the limits allow.
func (tx *Tx) checkLimits(ctx context.Context, m *plan.Traversal, known collection, limit int) error {
	if !m.Full {
		return nil
	}
	total := rowsIn(known)
	var bytes float64
	for n, r := range known {
		if n != tx.plan.Root {
			bytes += float64(r.Len()) * preview.MeanBytes(n)
		}
	}
	for _, e := range slices.Concat(m.Deletes, m.Clears) {
		r := known[e.Parent]
		if r == nil || r.Len() == 0 {
			continue
		}
		var n int
		s := collected.CountBehindSQL(e, r, remaining(limit, total))
		if err := tx.row(ctx, s).Scan(&n); err != nil {
			return fmt.Errorf("counting rows of %s: %w", e.Child.Table.Name, err)
		}
		total += n
		bytes += float64(n) * preview.MeanBytes(e.Child)
		if total > limit && n > 0 || int64(bytes) > tx.plan.Policy.Limits.Bytes && total > 1 {
			return ErrOverflow
		}
	}
	return nil
}

// stillDue counts the candidates still expired when not all were deleted.
func (tx *Tx) stillDue(ctx context.Context, o Outcome) (Outcome, error) {
	if o.Roots+o.Kept >= int64(tx.Roots()) {
		return o, nil
	}
	still, err := tx.countDue(ctx)
	if err != nil {
		return o, err
	}
	o.Remaining = max(still-o.Kept, 0)
	// A DELETE without prior locks has waited for every lock: remaining rows were kept by a
	// trigger or rule, and will be again.
	o.Busy = o.Remaining > 0 && tx.Opts.LockRoots
	return o, nil
}

// lockRoots locks the roots that no other transaction has locked, and returns them with their
// keys.
func (tx *Tx) lockRoots(ctx context.Context) (*collected.Rows, pg.Values, error) {
	if tx.Range != nil {
		return nil, nil, errors.New("locking roots whose keys were not read")
	}
	found, locked := collected.NewRows(tx.plan.Root), pg.NewValues(len(tx.plan.Key))
	if err := tx.read(ctx, tx.plan.LockRootsSQL(tx.scope, tx.Tenant, tx.keys), found.Scan(locked...)); err != nil {
		return nil, nil, fmt.Errorf("locking rows of %s: %w", tx.plan.Root.Table.Name, err)
	}
	return found, locked, nil
}

// countRoots counts the roots among keys that are still expired.
func (tx *Tx) countRoots(ctx context.Context, keys pg.Values) (n int64, err error) {
	s := tx.plan.CountRootsSQL(tx.scope, tx.Tenant, keys)
	if err := tx.row(ctx, s).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting remaining rows: %w", err)
	}
	return n, nil
}

// countDue counts the current part's roots that are still expired.
func (tx *Tx) countDue(ctx context.Context) (n int64, err error) {
	if tx.Range == nil {
		return tx.countRoots(ctx, tx.keys)
	}
	if err := tx.row(ctx, search.CountRangeSQL(tx.plan, tx.scope, tx.Tenant, tx.Range)).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting remaining rows: %w", err)
	}
	return n, nil
}

// freeRoots are locked roots that nothing keeps, by their keys, and all rows collected below
// them, roots included.
type freeRoots struct {
	rows collection
	keys pg.Values
}

// collectFree locks the available roots and collects what is deleted along with those that
// nothing keeps. If counted, exceeding the limits is ErrOverflow, uncollected leaves included.
func (tx *Tx) collectFree(ctx context.Context, m *plan.Traversal, counted bool) (f freeRoots, o Outcome, err error) {
	roots, keys, err := tx.lockRoots(ctx)
	if err != nil || roots.Len() == 0 {
		return f, o, err
	}
	f.keys = keys
	if f.rows, err = tx.collectRoots(ctx, m, roots, counted); err != nil {
		return f, o, err
	}
	if tx.plan.Keeps() {
		free, err := tx.free(ctx, f.rows, roots.Len())
		if err != nil {
			return f, o, err
		}
		if o.Kept = int64(roots.Len() - len(free)); o.Kept > 0 {
			if len(free) == 0 {
				return f, o, nil
			}
			roots, f.keys = roots.Some(free), keys.Some(free)
			if f.rows, err = tx.collectRoots(ctx, m, roots, counted); err != nil {
				return f, o, err
			}
		}
	}
	o.Roots = int64(roots.Len())
	return f, o, nil
}

func (tx *Tx) collectRoots(ctx context.Context, m *plan.Traversal, roots *collected.Rows, counted bool) (collection, error) {
	limit := tx.plan.Policy.Limits.TotalRows
	rows, err := tx.collect(ctx, m, collection{tx.plan.Root: roots}, limit)
	if err != nil || !counted {
		return rows, err
	}
	return rows, tx.checkLimits(ctx, m, rows, limit)
}
