package purge

import (
	"slices"

	"github.com/jackc/pgx/v5"
)

// rowsOf are rows of one node: where they stand, and what others reference of
// them.
type rowsOf struct {
	node   *Node
	tables *column // tableoid
	ctids  *column
	refs   values        // by node.refs
	at     map[rowID]int // the place of each row among them; nil: not asked for yet
}

// rowID tells a row of one node from all others: its tableoid and ctid.
type rowID struct{ table, ctid string }

func newRows(n *Node) *rowsOf {
	return &rowsOf{node: n, tables: &column{}, ctids: &column{}, refs: newValues(len(n.refs))}
}

func (r *rowsOf) len() int { return r.ctids.len() }

// id is where the i-th row stands.
func (r *rowsOf) id(i int) rowID { return rowID{*r.tables.all()[i], *r.ctids.all()[i]} }

// places gives the place of each row among them.
func (r *rowsOf) places() map[rowID]int {
	if r.at == nil {
		r.at = make(map[rowID]int, r.len())
		for i := range r.len() {
			r.at[r.id(i)] = i
		}
	}
	return r.at
}

// add adds a row once.
func (r *rowsOf) add(table, ctid string, refs []*string) {
	id := rowID{table, ctid}
	if _, there := r.places()[id]; there {
		return
	}
	r.at[id] = r.len()
	r.tables.add(&table)
	r.ctids.add(&ctid)
	for i := range r.refs {
		r.refs[i].add(refs[i])
	}
}

// take adds the i-th row of another set of the same node.
func (r *rowsOf) take(from *rowsOf, i int) {
	refs := make([]*string, len(from.refs))
	for k := range refs {
		refs[k] = from.refs[k].all()[i]
	}
	r.add(*from.tables.all()[i], *from.ctids.all()[i], refs)
}

// addAll adds the rows of another set of the same node.
func (r *rowsOf) addAll(from *rowsOf) {
	if r.len() == 0 {
		*r = *from
		return
	}
	for i := range from.len() {
		r.take(from, i)
	}
}

// slice gives the rows from one on, up to another, as a set of their own.
func (r *rowsOf) slice(from, to int) *rowsOf {
	if from == 0 && to == r.len() {
		return &rowsOf{node: r.node, tables: r.tables, ctids: r.ctids, refs: r.refs}
	}
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

// reversed gives the rows from the last to the first.
func (r *rowsOf) reversed() *rowsOf {
	part := newRows(r.node)
	for i := range r.len() {
		part.take(r, r.len()-1-i)
	}
	return part
}

// referenced are the values by which an edge can reference the rows.
func (r *rowsOf) referenced(e *Edge) values {
	v := make(values, len(e.ParentColumns))
	for i, n := range e.ParentColumns {
		v[i] = r.refs[slices.Index(r.node.refs, n)]
		if e.within == nil {
			continue
		}
		inside := &column{}
		for row, x := range v[i].all() {
			if slices.Contains(e.within, r.id(row).table) {
				inside.add(x)
			}
		}
		v[i] = inside
	}
	return v
}

// scan reads the answer of gathered: one row with all of them. Other columns of
// it come last.
func (r *rowsOf) scan(more ...*column) func(pgx.Rows) error {
	return scanColumns(append(append([]*column{r.tables, r.ctids}, r.refs...), more...))
}

// scanColumns reads the answer of gathered.
func scanColumns(columns []*column) func(pgx.Rows) error {
	var n int
	into := []any{&n}
	for _, c := range columns {
		into = append(into, &c.array)
	}
	return func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, into, func() error {
			for _, c := range columns {
				c.n = n
			}
			return nil
		})
		return err
	}
}
