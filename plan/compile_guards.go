package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// guards records what prevents or endangers deletion: missing privileges and indexes, row-level
// security, triggers, edges that would delete tenants.
func (c *compiler) guards() error {
	p := c.plan
	for _, n := range p.Nodes {
		c.tableGuards(n)
	}
	for _, e := range p.Edges {
		if err := c.edgeGuards(e); err != nil {
			return err
		}
	}
	c.checkVacuumPrivilege()
	c.checkNeeds()
	read := []*schema.Table{p.Tenants.Table}
	for _, h := range p.Hops {
		read = append(read, h.Table)
	}
	for _, t := range read {
		if t == nil {
			continue
		}
		c.schemaUsage(t)
		if !t.CanSelect {
			c.missingPrivilege(t.Name, "SELECT")
		}
		c.rowSecurity(t)
		for _, n := range p.Nodes {
			if n.Table == t && n != p.Root {
				c.refuseDeletingEdges(n, "%s determines who owns rows, but a deleting edge leads to it: %s")
			}
		}
	}
	if !p.NoTenant && p.Tenants.Table == p.Root.Table {
		p.AddProblem(LevelError, fmt.Sprintf("%s is the tenants' table and cannot be a policy's root", p.Root.Table.Name), "name another table")
	}
	return nil
}

// refuseDeletingEdges refuses every edge that deletes rows of a table whose rows must stay.
func (c *compiler) refuseDeletingEdges(n *Node, format string) {
	for _, e := range n.In {
		if e.Action.Deletes() {
			pos, fix := c.keepFix(e, orNullify(e))
			c.fail(pos, fix, format, n.Table.Name, e.Label())
		}
	}
}

func (c *compiler) missingPrivilege(name schema.Name, privilege string) {
	before := len(c.plan.Problems)
	c.failOnce(fmt.Sprintf("role %s lacks %s on %s", c.server.Role, privilege, name), c.grantFix(privilege, name))
	for i := range c.plan.Problems[before:] {
		c.plan.Problems[before+i].OnlyDeleting = privilege != "SELECT"
	}
}

// grantFix grants a privilege on a table.
func (c *compiler) grantFix(privilege string, name schema.Name) string {
	return fmt.Sprintf("GRANT %s ON %s TO %s;", privilege, pg.Ident(name.Schema, name.Name), pg.Ident(c.server.Role))
}

func (c *compiler) schemaUsage(t *schema.Table) {
	if !t.CanUseSchema {
		c.missingUsage(t.Name.Schema, "")
	}
}

// missingUsage records that the role lacks USAGE on a schema.
func (c *compiler) missingUsage(name, why string) {
	c.failOnce(fmt.Sprintf("role %s may not use schema %s%s", c.server.Role, name, why),
		fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", pg.Ident(name), pg.Ident(c.server.Role)))
}

// failOnce records an error unless one with the same fix exists.
func (c *compiler) failOnce(text, fix string) {
	if !slices.ContainsFunc(c.plan.Problems, func(p Problem) bool { return p.Level == LevelError && p.Fix == fix }) {
		c.plan.AddProblem(LevelError, text, fix)
	}
}

func (c *compiler) rowSecurity(t *schema.Table) {
	if t.RowSecurity {
		c.plan.AddProblem(LevelError, fmt.Sprintf("row-level security hides rows of %s from role %s", t.Name, c.server.Role),
			"ALTER ROLE "+pg.Ident(c.server.Role)+" BYPASSRLS; -- or run as the table's owner")
	}
}

func (c *compiler) tableGuards(n *Node) {
	t := n.Table
	c.schemaUsage(t)
	if !t.CanSelect {
		c.missingPrivilege(t.Name, "SELECT")
	}
	c.rowSecurity(t)
	if n.Deleted {
		c.deletedGuards(n)
	}
	c.checkTriggers(n)
	c.checkRedacted(n)
	c.checkPublications(n)
	for _, e := range n.In {
		if !e.Action.Clears() {
			continue
		}
		for _, column := range e.SetColumns {
			if !slices.Contains(t.UpdateColumns, column) {
				c.missingPrivilege(t.Name, "UPDATE ("+pg.Ident(column)+")")
			}
		}
	}
}

func (c *compiler) deletedGuards(n *Node) {
	p, t := c.plan, n.Table
	if t.Kind != schema.Ordinary && t.Kind != schema.Partitioned {
		c.refuseDeletingEdges(n, "%s is not an ordinary table, and a deleting edge leads to it: %s")
	}
	if t.Kind == schema.Ordinary && len(t.Children) > 0 && n != p.Root {
		p.AddProblem(LevelWarning, fmt.Sprintf("other tables inherit from %s: foreign keys do not see their rows, and neither does reaper", t.Name), "make it a partitioned table")
	}
	if !t.CanDelete {
		c.missingPrivilege(t.Name, "DELETE")
	}
	if !t.CanUpdate {
		c.checkCanLock(n)
	}
	if n == p.Root {
		return
	}
	for i := range c.file.Policies {
		other := &c.file.Policies[i]
		if other != p.Policy && c.names(other.Table, t.OID) {
			p.AddProblem(LevelWarning, fmt.Sprintf("dependent %s is the root of policy %s: here its rows are deleted with %s, whatever their own age", t.Name, other.Name, p.Root.Table.Name),
				"make sure that is meant, or decide keep")
		}
	}
	c.warnOtherTenants(n)
}

// checkCanLock records that the role cannot lock rows of a table: an error if every batch needs to, a
// warning if only a drain does.
func (c *compiler) checkCanLock(n *Node) {
	column := pg.Ident(lockColumn(c.plan, n))
	switch {
	case n == c.plan.Root || c.plan.Policy.Archive || n.NeedsLock() || newTraversal(c.plan, false).Collected[n]:
		c.missingPrivilege(n.Table.Name, "UPDATE ("+column+")")
	case n.hasDependents():
		c.plan.AddProblem(LevelWarning, fmt.Sprintf("role %s lacks UPDATE on a column of %s: a root with more dependents than a batch may hold cannot be drained", c.server.Role, n.Table.Name),
			c.grantFix("UPDATE ("+column+")", n.Table.Name))
	}
}

// NeedsLock reports whether rows of the table are locked before a keeping edge is checked. An
// undecided edge may become a keeping one.
func (n *Node) NeedsLock() bool {
	seen := map[*Node]bool{}
	var leads func(*Node) bool
	leads = func(m *Node) bool {
		if seen[m] {
			return false
		}
		seen[m] = true
		for _, e := range m.Out {
			if e.Action == ByKeep || e.Action == undecided || e.Action.Deletes() && leads(e.Child) {
				return true
			}
		}
		return false
	}
	return leads(n)
}

// lockColumn is the column whose UPDATE privilege allows FOR UPDATE.
func lockColumn(p *Plan, n *Node) string {
	if n == p.Root && len(p.Key) > 0 {
		return p.Key[0].Name
	}
	return n.Table.Columns[0].Name
}

// warnOtherTenants warns about a dependent that references the tenants itself: its rows may belong to
// another tenant than their root.
func (c *compiler) warnOtherTenants(n *Node) {
	if c.tenant == nil {
		return
	}
	for _, k := range c.graph.Outgoing(n.Table.OID) {
		if k.Parent == c.tenant.OID {
			c.plan.AddProblem(LevelWarning, fmt.Sprintf("dependent %s references the tenants itself (%s): rows of another tenant than the root's would be deleted too", n.Table.Name, k.Name),
				"make sure that both always agree, or decide keep")
		}
	}
}

// checkComparison refuses a reference with an ambiguous comparison. Across two collations, when
// that of the referencing column is not deterministic, PostgreSQL checks by one and acts by the
// other. Across some types the result depends on the TimeZone.
func (c *compiler) checkComparison(e *Edge) {
	for _, x := range e.Pairs {
		if x.Crossed(x.Theirs) {
			c.plan.AddProblem(LevelError, fmt.Sprintf("%s compares %s.%s with %s.%s, which has another collation, and that of %s is not deterministic",
				e.Label(), e.Child.Table.Name, x.Theirs.Name, e.Parent.Table.Name, x.Ours.Name, x.Theirs.Name), "give both columns the same collation")
		}
	}
	if c.brokenSetNull(e) {
		c.plan.AddProblem(LevelError, fmt.Sprintf("%s of %s compares two collations, of which that of %s is not deterministic: ON DELETE SET NULL and SET DEFAULT leave rows behind there before PostgreSQL 15",
			e.Label(), e.Child.Table.Name, e.Parent.Table.Name), "give both columns the same collation")
	}
	if what := c.graph.Stable(e.Pairs); what != "" {
		c.plan.AddProblem(LevelError, fmt.Sprintf("%s of %s compares %s: the answer depends on the TimeZone, and ON DELETE itself leaves rows behind", e.Label(), e.Child.Table.Name, what),
			"give both columns the same type")
	}
}

// brokenSetNull reports whether PostgreSQL 14 gets the key's SET NULL or SET DEFAULT wrong.
func (c *compiler) brokenSetNull(e *Edge) bool {
	return c.server.Version < 150000 &&
		slices.ContainsFunc(e.Keys, func(k schema.ForeignKey) bool { return k.OnDelete == schema.SetNull || k.OnDelete == schema.SetDefault }) &&
		slices.ContainsFunc(e.Pairs, func(x schema.Comparison) bool { return x.Crossed(x.Ours) })
}

// refuseArrays refuses a reference over arrays: references are looked up by arrays of values.
func (c *compiler) refuseArrays(e *Edge) {
	for i := range e.ChildColumns {
		theirs, _ := e.Child.Table.Column(e.ChildColumns[i])
		ours, _ := e.Parent.Table.Column(e.ParentColumns[i])
		if !theirs.Array() && !ours.Array() {
			continue
		}
		fix := "reference a column of another type, or clean these tables without reaper"
		if e.Key == nil {
			fix = "match columns that are not arrays"
		}
		c.plan.AddProblem(LevelError, fmt.Sprintf("%s compares %s.%s with %s.%s: references over arrays are not supported",
			e.Label(), e.Child.Table.Name, theirs.Name, e.Parent.Table.Name, ours.Name), fix)
	}
}

func (c *compiler) edgeGuards(e *Edge) error {
	p := c.plan
	if e.Action.Deletes() && e.Child == p.Root {
		p.AddProblem(LevelWarning, fmt.Sprintf("%s leads back to the root table %s: rows that reference an expired root are deleted too, whatever their own age", e.Label(), p.Root.Table.Name),
			"make sure that is meant, or decide nullify or keep")
	}
	c.checkComparison(e)
	c.refuseArrays(e)
	if e.Index != "" {
		return nil
	}
	big, err := schema.HasMoreRows(c.ctx, c.conn, e.Child.Table, schema.UnindexedRows)
	known := lookup{analyzed: true}
	switch {
	case err != nil:
		big = true // assume the worst
	case big:
		if known, err = c.lookup(e); err != nil {
			return err
		}
		if e.Index = known.index; e.Index != "" {
			return nil
		}
	}
	return c.unindexed(e, big, known.analyzed)
}

// unindexed records that no index serves an edge.
func (c *compiler) unindexed(e *Edge, big, analyzed bool) error {
	fix, err := c.graph.IndexFix(c.ctx, c.conn, e.Child.Table, e.Pairs, nil)
	if err != nil {
		return err
	}
	level := LevelWarning
	if big && !c.plan.Policy.AllowUnindexed {
		level = LevelError
	}
	t := e.Child.Table.Name
	reader := "every batch"
	if e.Key != nil {
		reader = fmt.Sprintf("each deleted row of %s", e.Parent.Table.Name)
	}
	text := fmt.Sprintf("no index serves %s (%s) of %s: %s reads the whole table", e.Label(), strings.Join(e.ChildColumns, ", "), t, reader)
	if !analyzed {
		text += fmt.Sprintf("; %s has no statistics: after ANALYZE, an index that serves in part may count too", t)
	}
	c.plan.AddMissingIndex(e, level, text, fix)
	return nil
}
