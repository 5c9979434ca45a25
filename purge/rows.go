package purge

import "slices"

// rowsOf are rows of one node: where they stand, and what others reference of
// them.
type rowsOf struct {
	node   *Node
	tables []string // tableoid
	ctids  []string
	refs   values        // by node.refs
	at     map[rowID]int // the place of each row among them
}

// rowID tells a row of one node from all others: its tableoid and ctid.
type rowID struct{ table, ctid string }

func newRows(n *Node) *rowsOf {
	return &rowsOf{node: n, refs: newValues(len(n.refs)), at: map[rowID]int{}}
}

func (r *rowsOf) len() int { return len(r.ctids) }

// add adds a row once.
func (r *rowsOf) add(table, ctid string, refs []*string) bool {
	id := rowID{table, ctid}
	if _, there := r.at[id]; there {
		return false
	}
	r.at[id] = len(r.ctids)
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

// slice gives the rows from one on, up to another, as a set of their own.
func (r *rowsOf) slice(from, to int) *rowsOf {
	part := newRows(r.node)
	for i := from; i < to; i++ {
		part.take(r, i)
	}
	return part
}

// some gives the rows with these ordinals (from 0) as a set of their own.
func (r *rowsOf) some(ordinals []int) *rowsOf {
	part := newRows(r.node)
	for _, i := range ordinals {
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
