package explain

import (
	"fmt"

	"github.com/reaperdb/reaper/plan"
)

// Elsewhere names the other policies that delete rows of a plan's root table as dependents: what such
// a policy does to a row is not explained.
func Elsewhere(p *plan.Plan, plans []*plan.Plan) (notes []string) {
	for _, other := range plans {
		for _, n := range other.Nodes {
			if other != p && n != other.Root && n.Deleted && n.Table.OID == p.Root.Table.OID {
				notes = append(notes, fmt.Sprintf("policy %s deletes rows of %s too, with rows of %s that they depend on, whatever their own age", other.Policy.Name, n.Table.Name, other.Root.Table.Name))
			}
		}
	}
	return notes
}
