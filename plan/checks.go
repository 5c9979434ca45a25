package plan

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// Checks are conditions, each true where something is wrong, and what that is.
type Checks struct {
	s            *pg.Statement
	tests, Texts []string
}

// rows adds the condition that there are such rows of a node.
func (c *Checks) rows(n *Node, condition, text string) {
	c.tests = append(c.tests, "EXISTS (SELECT FROM "+schema.From(n.Table)+" WHERE "+condition+")")
	c.Texts = append(c.Texts, text)
}

// SQL asks all of them at once. There is at least one.
func (c *Checks) SQL() *pg.Statement { return c.s.Add("SELECT ", strings.Join(c.tests, ",\n       ")) }

// RowChecks look at the rows of a batch after it has deleted them. Rows that a trigger has
// put in the place of others count as well.
func (p *Plan) RowChecks(m *Traversal, known map[*Node]*Rows, keys pg.Values, locked bool) *Checks {
	c := &Checks{s: &pg.Statement{}}
	s, add := c.s, c.rows
	if keys != nil {
		add(p.Root, p.keyed(s, keys), p.Root.Stays())
	}
	for _, n := range p.Nodes {
		r := known[n]
		if n == p.Root && r != nil {
			r = r.Slice(keys.Len(), r.Len())
		}
		if r != nil && r.Len() > 0 {
			add(n, at(s, n.Table, r)+stillBehind(s, n, m, known, locked), n.Stays())
		}
	}
	for _, e := range p.Edges {
		r := known[e.Parent]
		if r == nil || r.Len() == 0 || e.Action == ByKeep || !m.Walks(e) {
			continue
		}
		text := e.Child.Stays()
		if e.Action.Clears() {
			text = fmt.Sprintf("rows of %s still reference (%s) what goes, after their reference was emptied: %s", e.Child.Table.Name, e.Label(), e.Child.fires())
		}
		add(e.Child, behind(s, e, r), text)
	}
	return c
}

// Stays is the error where rows of the table are still there after they were deleted.
func (n *Node) Stays() string {
	return fmt.Sprintf("rows of %s are still there after they were deleted: %s", n.Table.Name, n.fires())
}

// BehindChecks look whether rows behind an edge are still there, or not emptied.
func BehindChecks(e *Edge, r *Rows) *Checks {
	c := &Checks{s: &pg.Statement{}}
	condition := ""
	if e.Action.Clears() {
		condition = clearing(c.s, e, nil, map[*Node]*Rows{e.Parent: r})
	} else {
		condition = behind(c.s, e, r)
	}
	c.rows(e.Child, condition, fmt.Sprintf("rows of %s stay as they are: %s", e.Child.Table.Name, e.Child.fires()))
	return c
}

// DueChecks look at rows that were due before a reference in them was emptied.
func DueChecks(due []DueRows) *Checks {
	c := &Checks{s: &pg.Statement{}}
	for _, d := range due {
		c.tests, c.Texts = append(c.tests, d.youngSQL(c.s)), append(c.Texts, d.text())
	}
	return c
}

// YoungRootsSQL tells whether any of the roots is no longer expired by the tenant's cutoff.
func (p *Plan) YoungRootsSQL(sc expiry.Scope, t *TenantCutoff, keys pg.Values) *pg.Statement {
	s := &pg.Statement{}
	a := schema.Col(p.Root.Table, p.Age.Column.Name)
	return s.Add("SELECT EXISTS (SELECT FROM ", schema.From(p.Root.Table), " WHERE ", p.keyed(s, keys),
		" AND (", p.Age.Expired(a, s.Cast(t.Cutoff, "timestamptz")), p.meant(s, sc, keys), ") IS NOT TRUE)")
}

// rootAge is an age by which a policy of the file finds rows of a table that this plan
// empties references of.
type rootAge struct {
	policy string
	age    expiry.Age
	// latest is the latest cutoff of its tenants, as SQL over the run's start; empty: this
	// plan's own, which is that of the batch.
	Latest func(base string) string
}

// DueRows are rows behind an edge that are due under a policy, before the edge is
// emptied.
type DueRows struct {
	Edge   *Edge
	Age    rootAge
	Cutoff string // timestamptz as text
	Key    pg.Values
}

// LockSQL locks the rows, and gathers their keys. r are the rows that their edge
// references.
func (d DueRows) LockSQL(r *Rows) *pg.Statement {
	s := &pg.Statement{}
	n := d.Edge.Child
	selected, names := numbered(schema.Cols(n.Table, ColumnNames(n.Key)))
	inner := "SELECT " + strings.Join(selected, ", ") + " FROM " + schema.From(n.Table) + " WHERE " + behind(s, d.Edge, r) +
		" AND " + d.expired(s) + " FOR UPDATE OF " + pg.Ident(n.Table.Name.Name)
	return s.Add(pg.Gathered(inner, names))
}

func (d DueRows) expired(s *pg.Statement) string {
	cutoff := s.Cast(d.Cutoff, "timestamptz")
	if d.Age.Latest != nil {
		cutoff = d.Age.Latest(cutoff)
	}
	return d.Age.age.Expired(schema.Col(d.Edge.Child.Table, d.Age.age.Column.Name), cutoff)
}

// youngSQL is the test whether any of the rows is there and not due any more.
func (d DueRows) youngSQL(s *pg.Statement) string {
	n := d.Edge.Child
	return "EXISTS (SELECT FROM " + schema.From(n.Table) + " WHERE " + schema.Among(s, schema.Themselves(n.Key, n.keyOrders), schema.Cols(n.Table, ColumnNames(n.Key)), d.Key, true) + " AND (" + d.expired(s) + ") IS NOT TRUE)"
}

func (d DueRows) text() string {
	return fmt.Sprintf("rows of %s that are due (policy %s) are made young when their reference (%s) is emptied: %s", d.Edge.Child.Table.Name, d.Age.policy, d.Edge.Label(), d.Edge.Child.fires())
}
