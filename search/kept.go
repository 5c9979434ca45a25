package search

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// keptSQL adds two CTEs to a statement with the roots (tab, tid, r0, r1, …): reaper_c, the roots
// and those of their dependents that a keeping edge could protect; and reaper_k, the rows that one
// does protect, with all rows whose deletion would delete them. Each CTE has each row once, so a
// chain of rows takes linear time, however many of them are roots.
func keptSQL(p *plan.Plan, roots string) string {
	var down, tests, up []string
	for _, e := range p.Edges {
		switch {
		case e.Action == plan.ByKeep:
			tests = append(tests, fmt.Sprintf("reaper_c.node = %d AND EXISTS (SELECT FROM %s WHERE %s%s)",
				slices.Index(p.Nodes, e.Parent), schema.From(e.Child.Table), StepMatch(p, e, "reaper_c"), plan.Parenthesized(e.Where)))
		case e.Protects():
			down, up = append(down, ClosureStep(p, e, "reaper_c")), append(up, Ascent(p, e))
		}
	}
	return ReachedSQL(p, roots, down) +
		",\nreaper_k(node, tab, tid) AS (\n  SELECT node, tab, tid FROM reaper_c WHERE " + strings.Join(tests, " OR ") + recursion("reaper_k", up) + ")"
}

// ReachedSQL adds the CTE reaper_c: the roots and what these steps reach from them.
func ReachedSQL(p *plan.Plan, roots string, steps []string) string {
	return ",\n" + Closure("reaper_c", []string{RootSeed(p, roots)}, steps)
}

// recursion extends a CTE by all steps.
func recursion(c string, steps []string) string {
	if len(steps) == 0 {
		return ""
	}
	return "\n  UNION\n  SELECT reaper_x.* FROM " + c + " CROSS JOIN LATERAL (" + strings.Join(steps, "\n    UNION ALL ") + ") reaper_x"
}

// Ascent is one upward edge of a recursion: the rows that the row of reaper_k references. Its
// subselect lets users' SQL see only the columns of its own table.
func Ascent(p *plan.Plan, e *plan.Edge) string {
	child, parent := e.Child.Table, e.Parent.Table
	name, above := pg.Ident(child.Name.Name), pg.Ident(parent.Name.Name)
	within := ""
	if e.Within != nil {
		within = fmt.Sprintf("%s.tableoid::text = ANY('{%s}') AND ", above, strings.Join(e.Within, ","))
	}
	return fmt.Sprintf("SELECT %d, %s.tableoid::text, %s.ctid::text FROM (SELECT %s FROM %s WHERE reaper_k.node = %d AND %s.ctid = reaper_k.tid::tid AND %s.tableoid::text = reaper_k.tab%s) reaper_y JOIN %s ON %s",
		slices.Index(p.Nodes, e.Parent), above, above,
		pg.List(len(e.ChildColumns), func(i int) string {
			return schema.Uncollated(child, e.ChildColumns[i]) + fmt.Sprintf(" AS r%d", i)
		}),
		schema.From(child), slices.Index(p.Nodes, e.Child), name, name, plan.Parenthesized(e.Where), schema.From(parent),
		within+pg.And(len(e.ChildColumns), func(i int) string {
			return referencing(e.Pairs[i], fmt.Sprintf("reaper_y.r%d", i), schema.Col(parent, e.ParentColumns[i]))
		}))
}

// referencing compares a parent column (ours) with a child's value (theirs) so that an index on the
// column can serve, if the types allow it. A text column declared to reference a number or uuid may
// hold anything; text that is not one references nothing.
func referencing(c schema.Comparison, theirs, ours string) string {
	if c.OursText {
		switch {
		case slices.Contains(plan.IntegerTypes, c.Ours.TypeName):
			return fmt.Sprintf("%[1]s = CASE WHEN %[2]s::text ~ '^-?[0-9]{1,19}$' THEN CASE WHEN %[2]s::text::numeric BETWEEN -9223372036854775808 AND 9223372036854775807 THEN %[2]s::text::int8 END END AND %[3]s", ours, theirs, c.FindOurs(ours, theirs))
		case c.Ours.TypeName == "uuid":
			return fmt.Sprintf("%[1]s = CASE WHEN %[2]s::text ~ '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN %[2]s::text::uuid END AND %[3]s", ours, theirs, c.FindOurs(ours, theirs))
		}
	}
	return c.FindOurs(ours, theirs)
}
