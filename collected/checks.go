package collected

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// Checks is a list of SQL conditions, each true if something is wrong, with the error text for
// each.
type Checks struct {
	s            *pg.Statement
	tests, Texts []string
}

// rows adds a check that no row of the node's table satisfies the condition.
func (c *Checks) rows(n *plan.Node, condition, text string) {
	c.tests = append(c.tests, "EXISTS (SELECT FROM "+schema.From(n.Table)+" WHERE "+condition+")")
	c.Texts = append(c.Texts, text)
}

// SQL evaluates all checks in one statement. There is at least one.
func (c *Checks) SQL() *pg.Statement { return c.s.Add("SELECT ", strings.Join(c.tests, ",\n       ")) }

// RowChecks verifies, after a batch, that its rows are gone. It also finds rows that a trigger
// inserted in their place.
func RowChecks(p *plan.Plan, m *plan.Traversal, known map[*plan.Node]*Rows, keys pg.Values, locked bool) *Checks {
	c := &Checks{s: &pg.Statement{}}
	s, add := c.s, c.rows
	if keys != nil {
		add(p.Root, p.KeyCondition(s, keys), p.Root.Stays())
	}
	for _, n := range p.Nodes {
		r := known[n]
		if n == p.Root && r != nil {
			r = r.Slice(keys.Len(), r.Len())
		}
		if r != nil && r.Len() > 0 {
			add(n, located(s, n.Table, r)+stillBehind(s, n, m, known, locked), n.Stays())
		}
	}
	for _, e := range p.Edges {
		r := known[e.Parent]
		if r == nil || r.Len() == 0 || e.Action == plan.ByKeep || !m.Walks(e) {
			continue
		}
		text, condition := e.Child.Stays(), uncleared(s, e, r)
		if e.Action.Clears() {
			text = fmt.Sprintf("rows of %s still reference deleted rows (%s) after their reference was emptied: %s", e.Child.Table.Name, e.Label(), e.Child.Fires())
		}
		add(e.Child, condition, text)
	}
	return c
}

// BehindChecks verifies that the rows behind an edge are deleted, or their reference cleared.
func BehindChecks(e *plan.Edge, r *Rows) *Checks {
	c := &Checks{s: &pg.Statement{}}
	condition := ""
	if e.Action.Clears() {
		condition = clearing(c.s, e, nil, map[*plan.Node]*Rows{e.Parent: r})
	} else {
		condition = behind(c.s, e, r)
	}
	c.rows(e.Child, condition, fmt.Sprintf("rows of %s were not changed: %s", e.Child.Table.Name, e.Child.Fires()))
	return c
}

// DueChecks verifies that rows which were due before a reference in them was cleared still are.
func DueChecks(due []DueRows) *Checks {
	c := &Checks{s: &pg.Statement{}}
	for _, d := range due {
		c.tests, c.Texts = append(c.tests, d.notDueSQL(c.s)), append(c.Texts, d.text())
	}
	return c
}

// YoungRootsSQL reports whether any of the roots is no longer expired by the tenant's cutoff.
func YoungRootsSQL(p *plan.Plan, sc expiry.Scope, t *plan.TenantCutoff, keys pg.Values) *pg.Statement {
	s := &pg.Statement{}
	a := schema.Col(p.Root.Table, p.Age.Column.Name)
	return s.Add("SELECT EXISTS (SELECT FROM ", schema.From(p.Root.Table), " WHERE ", p.KeyCondition(s, keys),
		" AND (", p.Age.Expired(a, s.Cast(t.Cutoff, "timestamptz")), p.WhereCondition(s, sc, keys), ") IS NOT TRUE)")
}

// DueRows are rows behind an edge that are due under a policy, read before the edge is cleared.
type DueRows struct {
	Edge   *plan.Edge
	Age    plan.RootAge
	Cutoff string // timestamptz as text
	Key    pg.Values
}

// LockSQL locks the due rows that reference r, and gathers their keys.
func (d DueRows) LockSQL(r *Rows) *pg.Statement {
	s := &pg.Statement{}
	n := d.Edge.Child
	selected, names := plan.Numbered(schema.Cols(n.Table, plan.ColumnNames(n.Key)))
	inner := "SELECT " + strings.Join(selected, ", ") + " FROM " + schema.From(n.Table) + " WHERE " + behind(s, d.Edge, r) +
		" AND " + d.expired(s) + " FOR UPDATE OF " + pg.Ident(n.Table.Name.Name)
	return s.Add(pg.Gathered(inner, names))
}

func (d DueRows) expired(s *pg.Statement) string {
	cutoff := s.Cast(d.Cutoff, "timestamptz")
	if d.Age.Latest != nil {
		cutoff = d.Age.Latest(cutoff)
	}
	return d.Age.Age.Expired(schema.Col(d.Edge.Child.Table, d.Age.Age.Column.Name), cutoff)
}

// notDueSQL tests whether any of the rows still exists and is no longer due.
func (d DueRows) notDueSQL(s *pg.Statement) string {
	n := d.Edge.Child
	return "EXISTS (SELECT FROM " + schema.From(n.Table) + " WHERE " + schema.Among(s, schema.Themselves(n.Key, n.KeyOrders), schema.Cols(n.Table, plan.ColumnNames(n.Key)), d.Key, true) + " AND (" + d.expired(s) + ") IS NOT TRUE)"
}

func (d DueRows) text() string {
	return fmt.Sprintf("rows of %s that were due (policy %s) no longer are after their reference (%s) was emptied: %s", d.Edge.Child.Table.Name, d.Age.Policy, d.Edge.Label(), d.Edge.Child.Fires())
}
