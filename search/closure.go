package search

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// Closure is a recursive CTE of rows (node, tab, tid, refs): the seeds, and what hangs off
// them at any depth by steps (ClosureStep). Without seeds it is empty.
func Closure(name string, seeds, steps []string) string {
	if len(seeds) == 0 {
		seeds = []string{"SELECT 0, NULL::text, NULL::text, NULL::text[] WHERE false"}
	}
	return name + "(node, tab, tid, refs) AS (\n  (" + strings.Join(seeds, "\n  UNION ALL ") + ")" + recursion(name, steps) + ")"
}

// CycleSteps are the steps along the edges between tables that reference each other.
func CycleSteps(p *plan.Plan, name string, group []*plan.Node) (steps []string) {
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
func RootSeed(p *plan.Plan, roots string) string {
	return "SELECT 0, tab, tid, ARRAY[" + pg.List(len(p.Root.Refs), func(i int) string { return fmt.Sprintf("r%d::text", i) }) + "]::text[] FROM " + roots
}

// ClosureRow is a node's row in the format of the closure.
func ClosureRow(p *plan.Plan, n *plan.Node) string {
	name := pg.Ident(n.Table.Name.Name)
	return fmt.Sprintf("%d, %s.tableoid::text, %s.ctid::text, ARRAY[%s]::text[]", slices.Index(p.Nodes, n), name, name,
		pg.List(len(n.Refs), func(i int) string { return schema.Uncollated(n.Table, n.Refs[i]) + "::text" }))
}

// ClosureStep is one edge of a recursion: the child's rows that reference the current row.
func ClosureStep(p *plan.Plan, e *plan.Edge, c string) string {
	return "SELECT " + ClosureRow(p, e.Child) + " FROM " + schema.From(e.Child.Table) +
		fmt.Sprintf(" WHERE %s.node = %d AND ", c, slices.Index(p.Nodes, e.Parent)) + StepMatch(p, e, c) + plan.Parenthesized(e.Where)
}

// StepMatch compares the child's columns with the referenced columns of the current row. CASE
// avoids converting values of other nodes, which may have any type: partition pruning evaluates the
// comparison before the condition on the node.
func StepMatch(p *plan.Plan, e *plan.Edge, c string) string {
	within := ""
	if e.Within != nil {
		within = fmt.Sprintf("%s.tab = ANY('{%s}') AND ", c, strings.Join(e.Within, ","))
	}
	return within + pg.And(len(e.ChildColumns), func(i int) string {
		return e.Pairs[i].FindTheirs(fmt.Sprintf("(CASE WHEN %s.node = %d THEN %s.refs[%d] END::%s)",
			c, slices.Index(p.Nodes, e.Parent), c, slices.Index(e.Parent.Refs, e.ParentColumns[i])+1, e.Pairs[i].Ours.SQLType), schema.Col(e.Child.Table, e.ChildColumns[i]))
	})
}
