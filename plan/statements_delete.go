package plan

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// ClearSQL empties the reference of rows behind an edge; rows that reaper itself
// deletes in the same batch are left as they are. Those that CASCADE deletes are
// emptied too: it may come to them after the reference was checked. A nil mode is
// that of a drain, which leaves nothing to CASCADE. limit 0: all of them.
func ClearSQL(s *pg.Statement, e *Edge, m *Traversal, known map[*Node]*Rows, limit int) *pg.Statement {
	t := e.Child.Table
	value := "NULL"
	if e.Action == BySetDefault {
		value = "DEFAULT"
	}
	s.Add("UPDATE ", schema.From(t), " SET ", pg.List(len(e.SetColumns), func(i int) string { return pg.Ident(e.SetColumns[i]) + " = " + value }), "\n WHERE ")
	s.Add(limited(t, clearing(s, e, m, known), limit))
	return s
}

// clearing is the condition that the reference of a row is emptied.
func clearing(s *pg.Statement, e *Edge, m *Traversal, known map[*Node]*Rows) string {
	t := e.Child.Table
	condition := behind(s, e, known[e.Parent])
	if going := known[e.Child]; going != nil && going.Len() > 0 {
		condition += " AND (" + at(s, t, going) + ") IS NOT TRUE"
	}
	for _, in := range e.Child.In {
		if r := known[in.Parent]; in.Action.Deletes() && (m == nil || m.Walks(in)) && r != nil && r.Len() > 0 && known[e.Child] == nil {
			condition += "\n   AND (" + behind(s, in, r) + ") IS NOT TRUE"
		}
	}
	return condition
}

// ClearSomeSQL empties the reference of some rows behind an edge, and gives
// their number, and the number of those that reference the same row still.
func ClearSomeSQL(e *Edge, r *Rows, limit int) *pg.Statement {
	s := &pg.Statement{}
	update := ClearSQL(s.Inner(), e, nil, map[*Node]*Rows{e.Parent: r}, limit)
	update.Add("\nRETURNING (", behind(update, e, r), ") IS TRUE AS stays")
	return s.Add("WITH reaper_u AS (", update.String(), ")\nSELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u")
}

// limited narrows a condition to some of the rows it holds for.
func limited(t *schema.Table, condition string, limit int) string {
	if limit == 0 {
		return condition
	}
	name := pg.Ident(t.Name.Name)
	some := fmt.Sprintf("%[1]s.ctid = ANY(ARRAY(SELECT %[1]s.ctid FROM %[2]s WHERE %[3]s LIMIT %[4]d))", name, schema.From(t), condition, limit)
	if t.Kind == schema.Partitioned { // one ctid stands in many partitions
		some = fmt.Sprintf("(%[1]s.tableoid, %[1]s.ctid) IN (SELECT %[1]s.tableoid, %[1]s.ctid FROM %[2]s WHERE %[3]s LIMIT %[4]d)", name, schema.From(t), condition, limit)
	}
	return some + "\n   AND " + condition
}

// DeleteBehindSQL deletes at most limit rows behind an edge.
func DeleteBehindSQL(e *Edge, r *Rows, limit int) *pg.Statement {
	s := &pg.Statement{}
	s.Add("DELETE FROM ", schema.From(e.Child.Table), "\n WHERE ", limited(e.Child.Table, behind(s, e, r), limit))
	return s
}

// DeleteSQL deletes, in one statement, roots by key with all conditions
// repeated, the collected rows of some nodes (locked, or not yet), and the rows behind edges into
// the others. One statement: PostgreSQL checks foreign keys at its end, so that
// neither order nor cycles matter. It gives one count per entry of targets.
// The first rows known of the root are those of keys, in any order. wanted are the
// counts of the first targets, whose rows are known.
func DeleteSQL(p *Plan, m *Traversal, nodes []*Node, sc expiry.Scope, w *TenantCutoff, keys pg.Values, known map[*Node]*Rows, locked bool) (s *pg.Statement, targets []*Node, wanted []int) {
	s = &pg.Statement{}
	s.Add("WITH ")
	if keys != nil {
		p.cut(s, sc, w)
		s.Add(", ")
	}
	part := func(n *Node, condition string) {
		if len(targets) > 0 {
			s.Add(",\n")
		}
		s.Add(fmt.Sprintf("reaper_d%d AS (DELETE FROM %s WHERE %s RETURNING 1)", len(targets), schema.From(n.Table), condition))
		targets = append(targets, n)
	}
	if keys != nil {
		part(p.Root, p.among(s, sc, keys, "reaper_cut"))
		wanted = append(wanted, keys.Len())
	}
	for _, n := range nodes {
		r := known[n]
		if n == p.Root && r != nil && keys != nil {
			r = r.Slice(keys.Len(), r.Len())
		}
		if r != nil && r.Len() > 0 {
			part(n, at(s, n.Table, r)+stillBehind(s, n, m, known, locked))
			wanted = append(wanted, r.Len())
		}
	}
	for _, e := range m.Deletes {
		if r := known[e.Parent]; r != nil && r.Len() > 0 {
			part(e.Child, behind(s, e, r))
		}
	}
	s.Add("\nSELECT ", pg.List(len(targets), func(i int) string { return fmt.Sprintf("(SELECT count(*) FROM reaper_d%d)", i) }))
	return s, targets, wanted
}

// DeleteAllBehindSQL deletes all rows behind an edge.
func DeleteAllBehindSQL(e *Edge, r *Rows) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("DELETE FROM ", schema.From(e.Child.Table), " WHERE ", behind(s, e, r))
}

// DeleteAtSQL deletes rows where they stand. They are locked.
func DeleteAtSQL(r *Rows) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("DELETE FROM ", schema.From(r.Node.Table), " WHERE ", at(s, r.Node.Table, r))
}

// DeleteCollectedSQL deletes the rows that were collected of a node.
func DeleteCollectedSQL(n *Node, m *Traversal, known map[*Node]*Rows, locked bool) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("DELETE FROM ", schema.From(n.Table), " WHERE ", at(s, n.Table, known[n]), stillBehind(s, n, m, known, locked))
}

// CollectedThereSQL tells whether any of the rows that were collected of a node are still
// what they were.
func CollectedThereSQL(n *Node, m *Traversal, known map[*Node]*Rows, locked bool) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("SELECT EXISTS (SELECT FROM ", schema.From(n.Table), " WHERE ", at(s, n.Table, known[n]), stillBehind(s, n, m, known, locked), ")")
}

// stillBehind repeats, for rows that were collected and are found again by their place,
// the reference by which they were: a row that moved to another parent meanwhile, or
// whose place is another row's by now, does not go. Empty: nothing was collected by a
// reference, or all of it is locked.
func stillBehind(s *pg.Statement, n *Node, m *Traversal, known map[*Node]*Rows, locked bool) string {
	if locked && n.Table.CanUpdate {
		return ""
	}
	var references []string
	for _, e := range n.In {
		if r := known[e.Parent]; e.Action.Deletes() && m.Walks(e) && r != nil && r.Len() > 0 {
			references = append(references, "("+hashed(s, e, r)+Parenthesized(e.Where)+")")
		}
	}
	if references == nil {
		return ""
	}
	return "\n   AND (" + strings.Join(references, " OR ") + ")"
}

// hashed is the condition of behind for rows that are at hand already: the list of
// values goes into a hash table, where one lookup a row does.
func hashed(s *pg.Statement, e *Edge, r *Rows) string {
	theirs, v := schema.Cols(e.Child.Table, e.ChildColumns), r.referenced(e)
	x := e.Pairs[0]
	if len(e.Pairs) > 1 || x.Op.Commutator == nil || x.Ours.Array() || x.Collation(x.Theirs) != "" {
		return schema.Among(s, e.Pairs, theirs, v, false)
	}
	// IS TRUE keeps PostgreSQL from making a join of it.
	return fmt.Sprintf("(%s %s ANY (SELECT %s)) IS TRUE", x.TheirsAs(theirs[0]), x.Op.Commutator, x.OursAs("unnest("+s.Array(v[0], x.Ours.SQLType)+")"))
}
