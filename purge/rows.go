package purge

import "slices"

// rowsOf are rows of one node: where they stand, and what others reference of
// them.
type rowsOf struct {
	node   *Node
	tables []string // tableoid
	ctids  []string
	refs   values // by node.refs
	seen   map[string]bool
}

func newRows(n *Node) *rowsOf {
	return &rowsOf{node: n, refs: newValues(len(n.refs)), seen: map[string]bool{}}
}

func (r *rowsOf) len() int { return len(r.ctids) }

// add adds a row once.
func (r *rowsOf) add(table, ctid string, refs []*string) bool {
	id := table + " " + ctid
	if r.seen[id] {
		return false
	}
	r.seen[id] = true
	r.tables, r.ctids = append(r.tables, table), append(r.ctids, ctid)
	for i := range r.refs {
		r.refs[i] = append(r.refs[i], refs[i])
	}
	return true
}

// take adds the i-th row of another set of the same node.
func (r *rowsOf) take(from *rowsOf, i int) {
	refs := make([]*string, len(from.refs))
	for k := range refs {
		refs[k] = from.refs[k][i]
	}
	r.add(from.tables[i], from.ctids[i], refs)
}

// slice gives some of the rows as a set of their own.
func (r *rowsOf) slice(from, to int) *rowsOf {
	part := newRows(r.node)
	for i := from; i < to; i++ {
		part.take(r, i)
	}
	return part
}

// referenced are the values by which an edge can reference the rows.
func (r *rowsOf) referenced(e *Edge) values {
	v := make(values, len(e.ParentColumns))
	for i, n := range e.ParentColumns {
		v[i] = []*string{}
		for row, x := range r.refs[slices.Index(r.node.refs, n)] {
			if e.within == nil || slices.Contains(e.within, r.tables[row]) {
				v[i] = append(v[i], x)
			}
		}
	}
	return v
}
