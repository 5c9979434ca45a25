package purge

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A look ahead works out in memory who keeps whom, up to this many expired roots
// and this many references among what hangs off them.
const (
	keptRoots      = 100_000
	keptReferences = 1_000_000
)

// keepers settles which expired roots stay in the end. A purge goes on as rows
// that keep others go themselves, which one statement cannot tell.
func (l *looker) keepers(ctx context.Context) error {
	p := l.plan
	if l.estimate || !slices.ContainsFunc(p.Edges, func(e *Edge) bool { return e.Action == ByKeep && e.Child.Deleted }) {
		return nil // what keeps never goes
	}
	n := &numbering{at: map[placeOfRow]int{}}
	s := p.keepersSQL(l.scope)
	rows, err := l.tx.Query(ctx, s.String(), s.args...)
	if err != nil {
		return fmt.Errorf("looking for what is kept: %w", err)
	}
	defer rows.Close()
	roots := newRows(&Node{})
	references := 0
	for rows.Next() {
		var edge int
		var tab, tid string
		var childTab, childTid *string
		if err := rows.Scan(&edge, &tab, &tid, &childTab, &childTid); err != nil {
			return fmt.Errorf("looking for what is kept: %w", err)
		}
		if edge < 0 {
			roots.add(tab, tid, nil)
		} else {
			n.add(p.Edges[edge], rowID{tab, tid}, childTab, childTid)
			references++
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("looking for what is kept: %w", err)
	}
	if roots.len() > keptRoots || references > keptReferences {
		l.warn(fmt.Sprintf("more than %d expired rows, or %d references among what hangs off them: those that are kept by rows which go themselves are not counted",
			keptRoots, keptReferences), "a purge may delete more than is counted here; --tenant looks at one tenant")
		return nil
	}
	l.scope.kept = n.staying(p.Root, roots)
	return nil
}

// keepersSQL gives the expired roots (edge -1, tab, tid), and who references whom
// along the edges that matter for what is kept: number of the edge, where the row
// stands, and where that stands which references it; NULL: a row that never goes.
func (p *Plan) keepersSQL(sc scope) *statement {
	var steps, parts []string
	concerned := p.concerned()
	for i, e := range p.Edges {
		if e.Action != ByKeep && (!e.Action.deletes() || !concerned[e.Child]) {
			continue
		}
		if e.Action.deletes() {
			steps = append(steps, closureStep(p, e, "reaper_c"))
		}
		name := ident(e.Child.Table.Name.Name)
		behind := " FROM " + from(e.Child.Table) + fmt.Sprintf(" WHERE reaper_c.node = %d AND ", slices.Index(p.Nodes, e.Parent)) + stepMatch(p, e, "reaper_c") + parenthesized(e.Where)
		if e.Child.Deleted {
			parts = append(parts, fmt.Sprintf("SELECT %d, reaper_c.tab, reaper_c.tid, reaper_x.tab, reaper_x.tid FROM reaper_c CROSS JOIN LATERAL (SELECT %s.tableoid::text AS tab, %s.ctid::text AS tid%s) reaper_x", i, name, name, behind))
		} else {
			parts = append(parts, fmt.Sprintf("SELECT %d, reaper_c.tab, reaper_c.tid, NULL, NULL FROM reaper_c WHERE EXISTS (SELECT%s)", i, behind))
		}
	}
	s := &statement{}
	return s.add("WITH RECURSIVE reaper_e AS MATERIALIZED (", p.pastCutoffSQL(s, sc), fmt.Sprintf(" LIMIT %d)", keptRoots+1), p.reachedSQL("reaper_e", steps),
		"\nSELECT -1, tab, tid, NULL::text, NULL::text FROM reaper_e\nUNION ALL (", strings.Join(parts, "\nUNION ALL "), fmt.Sprintf("\nLIMIT %d)", keptReferences+1))
}

// concerned are the tables whose rows keep others or could be kept, and those
// whose rows take such rows along.
func (p *Plan) concerned() map[*Node]bool {
	nodes := map[*Node]bool{}
	for _, e := range p.Edges {
		if e.Action == ByKeep {
			nodes[e.Parent], nodes[e.Child] = true, true
		}
	}
	for changed := true; changed; {
		changed = false
		for _, e := range p.Edges {
			if e.Action.deletes() && nodes[e.Child] && !nodes[e.Parent] {
				nodes[e.Parent], changed = true, true
			}
		}
	}
	return nodes
}

// placeOfRow tells a row from all others of a plan.
type placeOfRow struct {
	node *Node
	row  rowID
}

// numbering numbers rows as they are met.
type numbering struct {
	keeping
	at map[placeOfRow]int
}

func (n *numbering) number(place placeOfRow) int {
	i, met := n.at[place]
	if !met {
		i = len(n.keepers)
		n.at[place] = i
		n.parents, n.taken, n.keepers = append(n.parents, nil), append(n.taken, nil), append(n.keepers, nil)
	}
	return i
}

// add notes that a row is referenced.
func (n *numbering) add(e *Edge, row rowID, table, ctid *string) {
	parent, child := n.number(placeOfRow{e.Parent, row}), stranger
	if ctid != nil {
		child = n.number(placeOfRow{e.Child, rowID{*table, *ctid}})
	}
	n.link(e, parent, child)
}

// staying are those of the roots that do not go in the end.
func (n *numbering) staying(root *Node, roots *rowsOf) *rowsOf {
	expired := make([]bool, len(n.keepers))
	numbers := make([]int, roots.len()) // of each root; -1: nothing references it
	for i := range numbers {
		numbers[i] = -1
		if at, met := n.at[placeOfRow{root, roots.id(i)}]; met {
			numbers[i], expired[at] = at, true
		}
	}
	going := n.going(func(row int) bool { return expired[row] })
	var stay []int
	for i, at := range numbers {
		if at >= 0 && !going[at] {
			stay = append(stay, i)
		}
	}
	return roots.some(stay)
}
