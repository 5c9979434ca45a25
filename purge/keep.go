package purge

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// free gives the ordinals (from 0) of those of the first n roots among collected
// rows that may go: those that nothing keeps, and those that are kept only by
// rows that go with such roots. Cycles of keeping rows stay. All rows that a
// keeping edge could reference are locked by now, in an earlier statement: what
// keeps them is visible, or cannot come any more.
func (b *batcher) free(ctx context.Context, tx *batchTx, known map[*Node]*rowsOf, n int) ([]int, error) {
	k := newKeeping(b.plan, known)
	s := keepingSQL(b.plan, known)
	rows, err := tx.query(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("looking for what is kept: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var edge, parent int
		var table, ctid *string // NULL: a row that cannot go in this batch
		if err := rows.Scan(&edge, &parent, &table, &ctid); err != nil {
			return nil, fmt.Errorf("looking for what is kept: %w", err)
		}
		k.add(b.plan.Edges[edge], parent, table, ctid)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("looking for what is kept: %w", err)
	}
	return k.free(n), nil
}

// keeping is who takes whom along, and who keeps whom, among collected rows.
type keeping struct {
	known   map[*Node]*rowsOf
	first   map[*Node]int // number of a node's first row; those of the root begin at 0
	parents [][]int       // of each row: those that would take it along
	taken   [][]int       // of each row: those that it would take along
	keepers [][]int       // of each row: those that keep it
}

// stranger is a row that keeps others and cannot go in this batch.
const stranger = -1

func newKeeping(p *Plan, known map[*Node]*rowsOf) *keeping {
	k := &keeping{known: known, first: map[*Node]int{}}
	n := 0
	for _, node := range p.Nodes { // the root comes first
		if r := known[node]; r != nil {
			k.first[node] = n
			n += r.len()
		}
	}
	k.parents, k.taken, k.keepers = make([][]int, n), make([][]int, n), make([][]int, n)
	return k
}

// add notes that a child row references the parent's row with this ordinal
// (from 1).
func (k *keeping) add(e *Edge, parent int, table, ctid *string) {
	p, c := k.first[e.Parent]+parent-1, stranger
	if r := k.known[e.Child]; r != nil && ctid != nil {
		if at, there := r.places()[rowID{*table, *ctid}]; there {
			c = k.first[e.Child] + at
		}
	}
	k.link(e, p, c)
}

// link notes that one row is referenced by another.
func (k *keeping) link(e *Edge, parent, child int) {
	if e.Action == ByKeep || child == stranger {
		k.keepers[parent] = append(k.keepers[parent], child)
		return
	}
	k.parents[child] = append(k.parents[child], parent)
	k.taken[parent] = append(k.taken[parent], child)
}

// free gives those of the first n rows, the roots, that may go.
func (k *keeping) free(n int) (free []int) {
	going := k.going(func(row int) bool { return row < n })
	for r := range n {
		if going[r] {
			free = append(free, r)
		}
	}
	return free
}

// keepingSQL gives, for the edges along which something could be kept, who
// references which of the rows: number of the edge, ordinal of the parent's row
// (from 1), tableoid and ctid of the child's.
func keepingSQL(p *Plan, known map[*Node]*rowsOf) *statement {
	s := &statement{}
	var parts []string
	for i, e := range p.Edges {
		r := known[e.Parent]
		if r == nil || r.len() == 0 || !e.protects() {
			continue
		}
		name := ident(e.Child.Table.Name.Name)
		row, limit := name+".tableoid::text AS tab, "+name+".ctid::text AS tid", ""
		if e.Action == ByKeep {
			// One that stays is enough: of those that may go there are no more than
			// were collected.
			going := known[e.Child]
			if going == nil {
				going, row = newRows(e.Child), "NULL AS tab, NULL AS tid"
			}
			limit = fmt.Sprintf(" LIMIT %d", going.len()+1)
		}
		columns := e.ParentColumns
		parts = append(parts, fmt.Sprintf("SELECT %d, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest(%s) WITH ORDINALITY reaper_x(tab%s, n) CROSS JOIN LATERAL (SELECT %s FROM %s WHERE %s%s%s) reaper_c",
			i, s.list(r.tables, "text")+prefixed(len(columns), func(i int) string {
				return s.list(r.refs[slices.Index(r.node.refs, columns[i])], "text")
			}), prefixed(len(columns), func(i int) string { return fmt.Sprintf("r%d", i) }),
			row, from(e.Child.Table), e.references("reaper_x"), parenthesized(e.Where), limit))
	}
	return s.add(strings.Join(parts, "\nUNION ALL\n"))
}

// protects tells whether a row behind the edge could keep the row it
// references, itself or through what references it.
func (e *Edge) protects() bool {
	return e.Action == ByKeep || e.Action.deletes() && e.Child.needsLock()
}

// references is the condition that a child's row references a row x(tab, r0,
// r1, …) of the parent, whose columns are those of the edge, as text.
func (e *Edge) references(x string) string {
	within := ""
	if e.within != nil {
		within = fmt.Sprintf("%s.tab = ANY('{%s}') AND ", x, strings.Join(e.within, ","))
	}
	return within + and(len(e.ChildColumns), func(i int) string {
		return e.pairs[i].findTheirs(fmt.Sprintf("%s.r%d::%s", x, i, e.pairs[i].ours.SQLType), col(e.Child.Table, e.ChildColumns[i]))
	})
}
