package collected

import (
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// Rows are rows of one node: their locations, and the values that others reference.
type Rows struct {
	Node   *plan.Node
	Tables *pg.Column // tableoid; nil: the table stores all of them itself
	CTIDs  *pg.Column
	refs   pg.Values     // by Node.Refs
	at     map[RowID]int // index of each row; nil until first used
	// Owners are the ordinals, from 1, of the tenants whose roots the rows go with; nil: there is but
	// one tenant.
	Owners *pg.Column
}

// RowID identifies a row of a node by its tableoid and ctid.
type RowID struct{ Table, CTID string }

// NewRows returns an empty set of rows of a node.
func NewRows(n *plan.Node) *Rows {
	return &Rows{Node: n, Tables: &pg.Column{}, CTIDs: &pg.Column{}, refs: pg.NewValues(len(n.Refs))}
}

// NewOwned returns an empty set of rows, of many tenants, of a node.
func NewOwned(n *plan.Node) *Rows {
	r := NewRows(n)
	r.Owners = &pg.Column{}
	if n.Table.Kind != schema.Partitioned {
		r.Tables = nil
	}
	return r
}

// Below returns an empty set of rows of another node, with owners if these have.
func (r *Rows) Below(n *plan.Node) *Rows {
	if r.Owners != nil {
		return NewOwned(n)
	}
	return NewRows(n)
}

// Len is the number of rows.
func (r *Rows) Len() int { return r.CTIDs.Len() }

// ID is the location of the i-th row.
func (r *Rows) ID(i int) RowID {
	if r.Tables == nil {
		return RowID{CTID: *r.CTIDs.All()[i]}
	}
	return RowID{*r.Tables.All()[i], *r.CTIDs.All()[i]}
}

// Owner is the index, from 0, of the tenant of the i-th row.
func (r *Rows) Owner(i int) (int, error) {
	n, err := strconv.Atoi(*r.Owners.All()[i])
	return n - 1, err
}

// Places returns the index of each row.
func (r *Rows) Places() map[RowID]int {
	if r.at == nil {
		r.at = make(map[RowID]int, r.Len())
		for i := range r.Len() {
			r.at[r.ID(i)] = i
		}
	}
	return r.at
}

// Add adds a row unless it is there.
func (r *Rows) Add(table, ctid string, refs []*string) {
	id := RowID{table, ctid}
	if _, there := r.Places()[id]; there {
		return
	}
	r.at[id] = r.Len()
	if r.Tables != nil {
		r.Tables.Add(&table)
	}
	r.CTIDs.Add(&ctid)
	for i := range r.refs {
		r.refs[i].Add(refs[i])
	}
}

// Take adds the i-th row of another set of the same node.
func (r *Rows) Take(from *Rows, i int) {
	refs := make([]*string, len(from.refs))
	for k := range refs {
		refs[k] = from.refs[k].All()[i]
	}
	n, id := r.Len(), from.ID(i)
	if r.Add(id.Table, id.CTID, refs); r.Owners != nil && r.Len() > n {
		r.Owners.Add(from.Owners.All()[i])
	}
}

// AddAll adds the rows of another set of the same node.
func (r *Rows) AddAll(from *Rows) {
	if r.Len() == 0 {
		*r = *from
		return
	}
	for i := range from.Len() {
		r.Take(from, i)
	}
}

// Slice returns the rows from one index up to, not including, another.
func (r *Rows) Slice(from, to int) *Rows {
	if from == 0 && to == r.Len() {
		return &Rows{Node: r.Node, Tables: r.Tables, CTIDs: r.CTIDs, refs: r.refs}
	}
	part := NewRows(r.Node)
	for i := from; i < to; i++ {
		part.Take(r, i)
	}
	return part
}

// Some returns the rows with these indexes.
func (r *Rows) Some(ordinals []int) *Rows {
	part := NewRows(r.Node)
	for _, i := range ordinals {
		part.Take(r, i)
	}
	return part
}

// Reversed returns the rows in reverse order.
func (r *Rows) Reversed() *Rows {
	part := NewRows(r.Node)
	for i := range r.Len() {
		part.Take(r, r.Len()-1-i)
	}
	return part
}

// referenced are the values by which an edge can reference the rows.
func (r *Rows) referenced(e *plan.Edge) pg.Values {
	v := make(pg.Values, len(e.ParentColumns))
	for i, n := range e.ParentColumns {
		v[i] = r.refs[slices.Index(r.Node.Refs, n)]
		if e.Within == nil {
			continue
		}
		inside := &pg.Column{}
		for row, x := range v[i].All() {
			if slices.Contains(e.Within, r.ID(row).Table) {
				inside.Add(x)
			}
		}
		v[i] = inside
	}
	return v
}

// Scan scans the one row of a gathered result. Additional columns come last, the owners before them.
func (r *Rows) Scan(more ...*pg.Column) func(pgx.Rows) error {
	columns := append([]*pg.Column{r.CTIDs}, r.refs...)
	if r.Tables != nil {
		columns = append([]*pg.Column{r.Tables}, columns...)
	}
	if r.Owners != nil {
		columns = append(columns, r.Owners)
	}
	return pg.ScanColumns(append(columns, more...))
}
