package preview

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/keeping"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
	"github.com/reaperdb/reaper/search"
)

// A preview determines in memory which rows are kept, up to this many expired roots and this many
// references among their dependents.
const (
	keptRoots      = 100_000
	keptReferences = 1_000_000
)

// findKept determines which expired roots stay in the end. A purge can delete more once the rows
// that keep others are deleted themselves, which a single statement cannot determine.
func (l *previewer) findKept(ctx context.Context) error {
	p := l.plan
	if l.estimate || !slices.ContainsFunc(p.Edges, func(e *plan.Edge) bool { return e.Action == plan.ByKeep && e.Child.Deleted }) {
		return nil // what keeps rows is never deleted
	}
	n := &numbering{at: map[rowKey]int{}}
	s := keepersSQL(p, l.scope)
	rows, err := l.tx.Query(ctx, s.String(), s.Args...)
	if err != nil {
		return fmt.Errorf("looking for what is kept: %w", err)
	}
	defer rows.Close()
	roots := collected.NewRows(&plan.Node{})
	references := 0
	for rows.Next() {
		var edge int
		var tab, tid string
		var childTab, childTid *string
		if err := rows.Scan(&edge, &tab, &tid, &childTab, &childTid); err != nil {
			return fmt.Errorf("looking for what is kept: %w", err)
		}
		if edge < 0 {
			roots.Add(tab, tid, nil)
		} else {
			n.add(p.Edges[edge], collected.RowID{Table: tab, CTID: tid}, childTab, childTid)
			references++
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("looking for what is kept: %w", err)
	}
	if roots.Len() > keptRoots || references > keptReferences {
		l.warn(fmt.Sprintf("more than %d expired rows or %d references among their dependents: rows kept only by rows that are deleted too are not counted",
			keptRoots, keptReferences), "a purge may delete more than is counted here; --tenant previews a single tenant")
		return nil
	}
	stay := n.remaining(p.Root, roots)
	l.scope.Kept = &pg.Places{Tables: stay.Tables, CTIDs: stay.CTIDs}
	return nil
}

// keepersSQL returns the expired roots (edge -1, tab, tid), and the references along the edges that
// matter: index of the edge, location of the row, and location of the row that references it (NULL:
// one that is never deleted).
func keepersSQL(p *plan.Plan, sc expiry.Scope) *pg.Statement {
	var steps, parts []string
	involved := involved(p)
	for i, e := range p.Edges {
		if e.Action != plan.ByKeep && (!e.Action.Deletes() || !involved[e.Child]) {
			continue
		}
		if e.Action.Deletes() {
			steps = append(steps, search.ClosureStep(p, e, "reaper_c"))
		}
		name := pg.Ident(e.Child.Table.Name.Name)
		behind := " FROM " + schema.From(e.Child.Table) + fmt.Sprintf(" WHERE reaper_c.node = %d AND ", slices.Index(p.Nodes, e.Parent)) + search.StepMatch(p, e, "reaper_c") + plan.Parenthesized(e.Where)
		if e.Child.Deleted {
			parts = append(parts, fmt.Sprintf("SELECT %d, reaper_c.tab, reaper_c.tid, reaper_x.tab, reaper_x.tid FROM reaper_c CROSS JOIN LATERAL (SELECT %s.tableoid::text AS tab, %s.ctid::text AS tid%s) reaper_x", i, name, name, behind))
		} else {
			parts = append(parts, fmt.Sprintf("SELECT %d, reaper_c.tab, reaper_c.tid, NULL, NULL FROM reaper_c WHERE EXISTS (SELECT%s)", i, behind))
		}
	}
	s := &pg.Statement{}
	return s.Add("WITH RECURSIVE reaper_e AS MATERIALIZED (", search.PastCutoffSQL(p, s, sc), fmt.Sprintf(" LIMIT %d)", keptRoots+1), search.ReachedSQL(p, "reaper_e", steps),
		"\nSELECT -1, tab, tid, NULL::text, NULL::text FROM reaper_e\nUNION ALL (", strings.Join(parts, "\nUNION ALL "), fmt.Sprintf("\nLIMIT %d)", keptReferences+1))
}

// involved are the tables whose rows keep others or may be kept, and the tables whose deletion
// would cascade to them.
func involved(p *plan.Plan) map[*plan.Node]bool {
	nodes := map[*plan.Node]bool{}
	for _, e := range p.Edges {
		if e.Action == plan.ByKeep {
			nodes[e.Parent], nodes[e.Child] = true, true
		}
	}
	for changed := true; changed; {
		changed = false
		for _, e := range p.Edges {
			if e.Action.Deletes() && nodes[e.Child] && !nodes[e.Parent] {
				nodes[e.Parent], changed = true, true
			}
		}
	}
	return nodes
}

// rowKey identifies a row of a plan.
type rowKey struct {
	node *plan.Node
	row  collected.RowID
}

// numbering numbers rows in order of appearance.
type numbering struct {
	keeping.Graph
	at map[rowKey]int
}

func (n *numbering) number(place rowKey) int {
	i, met := n.at[place]
	if !met {
		i = n.Add()
		n.at[place] = i
	}
	return i
}

// add records that a row is referenced.
func (n *numbering) add(e *plan.Edge, row collected.RowID, table, ctid *string) {
	parent, child := n.number(rowKey{e.Parent, row}), keeping.Stranger
	if ctid != nil {
		child = n.number(rowKey{e.Child, collected.RowID{Table: *table, CTID: *ctid}})
	}
	collected.LinkRows(&n.Graph, e, parent, child)
}

// remaining are the roots that are not deleted in the end.
func (n *numbering) remaining(root *plan.Node, roots *collected.Rows) *collected.Rows {
	expired := make([]bool, n.Len())
	numbers := make([]int, roots.Len()) // by root; -1: nothing references it
	for i := range numbers {
		numbers[i] = -1
		if at, met := n.at[rowKey{root, roots.ID(i)}]; met {
			numbers[i], expired[at] = at, true
		}
	}
	going := n.Going(func(row int) bool { return expired[row] })
	var stay []int
	for i, at := range numbers {
		if at >= 0 && !going[at] {
			stay = append(stay, i)
		}
	}
	return roots.Some(stay)
}
