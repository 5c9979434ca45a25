package preview

import (
	"github.com/reaperdb/reaper/plan"
)

// RowsPerRoot is how many rows over all tables go with a root, itself among them, by
// the planner's numbers.
func RowsPerRoot(p *plan.Plan) (rows float64) {
	for _, n := range p.Nodes {
		if n.Deleted {
			rows += PerRoot(p, n)
		}
	}
	return rows
}

// PerRoot is how many rows of a node go with a root, by the planner's numbers.
func PerRoot(p *plan.Plan, n *plan.Node) float64 {
	if n == p.Root {
		return 1
	}
	if p.Root.Table.EstimatedRows <= 0 {
		return 0
	}
	return max(n.Table.EstimatedRows, 0) / p.Root.Table.EstimatedRows
}

// MeanBytes is the mean size of a stored row, TOAST included; 0 when unknown.
func MeanBytes(n *plan.Node) float64 {
	if n.Table.EstimatedRows < 1 {
		return 0
	}
	return float64(n.Table.Bytes) / n.Table.EstimatedRows
}
