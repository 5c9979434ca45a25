package plan

import (
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// onPath is a table on a policy's path to its tenants.
type onPath struct {
	policy  *policy.Policy
	table   uint32
	columns []string // that lead rows to their tenant
	rows    bool     // false for the root, whose rows no others need
}

// checkTenantPaths refuses a plan that deletes or clears what any policy needs to find its tenants:
// rows without a tenant are never deleted.
func (c *compiler) checkTenantPaths() error {
	p := c.plan
	for i := range c.file.Policies {
		for _, x := range c.tenantPathOf(&c.file.Policies[i]) {
			for _, n := range p.Nodes {
				if slices.Contains(c.graph.Family(x.table), n.Table.OID) || slices.Contains(c.graph.Family(n.Table.OID), x.table) {
					c.checkOnPath(x, n)
				}
			}
		}
	}
	return nil
}

// checkOnPath refuses what the plan does to a node that is on a path.
func (c *compiler) checkOnPath(x onPath, n *Node) {
	p := c.plan
	whose := "policy " + x.policy.Name + " finds its tenants"
	if x.policy == p.Policy {
		whose = "the policy itself finds its tenants"
	}
	own := x.policy == p.Policy && n != p.Root // reported by guards
	if x.rows && n.Deleted && !own && !(n == p.Root && c.tenant != nil && n.Table == c.tenant) {
		c.refusePathDeletion(n, whose)
	}
	for _, e := range n.In {
		for _, column := range e.SetColumns {
			if e.Action.Clears() && slices.Contains(x.columns, column) {
				pos, fix := c.keepFix(e, "or delete; or give the policy another tenant path")
				c.fail(pos, fix, "%s.%s is emptied (%s, %s), and %s by it: rows without a tenant are never deleted", n.Table.Name, column, e.Label(), e.Action, whose)
			}
		}
	}
}

// refusePathDeletion refuses deletion from a node: the root, or each deleting edge into it.
func (c *compiler) refusePathDeletion(n *Node, whose string) {
	if n == c.plan.Root {
		c.plan.AddProblem(LevelError, fmt.Sprintf("rows of %s are deleted, and %s through them: rows whose path to a tenant is gone are never deleted", n.Table.Name, whose),
			"use another tenant path (a column of the table itself), or delete the rows below them as dependents of this policy")
		return
	}
	for _, e := range n.In {
		if e.Action.Deletes() {
			pos, fix := c.keepFix(e, "or give the policy another tenant path")
			c.fail(pos, fix, "rows of %s are deleted (%s), and %s through them: rows whose path to a tenant is gone are never deleted", n.Table.Name, e.Label(), whose)
		}
	}
}

// tenantPathOf is a policy's path from its root to the tenants, from the catalog alone. It omits
// what it cannot determine; the policy's own plan reports that.
func (c *compiler) tenantPathOf(p *policy.Policy) (path []onPath) {
	if p.Tenant.None {
		return nil
	}
	at := c.resolve(p.Table)
	if len(p.Tenant.Steps) == 0 {
		return c.shortestPathOf(p, at)
	}
	for i, s := range p.Tenant.Steps {
		step := onPath{policy: p, table: at, columns: []string{s.Column}, rows: i > 0}
		next := uint32(0)
		if s.Table.IsSet() {
			next = c.resolve(s.Table)
		} else if keys := c.graph.KeysOver(at, s.Column); i < len(p.Tenant.Steps)-1 && len(keys) == 1 {
			step.columns, next = keys[0].ChildColumns, keys[0].Parent
		}
		path = append(path, step)
		if at = next; at == 0 {
			return path
		}
	}
	return path
}

func (c *compiler) shortestPathOf(p *policy.Policy, at uint32) (path []onPath) {
	if c.file.Tenants == nil || at == 0 {
		return nil
	}
	to := c.resolve(c.file.Tenants.Table)
	found := c.graph.ShortestPaths(at, to)
	if len(found) != 1 {
		return nil
	}
	for i, k := range found[0] {
		path = append(path, onPath{policy: p, table: at, columns: k.ChildColumns, rows: i > 0})
		at = k.Parent
	}
	return path
}

// keyHop is one step along a foreign key. The referenced table is loaded.
func (c *compiler) keyHop(table *schema.Table, k *schema.ForeignKey) Hop {
	to := c.graph.Tables[k.Parent]
	return Hop{Table: to, From: k.ChildColumns, To: k.ParentColumns, Pairs: c.graph.Comparisons(k, table, to)}
}

// declaredHop is one step to a unique column, as the file declares it.
func (c *compiler) declaredHop(table, to *schema.Table, s policy.Step) (Hop, error) {
	theirs, _ := table.Column(s.Column)
	ours, _ := to.Column(s.ToColumn)
	pair, err := c.graph.Comparing(c.ctx, c.conn, ours, theirs, uniqueFamily(to, s.ToColumn))
	if err != nil {
		return Hop{}, err
	}
	if pair == nil {
		c.fail(s.Pos, "lead to a column of the same type", "%s.%s is %s and cannot be compared with %s.%s, which is %s", table.Name, theirs.Name, theirs.Type, to.Name, ours.Name, ours.Type)
		return Hop{}, errStop
	}
	return Hop{Table: to, From: []string{s.Column}, To: []string{s.ToColumn}, Pairs: []schema.Comparison{*pair}}, nil
}

// checkPathComparisons refuses a path with an ambiguous comparison (see checkComparison).
func (c *compiler) checkPathComparisons() error {
	p := c.plan
	pairs := []schema.Comparison{p.Owner, p.Tenants.Same}
	for _, h := range p.Hops {
		pairs = append(pairs, h.Pairs...)
	}
	if what := c.graph.Stable(pairs); what != "" {
		c.fail(p.Policy.Tenant.Pos, "give both columns the same type", "the tenant path compares %s: the answer depends on the TimeZone", what)
		return errStop
	}
	for _, x := range pairs {
		if x.Crossed(x.Theirs) {
			c.fail(p.Policy.Tenant.Pos, "give both columns the same collation", "the tenant path compares %s with %s, which has another collation, and that of %s is not deterministic", x.Theirs.Name, x.Ours.Name, x.Theirs.Name)
			return errStop
		}
	}
	return nil
}
