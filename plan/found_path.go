package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// writtenSteps is the length from which a tenant path must be written in the policy file: the
// longer an inferred path, the more likely it is the wrong one.
const writtenSteps = 3

// TenantPath describes how a policy's rows lead to their tenant.
type TenantPath struct {
	// Columns are the steps, as under `tenant` in the policy file.
	Columns  []string `json:"columns"`
	Inferred bool     `json:"inferred"` // the file has no `tenant`
	// Text names every column of the path, up to the tenant's key.
	Text string `json:"-"`
	// YAML is the equivalent value of `tenant`; empty if there is none.
	YAML string `json:"-"`
}

// TenantPath is the path of a plan without errors; nil if the policy has no tenants.
func (p *Plan) TenantPath() *TenantPath {
	path := p.Policy.Tenant
	if len(path.Steps) == 0 {
		path = p.foundPath
	}
	if p.NoTenant || len(path.Steps) == 0 || p.LastTable == nil {
		return nil
	}
	t := &TenantPath{Inferred: len(p.Policy.Tenant.Steps) == 0, Text: p.pathText(path.Steps)}
	if !p.unwritable {
		t.YAML = path.YAML()
	}
	for _, s := range path.Steps {
		t.Columns = append(t.Columns, s.String())
	}
	return t
}

// pathText is, for example, orders.shop_id -> shops.account_id -> accounts.id.
func (p *Plan) pathText(steps []policy.Step) string {
	table := p.Root.Table
	var parts []string
	for i, s := range steps {
		parts = append(parts, p.ShortName(table.Name)+"."+policy.QuoteName(s.Column))
		if i < len(p.Hops) {
			table = p.Hops[i].Table
		}
	}
	if t := p.Tenants.Table; t != nil && t != p.LastTable {
		parts = append(parts, p.ShortName(t.Name)+"."+policy.QuoteName(p.Tenants.Key.Name))
	}
	return strings.Join(parts, " -> ")
}

// ShortName omits the schema if it is the root's.
func (p *Plan) ShortName(n schema.Name) string {
	if n.Schema == p.Root.Table.Name.Schema {
		return policy.QuoteName(n.Name)
	}
	return n.String()
}

// findPath infers a path that the file does not specify. An inferred path that is long, or that has
// nullable columns, is an error: then the file has to specify it.
func (c *compiler) findPath() error {
	keys, err := c.shortestPath()
	if err != nil {
		return err
	}
	if err := c.followKeys(keys); err != nil {
		return err
	}
	p, path := c.plan, c.spell(keys)
	p.foundPath, p.unwritable = path, unwritable(keys, path)
	why := ""
	switch nullable := c.nullableStep(keys); {
	case len(path.Steps) >= writtenSteps:
		why = fmt.Sprintf("it has more than %d steps", writtenSteps-1)
	case nullable != "":
		why = nullable + " can be NULL, and rows without it are never deleted"
	default:
		return nil
	}
	fix := tenantFix(path.Steps)
	if p.unwritable {
		fix = "write another path under tenant: each column of a key of this one is part of several foreign keys"
	}
	c.fail(p.Policy.Table.Pos, fix, "the inferred tenant path, %s, must be written in the policy: %s", p.pathText(path.Steps), why)
	return nil
}

// nullableStep names a column of the path that can be NULL; "" if there is none.
func (c *compiler) nullableStep(keys []schema.ForeignKey) string {
	table := c.plan.Root.Table
	for i, k := range keys {
		for _, name := range k.ChildColumns {
			if column, ok := table.Column(name); ok && !column.NotNull {
				return c.plan.ShortName(table.Name) + "." + policy.QuoteName(name)
			}
		}
		if i < len(c.plan.Hops) {
			table = c.plan.Hops[i].Table
		}
	}
	return ""
}

// spell translates a path of foreign keys to the file's notation, ending in the column that holds
// the tenant's key.
func (c *compiler) spell(keys []schema.ForeignKey) policy.Path {
	var path policy.Path
	key := c.plan.Tenants.Key.Name
	for i, k := range keys {
		if at := slices.Index(k.ParentColumns, key); i == len(keys)-1 && at >= 0 {
			path.Steps = append(path.Steps, policy.Step{Column: k.ChildColumns[at]})
			return path
		}
		path.Steps = append(path.Steps, c.spellKey(k))
	}
	path.Steps = append(path.Steps, policy.Step{Column: key})
	return path
}

// spellKey is the step along a foreign key: a column that is part of no other key, searched from
// the end, since composite keys often start with the tenant's. If there is none, the step names its
// target.
func (c *compiler) spellKey(k schema.ForeignKey) policy.Step {
	for _, name := range slices.Backward(k.ChildColumns) {
		if leads := c.graph.KeysOver(k.Child, name); len(leads) == 1 && schema.SameColumns(leads[0], k) {
			return policy.Step{Column: name}
		}
	}
	return policy.Step{
		Column: k.ChildColumns[0], ToColumn: k.ParentColumns[0],
		Table: policy.Table{Schema: k.ParentName.Schema, Name: k.ParentName.Name},
	}
}

// unwritable reports whether the file cannot express a key of the path: it is composite, and each
// of its columns is part of another key too.
func unwritable(keys []schema.ForeignKey, path policy.Path) bool {
	for i, k := range keys {
		if len(k.ChildColumns) > 1 && path.Steps[i].Table.IsSet() {
			return true
		}
	}
	return false
}

// shortestPath is the only shortest path over foreign keys from the root to the tenants' table.
func (c *compiler) shortestPath() ([]schema.ForeignKey, error) {
	pos := c.plan.Policy.Table.Pos
	fix := "name the columns that lead to the tenants (tenant: [column, …]), or write tenant: none and a retention"
	if c.tenant == nil {
		c.fail(pos, fix, "the tenant path from %s cannot be inferred if tenants is a query", c.plan.Root.Table.Name)
		return nil, errStop
	}
	found := c.graph.ShortestPaths(c.plan.Root.Table.OID, c.tenant.OID)
	if len(found) == 1 {
		return found[0], nil
	}
	if len(found) > 1 {
		paths := make([]string, len(found))
		for i, keys := range found {
			paths[i] = c.spell(keys).YAML()
		}
		slices.Sort(paths)
		c.fail(pos, c.oneOfFix(), "several shortest paths lead from %s to %s: %s",
			c.plan.Root.Table.Name, c.tenant.Name, strings.Join(paths, " or "))
		return nil, errStop
	}
	c.fail(pos, fix, "no foreign keys lead from %s to %s", c.plan.Root.Table.Name, c.tenant.Name)
	return nil, errStop
}

// followKeys makes the path from foreign keys, composite ones included.
func (c *compiler) followKeys(keys []schema.ForeignKey) error {
	last := keys[len(keys)-1]
	table := c.plan.Root.Table
	for _, k := range keys[:len(keys)-1] {
		if err := c.graph.Load(c.ctx, c.conn, k.Parent); err != nil {
			return err
		}
		h := c.keyHop(table, &k)
		table = h.Table
		c.plan.Hops = append(c.plan.Hops, h)
	}
	end := c.plan.Tenants.Key.Name
	if i := slices.Index(last.ParentColumns, end); i >= 0 {
		end = last.ChildColumns[i]
	} else {
		// The key references another column of the tenants: one more hop.
		h := c.keyHop(table, &last)
		table = h.Table
		c.plan.Hops = append(c.plan.Hops, h)
	}
	column, err := c.column(table, end, c.plan.Policy.Table.Pos)
	if err != nil {
		return err
	}
	c.plan.LastTable, c.plan.Last = table, column
	return nil
}
