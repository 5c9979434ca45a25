package purge

import (
	"fmt"
	"slices"
	"strings"
)

// closureSQL gives (node, tableoid, ctid, referenced columns as an array) of
// all rows of a cyclic component that hang, at any depth, off the seeds within
// it and off rows of the components before it.
func closureSQL(p *Plan, m *mode, group []*Node, known map[*Node]*rowsOf, limit int) *statement {
	s := &statement{}
	s.add("WITH RECURSIVE reaper_c(node, tab, tid, refs) AS (\n  ")
	first := true
	union := func() {
		if !first {
			s.add("\n  UNION ALL ")
		}
		first = false
	}
	s.add("(")
	for _, n := range group {
		if r := known[n]; r != nil && r.len() > 0 {
			union()
			s.add(fmt.Sprintf("SELECT %d, x.tab, x.tid, ARRAY[%s] FROM unnest(%s, %s%s) x(tab, tid%s)", slices.Index(p.Nodes, n),
				list(len(n.refs), func(i int) string { return fmt.Sprintf("x.r%d", i) }),
				s.list(r.tables, "text"), s.list(r.ctids, "text"),
				prefixed(len(n.refs), func(i int) string { return s.list(r.refs[i], "text") }),
				prefixed(len(n.refs), func(i int) string { return fmt.Sprintf("r%d", i) })))
		}
		for _, e := range n.In {
			if r := known[e.Parent]; e.Action.deletes() && m.walks(e) && !e.internal() && r != nil && r.len() > 0 {
				union()
				s.add("SELECT ", closureRow(p, e.Child), " FROM ", from(e.Child.Table), " WHERE ", s.behind(e, r))
			}
		}
	}
	if first {
		s.add("SELECT 0, NULL::text, NULL::text, NULL::text[] WHERE false")
	}
	s.add(")\n  UNION\n  SELECT x.* FROM reaper_c CROSS JOIN LATERAL (\n    ")
	first = true
	for _, n := range group {
		for _, e := range n.Out {
			if e.internal() {
				union()
				s.add(closureStep(p, e, "reaper_c"))
			}
		}
	}
	s.add(") x)\nSELECT node, tab, tid, refs FROM reaper_c", fmt.Sprintf(" LIMIT %d", limit))
	return s
}

func prefixed(n int, item func(int) string) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(", " + item(i))
	}
	return b.String()
}

// closureRow is a row of a node as the closure keeps it.
func closureRow(p *Plan, n *Node) string {
	name := ident(n.Table.Name.Name)
	return fmt.Sprintf("%d, %s.tableoid::text, %s.ctid::text, ARRAY[%s]::text[]", slices.Index(p.Nodes, n), name, name,
		list(len(n.refs), func(i int) string { return uncollated(n.Table, n.refs[i]) + "::text" }))
}

// closureStep is one edge of a recursion: the child's rows that reference the
// row at hand.
func closureStep(p *Plan, e *Edge, c string) string {
	return "SELECT " + closureRow(p, e.Child) + " FROM " + from(e.Child.Table) +
		fmt.Sprintf(" WHERE %s.node = %d AND ", c, slices.Index(p.Nodes, e.Parent)) + stepMatch(p, e, c) + parenthesized(e.Where)
}

// stepMatch compares the child's columns with the referenced columns of the
// row at hand. CASE keeps the conversion away from rows of other nodes, whose
// values may be of any type: partitions are chosen by it before the condition on
// the node is looked at.
func stepMatch(p *Plan, e *Edge, c string) string {
	within := ""
	if e.within != nil {
		within = fmt.Sprintf("%s.tab = ANY('{%s}') AND ", c, strings.Join(e.within, ","))
	}
	return within + and(len(e.ChildColumns), func(i int) string {
		return e.pairs[i].findTheirs(fmt.Sprintf("(CASE WHEN %s.node = %d THEN %s.refs[%d] END::%s)",
			c, slices.Index(p.Nodes, e.Parent), c, slices.Index(e.Parent.refs, e.ParentColumns[i])+1, e.pairs[i].ours.SQLType), col(e.Child.Table, e.ChildColumns[i]))
	})
}
