package erasure

import (
	"slices"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// namedWays finds the ways that the file names for a table.
func (c *compiler) namedWays(t *Table) error {
	for _, e := range c.entries[t] {
		if !e.Owner.IsSet() || e.Owner.Nobody && !e.Where.IsSet() {
			if e.Owner.Nobody {
				c.fail(e.Owner.Pos, "write the table under erasure, global; or add where, which says of which rows it is true", "no row of %s would belong to a tenant", t.Name())
			}
			continue
		}
		w, err := c.namedWay(t, e)
		if err != nil {
			return err
		}
		if w != nil && !e.Owner.Nobody {
			t.Ways = append(t.Ways, w)
		}
	}
	return nil
}

// namedWay is the way of one entry; nil after a problem.
func (c *compiler) namedWay(t *Table, e *policy.ErasureTable) (*Way, error) {
	w := &Way{}
	if e.Where.IsSet() {
		var err error
		if w.where, err = c.boolean("where", e.Where, schema.From(t.Table)); err != nil || w.where == "" {
			return nil, err
		}
	}
	var ok bool
	var err error
	switch {
	case e.Owner.Nobody:
		return w, nil
	case len(e.Owner.Path.Steps) > 0:
		ok, err = c.path(t, w, e.Owner.Path)
	default:
		if _, is := t.Table.Column(e.Owner.SQL.Value); is {
			ok, err = c.end(t, w, t, e.Owner.SQL.Value, e.Owner.Pos)
			w.columns = []string{e.Owner.SQL.Value}
		} else {
			ok, err = c.ownerSQL(t, w, e)
		}
	}
	if !ok || err != nil {
		return nil, err
	}
	if e.Where.IsSet() {
		w.Text += " where " + e.Where.Value
	}
	return w, nil
}

// ownerSQL reads SQL that gives the key.
func (c *compiler) ownerSQL(t *Table, w *Way, e *policy.ErasureTable) (bool, error) {
	if e.Owner.OnlyColumn {
		c.fail(e.Owner.Pos, "its columns are "+schemaNames(t.Table), "table %s has no column %s", t.Name(), e.Owner.SQL.Value)
		return false, nil
	}
	f, err := c.expression("owner", e.Owner.SQL, schema.From(t.Table))
	if err != nil || f == nil {
		return false, err
	}
	if f.Changes != "" {
		c.fail(e.Owner.Pos, "write SQL that always gives the same value for a row", "owner depends on %s: a row could change its tenant by itself", f.Changes)
		return false, nil
	}
	for _, r := range f.Needs.Relies {
		if r.Kind == "column" && r.Relation == t.Table.Name {
			w.columns = append(w.columns, r.Name)
		}
	}
	w.sql, w.written, w.Text = f.SQL, e.Owner.SQL.Value, t.Name()+" where ("+e.Owner.SQL.Value+") is the tenant's key"
	return true, nil
}

// path follows the columns of a path that the file names.
func (c *compiler) path(t *Table, w *Way, path policy.Path) (bool, error) {
	at := t
	w.columns = []string{path.Steps[0].Column}
	for i, s := range path.Steps {
		if _, ok := at.Table.Column(s.Column); !ok {
			c.fail(s.Pos, "its columns are "+schemaNames(at.Table), "table %s has no column %s", at.Name(), s.Column)
			return false, nil
		}
		if i == len(path.Steps)-1 {
			if s.Table.IsSet() {
				c.fail(s.Pos, "end with the column that holds the tenant's key", "the last column of a path leads nowhere further")
				return false, nil
			}
			return c.end(t, w, at, s.Column, s.Pos)
		}
		h, err := c.hop(at, s)
		if err != nil || h == nil {
			return false, err
		}
		w.hops = append(w.hops, *h)
		at = h.table
	}
	return false, nil
}

// hop resolves one step of a path, by the foreign key on the column or as the file says; nil after a
// problem.
func (c *compiler) hop(at *Table, s policy.Step) (*hop, error) {
	h := &hop{from: s.Column, to: s.ToColumn}
	if s.Table.IsSet() {
		h.table = c.byOID[c.resolve(s.Table)]
	} else if keys := c.graph.KeysOver(at.Table.OID, s.Column); len(keys) == 1 {
		h.table, h.to = c.table(keys[0].Parent), keys[0].ParentColumns[slices.Index(keys[0].ChildColumns, s.Column)]
	} else {
		c.fail(s.Pos, "write where it leads: "+s.Column+" -> table.column", "%d foreign keys show where %s.%s leads", len(keys), at.Name(), s.Column)
		return nil, nil
	}
	if h.table == nil {
		c.fail(s.Pos, c.nearest(s.Table), "there is no table %s", s.Table)
		return nil, nil
	}
	ours, ok := h.table.Table.Column(h.to)
	if !ok {
		c.fail(s.Pos, "its columns are "+schemaNames(h.table.Table), "table %s has no column %s", h.table.Name(), h.to)
		return nil, nil
	}
	if !slices.ContainsFunc(h.table.Table.Indexes, func(x schema.Index) bool { return uniqueOn(x, h.to) }) {
		c.fail(s.Pos, "lead to a column with a unique index of its own", "%s.%s is not unique: a row could belong to several tenants", h.table.Name(), h.to)
		return nil, nil
	}
	theirs, _ := at.Table.Column(s.Column)
	var err error
	h.pair, err = c.graph.Comparing(c.ctx, c.tx, ours, theirs, keyFamily(h.table.Table, h.to))
	return h, err
}

// end resolves the column that holds the key.
func (c *compiler) end(t *Table, w *Way, at *Table, column string, pos policy.Pos) (bool, error) {
	theirs, _ := at.Table.Column(column)
	if theirs.Array() {
		c.fail(pos, "write SQL over the table alone that gives the key", "%s.%s is %s: an array holds no single key", at.Name(), column, theirs.Type)
		return false, nil
	}
	pair, err := c.graph.Comparing(c.ctx, c.tx, c.plan.Key, theirs, keyFamily(c.plan.Tenants.Table, c.plan.Key.Name))
	if err != nil {
		return false, err
	}
	w.last = value{column: column, pair: pair}
	w.Text = t.Name()
	for _, h := range w.hops {
		w.Text += "." + h.from + " -> " + h.table.Name()
	}
	w.Text += "." + column + " is the tenant's key"
	return true, nil
}
