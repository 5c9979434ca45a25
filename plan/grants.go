package plan

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Grants are the statements that grant a role the minimal privileges on the tables of these plans.
func Grants(plans []*Plan, role string) []string {
	g := newGrants(role)
	for _, p := range plans {
		g.plan(p)
	}
	return g.statements()
}

// RestoreGrants are the statements that grant a role what it needs on the same tables to put back what
// is deleted by these plans.
func RestoreGrants(plans []*Plan, role string) []string {
	g := newGrants(role)
	for _, p := range plans {
		g.restores(p)
	}
	return g.statements()
}

func newGrants(role string) *grants {
	return &grants{
		role: pg.Ident(role), tables: map[string]map[string]bool{}, schemas: map[string]bool{}, vacuumed: map[string]schema.Kind{},
		functions: map[string]bool{}, unknown: map[string]bool{},
	}
}

type grants struct {
	role    string
	tables  map[string]map[string]bool // quoted name → privileges
	schemas map[string]bool
	// functions are, with arguments, those that PUBLIC may not execute; unknown is SQL of the file
	// whose relations could not be determined.
	functions, unknown map[string]bool
	bypass             []string // tables with row-level security
	// vacuumed are the tables that a run may vacuum, if the server has the MAINTAIN privilege.
	vacuumed map[string]schema.Kind
	replica  bool        // some policy asks for foreign_key_checks: proven
	version  int         // of the server
	owned    [][2]string // partitioned tables and their owners
}

func (g *grants) need(t *schema.Table, privileges ...string) {
	g.schemas[pg.Ident(t.Name.Schema)] = true
	g.on(t.Name, t.RowSecurity, privileges...)
}

// on adds privileges on a relation.
func (g *grants) on(n schema.Name, rowSecurity bool, privileges ...string) {
	name := pg.Ident(n.Schema, n.Name)
	if g.tables[name] == nil {
		g.tables[name] = map[string]bool{}
	}
	for _, p := range privileges {
		g.tables[name][p] = true
	}
	if rowSecurity && !slices.Contains(g.bypass, name) {
		g.bypass = append(g.bypass, name)
	}
}

// reads adds what SQL of the file needs. Relations below a view are not named in it, so the role
// does not need USAGE on their schemas.
func (g *grants) reads(n usersql.Needs) {
	for _, r := range n.Relations {
		g.on(r.Name, r.RowSecurity, "SELECT")
	}
	for _, f := range n.Functions {
		g.functions[f.SQL] = true
	}
	for _, what := range n.Unknown {
		g.unknown[what] = true
	}
}

func (g *grants) plan(p *Plan) {
	if p.Tenants != nil && p.Tenants.Table != nil {
		g.need(p.Tenants.Table, "SELECT")
	}
	for _, h := range p.Hops {
		g.need(h.Table, "SELECT")
	}
	for _, s := range slices.Concat(p.typeSchemas(), p.Needs.Schemas) {
		g.schemas[pg.Ident(s)] = true
	}
	g.reads(p.Needs)
	g.replica = g.replica || p.File.Safety.Proven && !p.Policy.Archive && len(p.Edges) > 0 && !(p.File.Safety.Auto && p.Usual != nil && p.Usual.Simple())
	g.version = p.Server.Version
	if p.Parts.ownership {
		g.owned = append(g.owned, [2]string{pg.Ident(p.Root.Table.Name.Schema, p.Root.Table.Name.Name), pg.Ident(p.Parts.owner)})
	}
	for _, n := range p.Nodes {
		g.need(n.Table, "SELECT")
		if n.Deleted {
			g.need(n.Table, "DELETE")
			if schema.HasMaintain(p.Server.Version) && p.Policy.Vacuum != policy.VacuumNever {
				g.vacuumed[pg.Ident(n.Table.Name.Schema, n.Table.Name.Name)] = n.Table.Kind
			}
		}
		// FOR UPDATE needs UPDATE on any one column.
		if n == p.Root || n.Deleted && (p.Policy.Archive || n.hasDependents() || n.NeedsLock() || n.maySuppressDelete()) {
			g.need(n.Table, "UPDATE ("+pg.Ident(lockColumn(p, n))+")")
		}
		g.clears(n)
	}
}

func (g *grants) restores(p *Plan) {
	for _, s := range slices.Concat(p.typeSchemas(), p.Needs.Schemas) {
		g.schemas[pg.Ident(s)] = true
	}
	g.reads(p.Needs)
	for _, n := range p.Nodes {
		g.need(n.Table, "SELECT")
		if n.Deleted {
			g.need(n.Table, "INSERT")
		}
		g.clears(n)
	}
}

// clears adds what emptying references, or setting them again, needs.
func (g *grants) clears(n *Node) {
	for _, e := range n.In {
		if e.Action.Clears() {
			g.need(n.Table, "UPDATE ("+pg.List(len(e.SetColumns), func(i int) string { return pg.Ident(e.SetColumns[i]) })+")")
		}
	}
}

func (g *grants) statements() []string {
	var out []string
	for _, s := range slices.Sorted(maps.Keys(g.schemas)) {
		out = append(out, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", s, g.role))
	}
	for _, t := range slices.Sorted(maps.Keys(g.tables)) {
		out = append(out, fmt.Sprintf("GRANT %s ON %s TO %s;", strings.Join(slices.Sorted(maps.Keys(g.tables[t])), ", "), t, g.role))
	}
	for _, f := range slices.Sorted(maps.Keys(g.functions)) {
		out = append(out, fmt.Sprintf("GRANT EXECUTE ON ROUTINE %s TO %s;", f, g.role))
	}
	for _, what := range slices.Sorted(maps.Keys(g.unknown)) {
		out = append(out, "-- the tables that "+what+" reads are unknown, since it could not become a temporary view: "+g.role+" needs SELECT on them too")
	}
	if len(g.bypass) > 0 {
		slices.Sort(g.bypass)
		out = append(out, "-- row-level security hides rows of "+strings.Join(g.bypass, ", ")+":",
			fmt.Sprintf("ALTER ROLE %s BYPASSRLS;", g.role))
	}
	for _, t := range g.owned {
		// Not granted: the owner of a table may do anything to it.
		out = append(out, fmt.Sprintf("-- optional, to drop whole partitions of %s: %s must be a member of its owner %s", t[0], g.role, t[1]))
	}
	switch {
	case g.replica && g.version < 150000:
		out = append(out, "-- foreign_key_checks: proven needs a superuser before PostgreSQL 15; otherwise the checks are ordinary")
	case g.replica:
		out = append(out, "-- for foreign_key_checks: proven, as a superuser:", grantReplicaRole(g.role)+";")
	}
	return append(out, g.maintain()...)
}
