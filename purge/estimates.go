package purge

import "github.com/reaperdb/reaper/schema"

// rowsPerRoot is how many rows over all tables go with a root, itself among them, by
// the planner's numbers.
func (p *Plan) rowsPerRoot() (rows float64) {
	for _, n := range p.Nodes {
		if n.Deleted {
			rows += p.perRoot(n)
		}
	}
	return rows
}

// perRoot is how many rows of a node go with a root, by the planner's numbers.
func (p *Plan) perRoot(n *Node) float64 {
	if n == p.Root {
		return 1
	}
	if p.Root.Table.EstimatedRows <= 0 {
		return 0
	}
	return max(n.Table.EstimatedRows, 0) / p.Root.Table.EstimatedRows
}

// meanBytes is the mean size of a stored row, TOAST included; 0 when unknown.
func (n *Node) meanBytes() float64 {
	if n.Table.EstimatedRows < 1 {
		return 0
	}
	return float64(n.Table.Bytes) / n.Table.EstimatedRows
}

// leaves are the tables that hold a node's rows.
func (p *Plan) leaves(n *Node) []uint32 {
	if n.Table.Kind == schema.Partitioned {
		return p.graph.Family(n.Table.OID)
	}
	return []uint32{n.Table.OID}
}
