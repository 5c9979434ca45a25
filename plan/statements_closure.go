package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// ClosureSQL returns (node, tableoid, ctid, referenced columns as an array) of all rows of a cyclic
// component that depend, at any depth, on its known rows or on rows of earlier components.
func ClosureSQL(p *Plan, m *Traversal, group []*Node, known map[*Node]*Rows, limit int) *pg.Statement {
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
				seeds = append(seeds, "SELECT "+ClosureRow(p, e.Child)+" FROM "+schema.From(e.Child.Table)+" WHERE "+behind(s, e, r))
			}
		}
	}
	return s.Add("WITH RECURSIVE ", p.Closure("reaper_c", seeds, p.CycleSteps("reaper_c", group)),
		"\nSELECT node, tab, tid, refs FROM reaper_c", fmt.Sprintf(" LIMIT %d", limit))
}

// Closure is a recursive CTE of rows (node, tab, tid, refs): the seeds, and what hangs off
// them at any depth by steps (ClosureStep). Without seeds it is empty.
func (p *Plan) Closure(name string, seeds, steps []string) string {
	if len(seeds) == 0 {
		seeds = []string{"SELECT 0, NULL::text, NULL::text, NULL::text[] WHERE false"}
	}
	return name + "(node, tab, tid, refs) AS (\n  (" + strings.Join(seeds, "\n  UNION ALL ") + ")" + recursion(name, steps) + ")"
}

// CycleSteps are the steps along the edges between tables that reference each other.
func (p *Plan) CycleSteps(name string, group []*Node) (steps []string) {
	for _, n := range group {
		for _, e := range n.Out {
			if e.Internal() {
				steps = append(steps, ClosureStep(p, e, name))
			}
		}
	}
	return steps
}

// RootSeed reads the roots (tab, tid, r0, r1, …) as a seed of a closure.
func (p *Plan) RootSeed(roots string) string {
	return "SELECT 0, tab, tid, ARRAY[" + pg.List(len(p.Root.Refs), func(i int) string { return fmt.Sprintf("r%d::text", i) }) + "]::text[] FROM " + roots
}

// ClosureRow is a node's row in the format of the closure.
func ClosureRow(p *Plan, n *Node) string {
	name := pg.Ident(n.Table.Name.Name)
	return fmt.Sprintf("%d, %s.tableoid::text, %s.ctid::text, ARRAY[%s]::text[]", slices.Index(p.Nodes, n), name, name,
		pg.List(len(n.Refs), func(i int) string { return schema.Uncollated(n.Table, n.Refs[i]) + "::text" }))
}

// ClosureStep is one edge of a recursion: the child's rows that reference the current row.
func ClosureStep(p *Plan, e *Edge, c string) string {
	return "SELECT " + ClosureRow(p, e.Child) + " FROM " + schema.From(e.Child.Table) +
		fmt.Sprintf(" WHERE %s.node = %d AND ", c, slices.Index(p.Nodes, e.Parent)) + StepMatch(p, e, c) + Parenthesized(e.Where)
}

// StepMatch compares the child's columns with the referenced columns of the current row. CASE
// avoids converting values of other nodes, which may have any type: partition pruning evaluates the
// comparison before the condition on the node.
func StepMatch(p *Plan, e *Edge, c string) string {
	within := ""
	if e.Within != nil {
		within = fmt.Sprintf("%s.tab = ANY('{%s}') AND ", c, strings.Join(e.Within, ","))
	}
	return within + pg.And(len(e.ChildColumns), func(i int) string {
		return e.Pairs[i].FindTheirs(fmt.Sprintf("(CASE WHEN %s.node = %d THEN %s.refs[%d] END::%s)",
			c, slices.Index(p.Nodes, e.Parent), c, slices.Index(e.Parent.Refs, e.ParentColumns[i])+1, e.Pairs[i].Ours.SQLType), schema.Col(e.Child.Table, e.ChildColumns[i]))
	})
}
