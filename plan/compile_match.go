package plan

import (
	"github.com/reaperdb/reaper/schema"
)

// addMatch adds a reference that the file declares with match, if this is its parent.
func (c *compiler) addMatch(parent *Node, e *entry) error {
	d := e.spec
	want := d.Parent
	if !want.IsSet() {
		want = c.plan.Policy.Table
	}
	if !c.names(want, parent.Table.OID) || e.used {
		return nil
	}
	e.used = true
	child, err := c.node(c.resolve(d.Table))
	if err != nil {
		return err
	}
	edge := &Edge{Parent: parent, Child: child, Action: EdgeAction(d.Action), Entry: d}
	for _, m := range d.Match {
		theirs, err := c.column(child.Table, m.Theirs, d.Pos)
		if err != nil {
			return err
		}
		ours, err := c.column(parent.Table, m.Ours, d.Pos)
		if err != nil {
			return err
		}
		if theirs.Category != "S" && theirs.Category != ours.Category {
			c.fail(d.Pos, "match columns of one type, or a text column of theirs", "%s.%s is %s and cannot hold %s.%s, which is %s",
				child.Table.Name, theirs.Name, theirs.Type, parent.Table.Name, ours.Name, ours.Type)
			return errStop
		}
		if theirs.Category == "S" && theirs.Category != ours.Category && ours.Category == "D" {
			c.fail(d.Pos, "match columns of one type", "%s.%s is text and %s.%s is %s: a date has more than one text form", child.Table.Name, theirs.Name, parent.Table.Name, ours.Name, ours.Type)
			return errStop
		}
		pair, err := c.declared(ours, theirs)
		if err != nil {
			return err
		}
		if pair == nil {
			c.fail(d.Pos, "match columns of one type", "%s.%s is %s and cannot be compared with %s.%s, which is %s",
				child.Table.Name, theirs.Name, theirs.Type, parent.Table.Name, ours.Name, ours.Type)
			return errStop
		}
		edge.Pairs = append(edge.Pairs, *pair)
		edge.ChildColumns = append(edge.ChildColumns, theirs.Name)
		edge.ParentColumns = append(edge.ParentColumns, ours.Name)
	}
	if d.Where.IsSet() {
		if edge.Where, err = c.boolean("where of dependent "+d.Table.String(), d.Where, schema.From(child.Table)); err != nil {
			return err
		}
	}
	c.link(edge)
	return c.clearing(edge)
}

// declared is the comparison of a declared reference: a text column holds the referenced value as
// PostgreSQL prints it; columns of one category compare as their types do. nil: not comparable.
func (c *compiler) declared(ours, theirs schema.Column) (*schema.Comparison, error) {
	if theirs.Category == "S" && ours.Category != "S" {
		order, err := c.graph.DefaultOrder(c.ctx, c.conn, theirs.TypeOID)
		if err != nil || order == nil {
			return nil, err
		}
		x := c.graph.Pair(order.Equal, ours, theirs)
		x.OursText = true
		return x, nil
	}
	return c.graph.Comparing(c.ctx, c.conn, ours, theirs, 0)
}
