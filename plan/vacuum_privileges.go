package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// checkVacuumPrivilege warns about `vacuum: always` for tables that the role may not vacuum. With
// auto, a run warns by itself when there is anything to vacuum.
func (c *compiler) checkVacuumPrivilege() {
	p := c.plan
	if p.Policy.Vacuum != policy.VacuumAlways {
		return
	}
	var tables []string
	for _, n := range p.Nodes {
		if n.Deleted && !n.Table.CanVacuum {
			tables = append(tables, pg.Ident(n.Table.Name.Schema, n.Table.Name.Name))
		}
	}
	if len(tables) > 0 {
		names := strings.Join(tables, ", ")
		p.AddProblem(LevelWarning, fmt.Sprintf("vacuum: always, and role %s may not vacuum %s", c.server.Role, names), schema.VacuumRemedy(c.server.Version, c.server.Role, names))
	}
}

// maintain returns the privileges for vacuum, commented out: a run works without them, and they
// allow more than it needs.
func (g *grants) maintain() []string {
	if len(g.vacuumed) == 0 {
		return nil
	}
	out := []string{"-- optional, to vacuum tables after large deletions (vacuum in the policy file); otherwise autovacuum does:"}
	for _, t := range slices.Sorted(maps.Keys(g.vacuumed)) {
		line := fmt.Sprintf("-- GRANT MAINTAIN ON %s TO %s;", t, g.role)
		if g.vacuumed[t] == schema.Partitioned {
			line += " and on each of its partitions"
		}
		out = append(out, line)
	}
	return out
}
