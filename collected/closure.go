package collected

import (
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
	"github.com/reaperdb/reaper/search"
)

// ClosureSQL returns (node, tableoid, ctid, referenced columns as an array) of all rows of a cyclic
// component that depend, at any depth, on its known rows or on rows of earlier components.
func ClosureSQL(p *plan.Plan, m *plan.Traversal, group []*plan.Node, known map[*plan.Node]*Rows, limit int) *pg.Statement {
	s := &pg.Statement{}
	var seeds []string
	for _, n := range group {
		if r := known[n]; r != nil && r.Len() > 0 {
			seeds = append(seeds, fmt.Sprintf("SELECT %d, x.tab, x.tid, ARRAY[%s] FROM unnest(%s, %s%s) x(tab, tid%s)", slices.Index(p.Nodes, n),
				pg.List(len(n.Refs), func(i int) string { return fmt.Sprintf("x.r%d", i) }),
				s.Array(r.Tables, "text"), s.Array(r.CTIDs, "text"),
				pg.Prefixed(len(n.Refs), func(i int) string { return s.Array(r.refs[i], "text") }),
				pg.Prefixed(len(n.Refs), func(i int) string { return fmt.Sprintf("r%d", i) })))
		}
		for _, e := range n.In {
			if r := known[e.Parent]; e.Action.Deletes() && m.Walks(e) && !e.Internal() && r != nil && r.Len() > 0 {
				seeds = append(seeds, "SELECT "+search.ClosureRow(p, e.Child)+" FROM "+schema.From(e.Child.Table)+" WHERE "+behind(s, e, r))
			}
		}
	}
	return s.Add("WITH RECURSIVE ", search.Closure("reaper_c", seeds, search.CycleSteps(p, "reaper_c", group)),
		"\nSELECT node, tab, tid, refs FROM reaper_c", fmt.Sprintf(" LIMIT %d", limit))
}
