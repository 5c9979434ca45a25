package preview

import (
	"github.com/reaperdb/reaper/plan"
)

// RowsPerRoot is the estimated number of rows in all tables deleted per root, including the root.
func RowsPerRoot(p *plan.Plan) (rows float64) {
	for _, n := range p.Nodes {
		if n.Deleted {
			rows += PerRoot(p, n)
		}
	}
	return rows
}

// PerRoot is the estimated number of a node's rows deleted per root.
func PerRoot(p *plan.Plan, n *plan.Node) float64 {
	if n == p.Root {
		return 1
	}
	if p.Root.Table.EstimatedRows <= 0 {
		return 0
	}
	return max(n.Table.EstimatedRows, 0) / p.Root.Table.EstimatedRows
}

// MeanBytes is the mean size of a stored row, TOAST included; 0 if unknown.
func MeanBytes(n *plan.Node) float64 {
	if n.Table.EstimatedRows < 1 {
		return 0
	}
	return float64(n.Table.Bytes) / n.Table.EstimatedRows
}
