package purge

import (
	"fmt"
	"strings"
)

// checks are conditions, each true where something is wrong, and what that is.
type checks struct {
	s            *statement
	tests, texts []string
}

// rows adds the condition that there are such rows of a node.
func (c *checks) rows(n *Node, condition, text string) {
	c.tests = append(c.tests, "EXISTS (SELECT FROM "+from(n.Table)+" WHERE "+condition+")")
	c.texts = append(c.texts, text)
}

// sql asks all of them at once. There is at least one.
func (c *checks) sql() *statement { return c.s.add("SELECT ", strings.Join(c.tests, ",\n       ")) }

// rowChecks look at the rows of a batch after it has deleted them. Rows that a trigger has
// put in the place of others count as well.
func (p *Plan) rowChecks(m *mode, known map[*Node]*rowsOf, keys values, locked bool) *checks {
	c := &checks{s: &statement{}}
	s, add := c.s, c.rows
	if keys != nil {
		add(p.Root, p.keyed(s, keys), p.Root.stays())
	}
	for _, n := range p.Nodes {
		r := known[n]
		if n == p.Root && r != nil {
			r = r.slice(keys.len(), r.len())
		}
		if r != nil && r.len() > 0 {
			add(n, s.at(n.Table, r)+s.stillBehind(n, m, known, locked), n.stays())
		}
	}
	for _, e := range p.Edges {
		r := known[e.Parent]
		if r == nil || r.len() == 0 || e.Action == ByKeep || !m.walks(e) {
			continue
		}
		text := e.Child.stays()
		if e.Action.clears() {
			text = fmt.Sprintf("rows of %s still reference (%s) what goes, after their reference was emptied: %s", e.Child.Table.Name, e.Label(), e.Child.fires())
		}
		add(e.Child, s.behind(e, r), text)
	}
	return c
}

func (n *Node) stays() string {
	return fmt.Sprintf("rows of %s are still there after they were deleted: %s", n.Table.Name, n.fires())
}

// behindChecks look whether rows behind an edge are still there, or not emptied.
func behindChecks(e *Edge, r *rowsOf) *checks {
	c := &checks{s: &statement{}}
	condition := ""
	if e.Action.clears() {
		condition = c.s.clearing(e, nil, map[*Node]*rowsOf{e.Parent: r})
	} else {
		condition = c.s.behind(e, r)
	}
	c.rows(e.Child, condition, fmt.Sprintf("rows of %s stay as they are: %s", e.Child.Table.Name, e.Child.fires()))
	return c
}

// dueChecks look at rows that were due before a reference in them was emptied.
func dueChecks(due []dueRows) *checks {
	c := &checks{s: &statement{}}
	for _, d := range due {
		c.tests, c.texts = append(c.tests, d.youngSQL(c.s)), append(c.texts, d.text())
	}
	return c
}

// youngRootsSQL tells whether any of the roots is no longer expired by the tenant's cutoff.
func (p *Plan) youngRootsSQL(sc scope, t *TenantCutoff, keys values) *statement {
	s := &statement{}
	a := col(p.Root.Table, p.age.column.Name)
	return s.add("SELECT EXISTS (SELECT FROM ", from(p.Root.Table), " WHERE ", p.keyed(s, keys),
		" AND (", p.age.expired(a, s.cast(t.Cutoff, "timestamptz")), p.meant(s, sc, keys), ") IS NOT TRUE)")
}

// rootAge is an age by which a policy of the file finds rows of a table that this plan
// empties references of.
type rootAge struct {
	policy string
	age    age
	// latest is the latest cutoff of its tenants, as SQL over the run's start; empty: this
	// plan's own, which is that of the batch.
	latest func(base string) string
}

// dueRows are rows behind an edge that are due under a policy, before the edge is
// emptied.
type dueRows struct {
	edge   *Edge
	age    rootAge
	cutoff string // timestamptz as text
	key    values
}

// lockSQL locks the rows, and gathers their keys. r are the rows that their edge
// references.
func (d dueRows) lockSQL(r *rowsOf) *statement {
	s := &statement{}
	n := d.edge.Child
	selected, names := numbered(cols(n.Table, columnNames(n.key)))
	inner := "SELECT " + strings.Join(selected, ", ") + " FROM " + from(n.Table) + " WHERE " + s.behind(d.edge, r) +
		" AND " + d.expired(s) + " FOR UPDATE OF " + ident(n.Table.Name.Name)
	return s.add(gathered(inner, names))
}

func (d dueRows) expired(s *statement) string {
	cutoff := s.cast(d.cutoff, "timestamptz")
	if d.age.latest != nil {
		cutoff = d.age.latest(cutoff)
	}
	return d.age.age.expired(col(d.edge.Child.Table, d.age.age.column.Name), cutoff)
}

// youngSQL is the test whether any of the rows is there and not due any more.
func (d dueRows) youngSQL(s *statement) string {
	n := d.edge.Child
	return "EXISTS (SELECT FROM " + from(n.Table) + " WHERE " + s.among(withThemselves(n.key, n.keyOrders), cols(n.Table, columnNames(n.key)), d.key, true) + " AND (" + d.expired(s) + ") IS NOT TRUE)"
}

func (d dueRows) text() string {
	return fmt.Sprintf("rows of %s that are due (policy %s) are made young when their reference (%s) is emptied: %s", d.edge.Child.Table.Name, d.age.policy, d.edge.Label(), d.edge.Child.fires())
}
