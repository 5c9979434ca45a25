package purge

import (
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// tenantFix is a whole tenant path, as the policy file has it.
func tenantFix(steps []string) string {
	return "write tenant: [" + list(len(steps), func(i int) string { return policy.YAMLScalar(steps[i]) }) + "]"
}

// stepText is a step as the policy file has it.
func stepText(s policy.Step) string {
	if !s.Table.IsSet() {
		return policy.QuoteName(s.Column)
	}
	return policy.QuoteName(s.Column) + " -> " + s.Table.String() + "." + policy.QuoteName(s.ToColumn)
}

// stepsBefore are the steps of the policy before one of them.
func (c *compiler) stepsBefore(s policy.Step) (texts []string) {
	for _, before := range c.plan.Policy.Tenant.Steps {
		if before == s {
			break
		}
		texts = append(texts, stepText(before))
	}
	return texts
}

// keyStep is the step along a foreign key; empty: no step says that it is this key.
func (c *compiler) keyStep(k *schema.ForeignKey) string {
	for _, column := range k.ChildColumns {
		if keys := c.leading(k.Child, column); len(keys) == 1 && sameColumns(keys[0], *k) {
			return policy.QuoteName(column)
		}
	}
	if len(k.ChildColumns) > 1 {
		return ""
	}
	to := policy.Table{Schema: k.ParentName.Schema, Name: k.ParentName.Name}
	return stepText(policy.Step{Column: k.ChildColumns[0], Table: to, ToColumn: k.ParentColumns[0]})
}

// stepsAlong are the steps along foreign keys up to the tenants' table, and the column
// that holds the tenant's key; nil: steps cannot say this.
func (c *compiler) stepsAlong(keys []schema.ForeignKey) (steps []string) {
	end := c.plan.tenants.key.Name
	for i := range keys {
		if at := slices.Index(keys[i].ParentColumns, end); i == len(keys)-1 && at >= 0 {
			return append(steps, policy.QuoteName(keys[i].ChildColumns[at]))
		}
		step := c.keyStep(&keys[i])
		if step == "" {
			return nil
		}
		steps = append(steps, step)
	}
	return append(steps, policy.QuoteName(end))
}

// pathsFrom are the shortest paths from a table to the tenants, as steps.
func (c *compiler) pathsFrom(table uint32) (paths [][]string) {
	if c.tenant == nil {
		return nil
	}
	if table == c.tenant.OID {
		return [][]string{{policy.QuoteName(c.plan.tenants.key.Name)}}
	}
	for _, keys := range c.shortest(table, c.tenant.OID) {
		if steps := c.stepsAlong(keys); steps != nil {
			paths = append(paths, steps)
		}
	}
	slices.SortFunc(paths, slices.Compare)
	return paths
}

// oneOfFix is one of the shortest paths from the root; the comment names all.
func (c *compiler) oneOfFix() string {
	paths := c.pathsFrom(c.plan.Root.Table.OID)
	if len(paths) == 0 {
		return "name the columns of one of them"
	}
	all := make([]string, len(paths))
	for i, p := range paths {
		all[i] = "[" + strings.Join(p, ", ") + "]"
	}
	return tenantFix(paths[0]) + " # choose the one that says who owns the rows: " + visible.Text(strings.Join(all, " or "))
}

// continueFix is the path of the file, continued from the table that its last column
// references.
func (c *compiler) continueFix(k *schema.ForeignKey) string {
	steps := c.plan.Policy.Tenant.Steps
	step, rest := c.keyStep(k), c.pathsFrom(k.Parent)
	if len(steps) == 0 || step == "" || len(rest) == 0 {
		return "end the path with a column that holds the tenant's key"
	}
	return tenantFix(slices.Concat(c.stepsBefore(steps[len(steps)-1]), []string{step}, rest[0]))
}

// endFix is the path without the arrow at its end, or continued where the arrow leads to
// another table than the tenants'.
func (c *compiler) endFix(s policy.Step) string {
	to := c.resolve(s.Table)
	if c.tenant == nil || to == c.tenant.OID && s.ToColumn == c.plan.tenants.key.Name {
		return tenantFix(append(c.stepsBefore(s), policy.QuoteName(s.Column)))
	}
	rest := c.pathsFrom(to)
	if len(rest) == 0 {
		return "end the path with the column that holds the key, without ->"
	}
	return tenantFix(slices.Concat(c.stepsBefore(s), []string{stepText(s)}, rest[0]))
}

// keyEndFix is the path by foreign keys, where there is one.
func (c *compiler) keyEndFix() string {
	if paths := c.pathsFrom(c.plan.Root.Table.OID); len(paths) == 1 {
		return tenantFix(paths[0])
	}
	return "end the path with a column that holds the tenant's key"
}

// whereFix says of a step, which several keys could be, the one from whose table the
// path of the file goes on.
func (c *compiler) whereFix(s policy.Step, keys []schema.ForeignKey) string {
	steps := c.plan.Policy.Tenant.Steps
	at := slices.Index(steps, s)
	for _, k := range keys {
		step := c.keyStep(&k)
		if step == "" || c.graph.Load(c.ctx, c.conn, k.Parent) != nil {
			continue
		}
		if _, ok := c.graph.Tables[k.Parent].Column(steps[at+1].Column); !ok {
			continue
		}
		path := append(c.stepsBefore(s), step)
		for _, after := range steps[at+1:] {
			path = append(path, stepText(after))
		}
		return tenantFix(path)
	}
	return "write where it leads: " + stepText(s) + " -> table.column"
}
