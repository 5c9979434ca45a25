package deletion

import (
	"context"
	"fmt"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/internal/keeping"
	"github.com/reaperdb/reaper/plan"
)

// free returns the indexes, among the first n collected roots, of those that may be deleted:
// nothing keeps them, or only rows that are deleted along with such roots. Cycles of keeping
// rows stay. An earlier statement locked all rows that a keep edge could reference, so rows
// that keep them are visible or can no longer be added.
func (tx *Tx) free(ctx context.Context, known collection, n int) ([]int, error) {
	k := collectedRows(tx.plan, known)
	s := collected.KeepingSQL(tx.plan, known)
	rows, err := tx.query(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("searching for kept rows: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var edge, parent int
		var table, ctid *string // NULL: a row that cannot be deleted in this batch
		if err := rows.Scan(&edge, &parent, &table, &ctid); err != nil {
			return nil, fmt.Errorf("searching for kept rows: %w", err)
		}
		k.add(tx.plan.Edges[edge], parent, table, ctid)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("searching for kept rows: %w", err)
	}
	return k.free(n), nil
}

// collectedGraph numbers the rows of a batch node by node, roots first, from 0.
type collectedGraph struct {
	*keeping.Graph
	known collection
	first map[*plan.Node]int // number of a node's first row
}

func collectedRows(p *plan.Plan, known collection) *collectedGraph {
	first, n := map[*plan.Node]int{}, 0
	for _, node := range p.Nodes { // the root comes first
		if r := known[node]; r != nil {
			first[node] = n
			n += r.Len()
		}
	}
	return &collectedGraph{Graph: keeping.New(n), known: known, first: first}
}

// add records that a child row references the parent's row with this ordinal (from 1).
func (g *collectedGraph) add(e *plan.Edge, parent int, table, ctid *string) {
	p, c := g.first[e.Parent]+parent-1, keeping.Stranger
	if r := g.known[e.Child]; r != nil && ctid != nil {
		if at, there := r.Places()[collected.RowID{Table: *table, CTID: *ctid}]; there {
			c = g.first[e.Child] + at
		}
	}
	collected.LinkRows(g.Graph, e, p, c)
}

// free returns those of the first n rows, the roots, that may be deleted.
func (g *collectedGraph) free(n int) (free []int) {
	going := g.Going(func(row int) bool { return row < n })
	for r := range n {
		if going[r] {
			free = append(free, r)
		}
	}
	return free
}
