package plan

import (
	"slices"

	"github.com/reaperdb/reaper/schema"
)

// Together reports whether the rows of many tenants can be locked, collected and deleted by
// statements for all of them at once. It takes that tables reference each other in no circle, that
// nothing keeps rows or interferes, that a location is unique in the root's table, that a row
// references one row of its parent alone, and a constraint holds it to that.
func (p *Plan) Together() bool {
	return p.Whole == nil && !p.NoTenant && !p.Usual.Full && len(p.Edges) > 0 && !p.Keeps() && !p.Watched() &&
		p.Root.Table.Kind != schema.Partitioned &&
		!slices.ContainsFunc(p.Full.Order, Cyclic) &&
		!slices.ContainsFunc(p.Edges, func(e *Edge) bool { return e.Within != nil || e.Key == nil || p.clearsGoing(e) })
}

// clearsGoing reports whether an edge is cleared in rows of which some may be deleted in the same
// batch. Table by table, under ordinary checks, these would be in the way of their parents.
func (p *Plan) clearsGoing(e *Edge) bool {
	return e.Action.Clears() && !p.Proven && p.Full.Collected[e.Parent] && p.Full.Collected[e.Child]
}
