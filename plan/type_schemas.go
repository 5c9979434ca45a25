package plan

import (
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/schema"
)

// typeSchemas are the schemas, except pg_catalog, of the types and operators that the plan's
// comparisons name. The role needs USAGE on them.
func (p *Plan) typeSchemas() []string {
	var names []string
	add := func(schemas ...string) {
		for _, s := range schemas {
			if s != "" && s != "pg_catalog" && !slices.Contains(names, s) {
				names = append(names, s)
			}
		}
	}
	pairs := []schema.Comparison{}
	if !p.NoTenant && p.Owner.Op != nil {
		pairs = append(pairs, p.Owner, p.Tenants.Same)
	}
	for _, h := range p.Hops {
		pairs = append(pairs, h.Pairs...)
	}
	for _, e := range p.Edges {
		pairs = append(pairs, e.Pairs...)
	}
	for i, k := range p.Key {
		pairs = append(pairs, schema.Itself(k, p.KeyOrders[i]))
	}
	for _, x := range pairs {
		add(x.Op.Schema, x.Ours.TypeSchema, x.Theirs.TypeSchema)
	}
	slices.Sort(names)
	return names
}

// checkTypeSchemas records the schemas of types and operators on which the role lacks USAGE.
func (c *compiler) checkTypeSchemas() error {
	schemas := c.plan.typeSchemas()
	if len(schemas) == 0 {
		return nil
	}
	var lacking []string
	err := c.conn.QueryRow(c.ctx, `SELECT coalesce(array_agg(n.nspname::text ORDER BY n.nspname), '{}') FROM pg_namespace n WHERE n.nspname = ANY ($1::text[]) AND NOT has_schema_privilege(n.oid, 'USAGE')`, schemas).Scan(&lacking)
	if err != nil {
		return fmt.Errorf("reading the privileges on schemas of types: %w", err)
	}
	for _, s := range lacking {
		c.missingUsage(s, ", which has types or operators that references are compared by")
	}
	return nil
}
