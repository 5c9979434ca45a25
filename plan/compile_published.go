package plan

import (
	"fmt"

	"github.com/reaperdb/reaper/schema"
)

// checkPublications refuses tables on which PostgreSQL refuses DELETE or UPDATE because of a
// publication without a usable replica identity.
func (c *compiler) checkPublications(n *Node) {
	for _, x := range n.Table.Refusing {
		what := ""
		switch {
		case n.Deleted && x.Deletes:
			what = "DELETE"
		case n.cleared() && x.Updates:
			what = "UPDATE"
		default:
			continue
		}
		text, fix := schema.PublishedProblem(x)
		c.plan.AddProblem(LevelError, fmt.Sprintf("%s: PostgreSQL refuses every %s", text, what), fix)
		c.plan.Problems[len(c.plan.Problems)-1].OnlyDeleting = true
	}
}
