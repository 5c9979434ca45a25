package purge

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// clearSQL empties the reference of rows behind an edge; rows that reaper itself
// deletes in the same batch are left as they are. Those that CASCADE deletes are
// emptied too: it may come to them after the reference was checked. A nil mode is
// that of a drain, which leaves nothing to CASCADE. limit 0: all of them.
func clearSQL(s *statement, e *Edge, m *mode, known map[*Node]*rowsOf, limit int) *statement {
	t := e.Child.Table
	value := "NULL"
	if e.Action == BySetDefault {
		value = "DEFAULT"
	}
	s.add("UPDATE ", from(t), " SET ", list(len(e.SetColumns), func(i int) string { return ident(e.SetColumns[i]) + " = " + value }), "\n WHERE ")
	s.add(limited(t, s.clearing(e, m, known), limit))
	return s
}

// clearing is the condition that the reference of a row is emptied.
func (s *statement) clearing(e *Edge, m *mode, known map[*Node]*rowsOf) string {
	t := e.Child.Table
	condition := s.behind(e, known[e.Parent])
	if going := known[e.Child]; going != nil && going.len() > 0 {
		condition += " AND (" + s.at(t, going) + ") IS NOT TRUE"
	}
	for _, in := range e.Child.In {
		if r := known[in.Parent]; in.Action.deletes() && (m == nil || m.walks(in)) && r != nil && r.len() > 0 && known[e.Child] == nil {
			condition += "\n   AND (" + s.behind(in, r) + ") IS NOT TRUE"
		}
	}
	return condition
}

// clearSomeSQL empties the reference of some rows behind an edge, and gives
// their number, and the number of those that reference the same row still.
func clearSomeSQL(e *Edge, r *rowsOf, limit int) *statement {
	s := &statement{}
	update := clearSQL(s.inner(), e, nil, map[*Node]*rowsOf{e.Parent: r}, limit)
	update.add("\nRETURNING (", update.behind(e, r), ") IS TRUE AS stays")
	return s.add("WITH reaper_u AS (", update.String(), ")\nSELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u")
}

// limited narrows a condition to some of the rows it holds for.
func limited(t *schema.Table, condition string, limit int) string {
	if limit == 0 {
		return condition
	}
	name := ident(t.Name.Name)
	some := fmt.Sprintf("%[1]s.ctid = ANY(ARRAY(SELECT %[1]s.ctid FROM %[2]s WHERE %[3]s LIMIT %[4]d))", name, from(t), condition, limit)
	if t.Kind == schema.Partitioned { // one ctid stands in many partitions
		some = fmt.Sprintf("(%[1]s.tableoid, %[1]s.ctid) IN (SELECT %[1]s.tableoid, %[1]s.ctid FROM %[2]s WHERE %[3]s LIMIT %[4]d)", name, from(t), condition, limit)
	}
	return some + "\n   AND " + condition
}

// deleteBehindSQL deletes at most limit rows behind an edge.
func deleteBehindSQL(e *Edge, r *rowsOf, limit int) *statement {
	s := &statement{}
	s.add("DELETE FROM ", from(e.Child.Table), "\n WHERE ", limited(e.Child.Table, s.behind(e, r), limit))
	return s
}

// deleteSQL deletes, in one statement, roots by key with all conditions
// repeated, the collected rows of some nodes (locked, or not yet), and the rows behind edges into
// the others. One statement: PostgreSQL checks foreign keys at its end, so that
// neither order nor cycles matter. It gives one count per entry of targets.
// The first rows known of the root are those of keys, in any order. wanted are the
// counts of the first targets, whose rows are known.
func deleteSQL(p *Plan, m *mode, nodes []*Node, sc scope, w *TenantCutoff, keys values, known map[*Node]*rowsOf, locked bool) (s *statement, targets []*Node, wanted []int) {
	s = &statement{}
	s.add("WITH ")
	if keys != nil {
		p.cut(s, sc, w)
		s.add(", ")
	}
	part := func(n *Node, condition string) {
		if len(targets) > 0 {
			s.add(",\n")
		}
		s.add(fmt.Sprintf("reaper_d%d AS (DELETE FROM %s WHERE %s RETURNING 1)", len(targets), from(n.Table), condition))
		targets = append(targets, n)
	}
	if keys != nil {
		part(p.Root, p.among(s, sc, keys, "reaper_cut"))
		wanted = append(wanted, keys.len())
	}
	for _, n := range nodes {
		r := known[n]
		if n == p.Root && r != nil && keys != nil {
			r = r.slice(keys.len(), r.len())
		}
		if r != nil && r.len() > 0 {
			part(n, s.at(n.Table, r)+s.stillBehind(n, m, known, locked))
			wanted = append(wanted, r.len())
		}
	}
	for _, e := range m.deletes {
		if r := known[e.Parent]; r != nil && r.len() > 0 {
			part(e.Child, s.behind(e, r))
		}
	}
	s.add("\nSELECT ", list(len(targets), func(i int) string { return fmt.Sprintf("(SELECT count(*) FROM reaper_d%d)", i) }))
	return s, targets, wanted
}

// deleteAllBehindSQL deletes all rows behind an edge.
func deleteAllBehindSQL(e *Edge, r *rowsOf) *statement {
	s := &statement{}
	return s.add("DELETE FROM ", from(e.Child.Table), " WHERE ", s.behind(e, r))
}

// deleteAtSQL deletes rows where they stand. They are locked.
func deleteAtSQL(r *rowsOf) *statement {
	s := &statement{}
	return s.add("DELETE FROM ", from(r.node.Table), " WHERE ", s.at(r.node.Table, r))
}

// deleteCollectedSQL deletes the rows that were collected of a node.
func deleteCollectedSQL(n *Node, m *mode, known map[*Node]*rowsOf, locked bool) *statement {
	s := &statement{}
	return s.add("DELETE FROM ", from(n.Table), " WHERE ", s.at(n.Table, known[n]), s.stillBehind(n, m, known, locked))
}

// collectedThereSQL tells whether any of the rows that were collected of a node are still
// what they were.
func collectedThereSQL(n *Node, m *mode, known map[*Node]*rowsOf, locked bool) *statement {
	s := &statement{}
	return s.add("SELECT EXISTS (SELECT FROM ", from(n.Table), " WHERE ", s.at(n.Table, known[n]), s.stillBehind(n, m, known, locked), ")")
}

// stillBehind repeats, for rows that were collected and are found again by their place,
// the reference by which they were: a row that moved to another parent meanwhile, or
// whose place is another row's by now, does not go. Empty: nothing was collected by a
// reference, or all of it is locked.
func (s *statement) stillBehind(n *Node, m *mode, known map[*Node]*rowsOf, locked bool) string {
	if locked && n.Table.CanUpdate {
		return ""
	}
	var references []string
	for _, e := range n.In {
		if r := known[e.Parent]; e.Action.deletes() && m.walks(e) && r != nil && r.len() > 0 {
			references = append(references, "("+s.hashed(e, r)+parenthesized(e.Where)+")")
		}
	}
	if references == nil {
		return ""
	}
	return "\n   AND (" + strings.Join(references, " OR ") + ")"
}

// hashed is the condition of behind for rows that are at hand already: the list of
// values goes into a hash table, where one lookup a row does.
func (s *statement) hashed(e *Edge, r *rowsOf) string {
	theirs, v := cols(e.Child.Table, e.ChildColumns), r.referenced(e)
	x := e.pairs[0]
	if len(e.pairs) > 1 || x.op.Commutator == nil || x.ours.Array() || x.collation(x.theirs) != "" {
		return s.among(e.pairs, theirs, v, false)
	}
	// IS TRUE keeps PostgreSQL from making a join of it.
	return fmt.Sprintf("(%s %s ANY (SELECT %s)) IS TRUE", x.theirsAs(theirs[0]), x.op.Commutator, x.oursAs("unnest("+s.list(v[0], x.ours.SQLType)+")"))
}
