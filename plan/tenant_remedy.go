package plan

import (
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// tenantFix suggests a whole tenant path, in the file's notation.
func tenantFix(steps []policy.Step) string {
	return "write tenant: " + policy.Path{Steps: steps}.YAML()
}

// stepsBefore are the policy's steps before this one.
func (c *compiler) stepsBefore(s policy.Step) []policy.Step {
	steps := c.plan.Policy.Tenant.Steps
	return slices.Clone(steps[:slices.Index(steps, s)])
}

// stepsAlong are the steps along foreign keys to the column that holds the tenant's key; nil if the
// file cannot express them.
func (c *compiler) stepsAlong(keys []schema.ForeignKey) []policy.Step {
	path := c.spell(keys)
	if unwritable(keys, path) {
		return nil
	}
	return path.Steps
}

// pathsFrom are the shortest paths from a table to the tenants, as steps.
func (c *compiler) pathsFrom(table uint32) (paths [][]policy.Step) {
	if c.tenant == nil {
		return nil
	}
	if table == c.tenant.OID {
		return [][]policy.Step{{{Column: c.plan.Tenants.Key.Name}}}
	}
	for _, keys := range c.graph.ShortestPaths(table, c.tenant.OID) {
		if steps := c.stepsAlong(keys); steps != nil {
			paths = append(paths, steps)
		}
	}
	slices.SortFunc(paths, func(x, y []policy.Step) int { return strings.Compare(tenantFix(x), tenantFix(y)) })
	return paths
}

// oneOfFix suggests one of the shortest paths from the root; the comment lists all.
func (c *compiler) oneOfFix() string {
	paths := c.pathsFrom(c.plan.Root.Table.OID)
	if len(paths) == 0 {
		return "name the columns of one of them"
	}
	all := make([]string, len(paths))
	for i, p := range paths {
		all[i] = policy.Path{Steps: p}.YAML()
	}
	return tenantFix(paths[0]) + " # choose the one that says who owns the rows: " + visible.Text(strings.Join(all, " or "))
}

// continueFix suggests the file's path, continued from the table that its last column references.
func (c *compiler) continueFix(k *schema.ForeignKey) string {
	steps := c.plan.Policy.Tenant.Steps
	step, rest := c.spellKey(*k), c.pathsFrom(k.Parent)
	if len(steps) == 0 || len(k.ChildColumns) > 1 && step.Table.IsSet() || len(rest) == 0 {
		return "end the path with a column that holds the tenant's key"
	}
	return tenantFix(slices.Concat(c.stepsBefore(steps[len(steps)-1]), []policy.Step{step}, rest[0]))
}

// endFix suggests the path without the final arrow, or continued from the arrow's target if that is
// not the tenants' key.
func (c *compiler) endFix(s policy.Step) string {
	to := c.resolve(s.Table)
	if c.tenant == nil || to == c.tenant.OID && s.ToColumn == c.plan.Tenants.Key.Name {
		return tenantFix(append(c.stepsBefore(s), policy.Step{Column: s.Column}))
	}
	rest := c.pathsFrom(to)
	if len(rest) == 0 {
		return "end the path with the column that holds the key, without ->"
	}
	return tenantFix(slices.Concat(c.stepsBefore(s), []policy.Step{s}, rest[0]))
}

// keyEndFix suggests the path along foreign keys, if there is exactly one.
func (c *compiler) keyEndFix() string {
	if paths := c.pathsFrom(c.plan.Root.Table.OID); len(paths) == 1 {
		return tenantFix(paths[0])
	}
	return "end the path with a column that holds the tenant's key"
}

// whereFix suggests, for a step that several keys match, the key whose table has the column of the
// next step.
func (c *compiler) whereFix(s policy.Step, keys []schema.ForeignKey) string {
	steps := c.plan.Policy.Tenant.Steps
	at := slices.Index(steps, s)
	for _, k := range keys {
		step := c.spellKey(k)
		if len(k.ChildColumns) > 1 && step.Table.IsSet() || c.graph.Load(c.ctx, c.conn, k.Parent) != nil {
			continue
		}
		if _, ok := c.graph.Tables[k.Parent].Column(steps[at+1].Column); !ok {
			continue
		}
		return tenantFix(slices.Concat(c.stepsBefore(s), []policy.Step{step}, steps[at+1:]))
	}
	return "write where it leads: " + s.String() + " -> table.column"
}
