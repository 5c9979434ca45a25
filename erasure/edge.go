package erasure

import (
	"slices"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/redact"
	"github.com/reaperdb/reaper/schema"
)

// edge is one reference from rows of child to rows of parent.
type edge struct {
	key           *schema.ForeignKey // nil: a step of a path that the file names
	child, parent *Table
	from          *schema.Table // child, or the partition of it that has the key
	columns       []string      // of child
	to            []string      // of parent
	pairs         []*schema.Comparison
	// holds: rows of child that are the tenant's keep what they reference, although no key does.
	// Otherwise a soft key only has its reference emptied.
	holds   bool
	soft    bool
	emptied bool     // the redaction of child empties it
	clear   []string // columns that can be emptied in rows that go; nil: none
}

// label names an edge for people.
func (e *edge) label() string {
	if e.key != nil {
		return e.key.Name
	}
	return "owner of " + e.child.Name()
}

// binds reports whether a row of child keeps the row that it references from going.
func (e *edge) binds() bool { return !e.soft && !e.emptied || e.holds }

// stays decides which tables have rows that stay for the sake of kept ones, and what becomes of the
// references between what stays and what goes.
func (c *compiler) stays() error {
	c.makeEdges()
	for _, t := range c.plan.Tables {
		t.stays = t.Action == Keep
	}
	for changed := true; changed; {
		changed = false
		for _, e := range c.plan.edges {
			if e.child.stays && !e.parent.stays {
				e.parent.stays, changed = true, true
			}
		}
	}
	for _, e := range c.plan.edges {
		through := c.through(e)
		e.holds = e.soft && e.child.Action != Redact && (e.child.stays || e.isWay() || e.decides() || through != nil)
		c.checkKept(e)
		c.checkThrough(e, through)
		c.checkRedacted(e)
	}
	return nil
}

// isWay reports whether rows of child are a tenant's by this edge.
func (e *edge) isWay() bool {
	return e.key == nil || slices.ContainsFunc(e.child.Ways, func(w *Way) bool { return w.Key != nil && w.Key.OID == e.key.OID })
}

// decides reports whether a column of the edge says whose a row of child is: ON DELETE must not empty it
// before the row has gone.
func (e *edge) decides() bool {
	return slices.ContainsFunc(e.child.Ways, func(w *Way) bool {
		return slices.ContainsFunc(e.columns, func(name string) bool { return slices.Contains(w.columns, name) })
	})
}

// through is a table whose rows are a tenant's by a path over columns of the edge, in rows that the path
// goes through; nil: there is none.
func (c *compiler) through(e *edge) *Table {
	for _, t := range c.plan.Tables {
		for _, w := range t.Ways {
			for i, h := range w.hops {
				if i > 0 && w.hops[i-1].table == e.child && slices.Contains(e.columns, h.from) {
					return t
				}
			}
		}
	}
	return nil
}

// checkThrough refuses a path through rows that stay, and whose reference is emptied: nothing would tell
// any more whose the rows at its beginning are.
func (c *compiler) checkThrough(e *edge, t *Table) {
	empties := e.soft && e.child.Action == Global || e.child.Action == Redact && (e.soft || e.parent.Action != Redact)
	if t == nil || !empties {
		return
	}
	c.fail(c.posOf(t), "name another owner of "+t.Name()+", or let rows of "+e.child.Name()+" go",
		"the owner of %s leads through %s, whose rows stay, and in which %s is emptied", t.Name(), e.child.Name(), e.label())
}

// makeEdges lists the references to tables whose rows go or stay.
func (c *compiler) makeEdges() {
	for _, p := range c.plan.Tables {
		if p.Action == Global || p.Action == Undecided {
			continue
		}
		for _, k := range c.graph.References(p.Table.OID) {
			if k.Parent != p.Table.OID && c.byOID[k.Parent] != nil {
				continue // of a table that inherits from it
			}
			if child := c.table(k.Child); child != nil {
				c.plan.edges = append(c.plan.edges, c.keyEdge(&k, child, p))
			}
		}
	}
	for _, t := range c.plan.Tables {
		for _, w := range t.Ways {
			at := t
			for _, h := range w.hops {
				if at == t && !c.hasKey(t, h) {
					c.plan.edges = append(c.plan.edges, &edge{child: t, parent: h.table, from: t.Table, columns: []string{h.from}, to: []string{h.to}, pairs: []*schema.Comparison{h.pair}, soft: true})
				}
				at = h.table
			}
		}
	}
}

// hasKey reports whether a foreign key leads where a step of a path does.
func (c *compiler) hasKey(t *Table, h hop) bool {
	return slices.ContainsFunc(c.graph.Outgoing(t.Table.OID), func(k schema.ForeignKey) bool {
		return c.table(k.Parent) == h.table && slices.Equal(k.ChildColumns, []string{h.from}) && slices.Equal(k.ParentColumns, []string{h.to})
	})
}

func (c *compiler) keyEdge(k *schema.ForeignKey, child, p *Table) *edge {
	e := &edge{key: k, child: child, parent: p, from: c.graph.Tables[k.Child], columns: k.ChildColumns, to: k.ParentColumns, soft: soft(k)}
	for _, x := range c.graph.Comparisons(k, e.from, c.graph.Tables[k.Parent]) {
		e.pairs = append(e.pairs, &x)
	}
	e.clear = clearable(child, k)
	return e
}

// clearable are the columns of a key that can be emptied without changing whose the row is; nil: none.
func clearable(t *Table, k *schema.ForeignKey) (columns []string) {
	for _, name := range k.ChildColumns {
		column, _ := t.Table.Column(name)
		decides := slices.ContainsFunc(t.Ways, func(w *Way) bool { return slices.Contains(w.columns, name) })
		if !column.NotNull && !column.Generated && !decides {
			columns = append(columns, name)
		}
	}
	if k.MatchFull && len(columns) < len(k.ChildColumns) {
		return nil
	}
	return columns
}

// keepTenantFix lets the tenant's row stay.
const keepTenantFix = "let the tenant's row stay: write tenant_row: redact under erasure, and under redact which columns of "

// checkKept refuses kept rows that reference a tenant's row that goes.
func (c *compiler) checkKept(e *edge) {
	if e.parent != c.plan.Tenants || !e.child.stays || c.section.TenantRow == policy.Redact {
		return
	}
	pos, why := policy.Pos{}, "rows of "+e.child.Name()+" stay for the sake of kept ones"
	if e.child.Action == Keep {
		pos, why = e.child.Entry.Pos, "rows of "+e.child.Name()+" are kept"
	}
	c.fail(pos, keepTenantFix+c.plan.Tenants.Name()+" to overwrite",
		"%s, and reference the tenant's row (%s), which goes", why, e.label())
}

// checkRedacted sees to references from rows that are redacted, and so stay, to rows that go: they are
// emptied where they can be.
func (c *compiler) checkRedacted(e *edge) {
	if e.child.Action != Redact || e.soft || e.parent.Action == Redact || e.child.Redaction == nil {
		return
	}
	if len(e.clear) == 0 {
		fix := keepTenantFix + c.plan.Tenants.Name() + " to overwrite"
		if e.parent != c.plan.Tenants {
			fix = "redact rows of " + e.parent.Name() + " too, or let rows of " + e.child.Name() + " go"
		}
		c.fail(c.posOf(e.child), fix, "rows of %s are redacted and stay, but reference rows of %s, which go (%s), and the reference cannot be emptied", e.child.Name(), e.parent.Name(), e.label())
		return
	}
	e.emptied = true
	for _, name := range e.clear {
		column, _ := e.child.Table.Column(name)
		if !slices.Contains(e.child.Redaction.Names(), name) {
			e.child.Redaction.Columns = append(e.child.Redaction.Columns, redact.Column{Name: name, Type: column.SQLType, SQL: "NULL"})
		}
	}
	if e.child != c.plan.Tenants {
		return
	}
	c.add(plan.LevelWarning, policy.Pos{}, "make sure that is meant", "the tenant's row stays, and %s is emptied in it, since the row of %s that it references goes", e.columns[0], e.parent.Name())
}

func (c *compiler) posOf(t *Table) policy.Pos {
	if t.Entry != nil {
		return t.Entry.Pos
	}
	return policy.Pos{}
}
