package erasure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// tablesSQL returns the tables whose rows an erasure answers for: all outside the system's schemas and
// the ledger's ($1), but for partitions, which count with their table, and what an extension brought.
// Foreign tables and materialized views hold rows too.
const tablesSQL = `
SELECT c.oid, n.nspname, c.relname, c.relkind::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p', 'f', 'm') AND NOT c.relispartition
   AND n.nspname NOT LIKE 'pg\_%' AND n.nspname NOT IN ('information_schema', $1)
   AND NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass AND e.objid = c.oid AND e.deptype = 'e')
 ORDER BY n.nspname, c.relname`

// The kinds of relations that an erasure cannot delete from.
const (
	foreignTable     = "f"
	materializedView = "m"
)

// relation is a row of tablesSQL.
type relation struct {
	OID          uint32
	Schema, Name string
	Kind         string
}

// read reads the catalog: all tables, and those that the file names.
func (c *compiler) read() error {
	var err error
	if c.graph, err = schema.Read(c.ctx, c.tx); err != nil {
		return err
	}
	rows, err := c.tx.Query(c.ctx, tablesSQL, c.ledger)
	if err != nil {
		return fmt.Errorf("listing tables: %w", err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[relation])
	if err != nil {
		return fmt.Errorf("listing tables: %w", err)
	}
	var load []uint32
	for _, r := range found {
		if r.Kind != materializedView {
			load = append(load, r.OID)
		}
	}
	// Partitions too: foreign keys of their own have to be looked at.
	for _, k := range c.graph.ForeignKeys {
		load = append(load, k.Child, k.Parent)
	}
	slices.Sort(load)
	if err := c.graph.Load(c.ctx, c.tx, slices.Compact(load)...); err != nil {
		return err
	}
	if err := c.resolveNames(); err != nil {
		return err
	}
	for _, r := range found {
		c.addRelation(r)
	}
	return nil
}

// addRelation adds a table to the plan.
func (c *compiler) addRelation(r relation) {
	name := schema.Name{Schema: r.Schema, Name: r.Name}
	if r.Kind == materializedView {
		if !c.isGlobal(r.OID, name) {
			c.add(plan.LevelWarning, policy.Pos{}, globalFix(name)+" # or REFRESH MATERIALIZED VIEW after each erasure",
				"materialized view %s may hold rows of tenants until it is refreshed", name)
		}
		return
	}
	t := &Table{Table: c.graph.Tables[r.OID], Action: Undecided}
	if t.Table == nil {
		return // dropped meanwhile
	}
	c.byOID[r.OID] = t
	c.plan.Tables = append(c.plan.Tables, t)
	if c.isGlobal(r.OID, name) {
		t.Action = Global
	}
}

// isGlobal reports whether the file says that a table's rows belong to no tenant.
func (c *compiler) isGlobal(oid uint32, name schema.Name) bool {
	return slices.ContainsFunc(c.section.Global, func(g policy.Table) bool {
		return g.Name == "*" && g.Schema == name.Schema || c.resolve(g) == oid
	})
}

// resolveNames looks up all tables that the section names, under the role's own search_path.
func (c *compiler) resolveNames() error {
	var names [][2]string
	for _, t := range c.named() {
		if name := [2]string{t.Schema, t.Name}; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	own := &pg.DB{Sender: c.tx, Before: []string{"SELECT " + pg.SetConfig("search_path", pg.Literal(c.server.Path()))}}
	found, err := schema.Resolve(c.ctx, own, names)
	if err != nil {
		return err
	}
	if _, err := c.tx.Exec(c.ctx, pg.Pin); err != nil {
		return err
	}
	c.oids = map[[2]string]uint32{}
	for i, name := range names {
		c.oids[name] = found[i]
	}
	return nil
}

// named are the tables that the section and the tenants name, and the policies' roots.
func (c *compiler) named() []policy.Table {
	all := []policy.Table{c.file.Tenants.Table}
	all = append(all, c.section.Global...)
	for i := range c.section.Tables {
		e := &c.section.Tables[i]
		all = append(all, e.Table)
		for _, s := range e.Owner.Path.Steps {
			if s.Table.IsSet() {
				all = append(all, s.Table)
			}
		}
	}
	for i := range c.file.Policies {
		all = append(all, c.file.Policies[i].Table)
	}
	return all
}

func (c *compiler) resolve(t policy.Table) uint32 { return c.oids[[2]string{t.Schema, t.Name}] }

// decide assigns the file's entries to tables.
func (c *compiler) decide() error {
	c.entries = map[*Table][]*policy.ErasureTable{}
	for _, g := range c.section.Global {
		if g.Name != "*" && c.resolve(g) == 0 {
			c.fail(g.Pos, c.nearest(g), "there is no table %s", g)
		}
		if t := c.byOID[c.resolve(g)]; t != nil && t == c.plan.Tenants {
			c.fail(g.Pos, "remove it", "%s is the tenants' table, so it is not global", g)
		}
	}
	for i := range c.section.Tables {
		e := &c.section.Tables[i]
		t := c.byOID[c.resolve(e.Table)]
		switch {
		case c.resolve(e.Table) == 0:
			c.fail(e.Table.Pos, c.nearest(e.Table), "there is no table %s", e.Table)
		case t == nil:
			c.fail(e.Table.Pos, "name the table that it is a partition of, or remove the entry", "%s is no table that an erasure answers for", e.Table)
		case t == c.plan.Tenants:
			c.fail(e.Table.Pos, "remove the entry, and use tenant_row", "%s is the tenants' table", e.Table)
		case t.Action == Global:
			c.fail(e.Table.Pos, "remove the entry, or the table from global", "%s is global", e.Table)
		default:
			c.entries[t] = append(c.entries[t], e)
		}
	}
	for t, entries := range c.entries {
		t.Action, t.Entry = Action(entries[0].Action), entries[0]
	}
	c.plan.Tenants.Action = Action(c.section.TenantRow)
	return nil
}

// nearest suggests a table that is there.
func (c *compiler) nearest(t policy.Table) string {
	var bare []string
	for _, o := range c.plan.Tables {
		bare = append(bare, o.Table.Name.Name)
		if o.Table.Name.Name == t.Name && t.Schema == "" {
			return "write " + policy.YAMLTable(o.Table.Name.Schema, o.Table.Name.Name) + " # its schema is not on the search_path"
		}
	}
	if near := schema.Nearest(t.Name, bare); near != "" {
		n := c.plan.Tables[slices.Index(bare, near)].Table.Name
		return "did you mean " + policy.YAMLTable(n.Schema, n.Name) + "? Names are exact and never folded"
	}
	return "check the name: it is exact and never folded"
}

func schemaNames(t *schema.Table) string { return strings.Join(t.ColumnNames(), ", ") }
