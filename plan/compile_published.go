package plan

import (
	"fmt"

	"github.com/reaperdb/reaper/schema"
)

// published refuses tables that a publication replicates in a way in which PostgreSQL
// refuses to delete from them, or to update them.
func (c *compiler) published(n *Node) {
	for _, x := range n.Table.Refusing {
		what := ""
		switch {
		case n.Deleted && x.Deletes:
			what = "DELETE"
		case n.emptied() && x.Updates:
			what = "UPDATE"
		default:
			continue
		}
		text, fix := schema.PublishedProblem(x)
		c.plan.AddProblem(LevelError, fmt.Sprintf("%s: PostgreSQL refuses every %s", text, what), fix)
	}
}
