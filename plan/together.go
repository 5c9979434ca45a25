package plan

import (
	"slices"

	"github.com/reaperdb/reaper/schema"
)

// Together reports whether the rows of many tenants can be locked, collected and deleted by
// statements for all of them at once. It takes that tables reference each other in no circle, that
// nothing keeps rows or interferes, that a location is unique in the root's table, and that a row is
// collected along an edge for one row of its parent alone.
func (p *Plan) Together() bool {
	return !p.NoTenant && !p.Usual.Full && len(p.Edges) > 0 && !p.Keeps() && !p.Watched() &&
		p.Root.Table.Kind != schema.Partitioned &&
		!slices.ContainsFunc(p.Full.Order, Cyclic) &&
		!slices.ContainsFunc(p.Edges, func(e *Edge) bool { return e.Within != nil || e.Key == nil && p.Full.Collected[e.Child] })
}
