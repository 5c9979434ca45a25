package collected

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/keeping"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// KeepingSQL returns, for each edge that could keep rows, which children reference the rows: index
// of the edge, ordinal of the parent's row (from 1), tableoid and ctid of the child's.
func KeepingSQL(p *plan.Plan, known map[*plan.Node]*Rows) *pg.Statement {
	s := &pg.Statement{}
	var parts []string
	for i, e := range p.Edges {
		r := known[e.Parent]
		if r == nil || r.Len() == 0 || !e.Protects() {
			continue
		}
		name := pg.Ident(e.Child.Table.Name.Name)
		row, limit := name+".tableoid::text AS tab, "+name+".ctid::text AS tid", ""
		if e.Action == plan.ByKeep {
			// One row that stays suffices, and at most all collected rows may be deleted.
			going := known[e.Child]
			if going == nil {
				going, row = NewRows(e.Child), "NULL AS tab, NULL AS tid"
			}
			limit = fmt.Sprintf(" LIMIT %d", going.Len()+1)
		}
		columns := e.ParentColumns
		parts = append(parts, fmt.Sprintf("SELECT %d, reaper_x.n::int, reaper_c.tab, reaper_c.tid FROM unnest(%s) WITH ORDINALITY reaper_x(tab%s, n) CROSS JOIN LATERAL (SELECT %s FROM %s WHERE %s%s%s) reaper_c",
			i, s.Array(r.Tables, "text")+pg.Prefixed(len(columns), func(i int) string {
				return s.Array(r.refs[slices.Index(r.Node.Refs, columns[i])], "text")
			}), pg.Prefixed(len(columns), func(i int) string { return fmt.Sprintf("r%d", i) }),
			row, schema.From(e.Child.Table), references(e, "reaper_x"), plan.Parenthesized(e.Where), limit))
	}
	return s.Add(strings.Join(parts, "\nUNION ALL\n"))
}

// references is the condition that a child's row references the row x(tab, r0, r1, …) of the
// parent, with the edge's columns as text.
func references(e *plan.Edge, x string) string {
	within := ""
	if e.Within != nil {
		within = fmt.Sprintf("%s.tab = ANY('{%s}') AND ", x, strings.Join(e.Within, ","))
	}
	return within + pg.And(len(e.ChildColumns), func(i int) string {
		return e.Pairs[i].FindTheirs(fmt.Sprintf("%s.r%d::%s", x, i, e.Pairs[i].Ours.SQLType), schema.Col(e.Child.Table, e.ChildColumns[i]))
	})
}

// LinkRows records in a graph that one row references another along an edge. child may be a
// Stranger.
func LinkRows(g *keeping.Graph, e *plan.Edge, parent, child int) {
	if e.Action == plan.ByKeep || child == keeping.Stranger {
		g.Keep(parent, child)
		return
	}
	g.Take(parent, child)
}
