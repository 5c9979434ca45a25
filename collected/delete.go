package collected

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// ClearSQL clears the references of rows behind an edge. It skips rows that reaper itself deletes
// in the same batch. It includes those left to CASCADE, which may delete them only after the
// reference is checked. A nil m is a drain, which leaves nothing to CASCADE. limit 0: no limit.
func ClearSQL(s *pg.Statement, e *plan.Edge, m *plan.Traversal, known map[*plan.Node]*Rows, limit int) *pg.Statement {
	t := e.Child.Table
	s.Add("UPDATE ", schema.From(t), " SET ", cleared(e), "\n WHERE ")
	s.Add(limited(t, clearing(s, e, m, known), limit))
	return s
}

// cleared is what an UPDATE sets to clear a reference.
func cleared(e *plan.Edge) string {
	value := " = NULL"
	if e.ToDefault() {
		value = " = DEFAULT"
	}
	var set []string
	for _, column := range e.Emptied() {
		set = append(set, pg.Ident(column)+value)
	}
	if e.Redaction != nil {
		set = append(set, e.Redaction.Set())
	}
	return strings.Join(set, ", ")
}

// clearing is the condition that the reference of a row is to be cleared.
func clearing(s *pg.Statement, e *plan.Edge, m *plan.Traversal, known map[*plan.Node]*Rows) string {
	return uncleared(s, e, known[e.Parent]) + unlessGoing(s, e, m, known)
}

// uncleared is the condition that a row behind an edge is not yet what clearing the edge makes of it. A
// redacted row may keep a reference that is no foreign key.
func uncleared(s *pg.Statement, e *plan.Edge, r *Rows) string {
	condition := behind(s, e, r)
	if e.Redaction != nil && e.Key == nil {
		condition += "\n   AND (" + e.Redaction.Differs() + ")"
	}
	return condition
}

// unlessGoing leaves those rows out that are deleted in the same batch.
func unlessGoing(s *pg.Statement, e *plan.Edge, m *plan.Traversal, known map[*plan.Node]*Rows) (condition string) {
	if going := known[e.Child]; going != nil && going.Len() > 0 {
		condition += " AND (" + located(s, e.Child.Table, going) + ") IS NOT TRUE"
	}
	for _, in := range e.Child.In {
		if r := known[in.Parent]; in.Action.Deletes() && (m == nil || m.Walks(in)) && r != nil && r.Len() > 0 && known[e.Child] == nil {
			condition += "\n   AND (" + behind(s, in, r) + ") IS NOT TRUE"
		}
	}
	return condition
}

// ClearCheckedSQL is ClearSQL. It returns the number of rows, and how many of them still reference the
// same row, or are not what they were redacted to.
func ClearCheckedSQL(e *plan.Edge, m *plan.Traversal, known map[*plan.Node]*Rows, limit int) *pg.Statement {
	s := &pg.Statement{}
	update := ClearSQL(s.Inner(), e, m, known, limit)
	stays := "(" + uncleared(update, e, known[e.Parent]) + ") IS TRUE"
	if e.Redaction != nil {
		stays = "(" + stays + " OR " + e.Redaction.Differs() + ")"
	}
	update.Add("\nRETURNING ", stays, " AS stays")
	return s.Add("WITH reaper_u AS (", update.String(), ")\nSELECT count(*), count(*) FILTER (WHERE stays) FROM reaper_u")
}

// limited restricts a condition to some of the rows that satisfy it.
func limited(t *schema.Table, condition string, limit int) string {
	if limit == 0 {
		return condition
	}
	name := pg.Ident(t.Name.Name)
	some := fmt.Sprintf("%[1]s.ctid = ANY(ARRAY(SELECT %[1]s.ctid FROM %[2]s WHERE %[3]s LIMIT %[4]d))", name, schema.From(t), condition, limit)
	if t.Kind == schema.Partitioned { // ctids are unique only within a partition
		some = fmt.Sprintf("(%[1]s.tableoid, %[1]s.ctid) IN (SELECT %[1]s.tableoid, %[1]s.ctid FROM %[2]s WHERE %[3]s LIMIT %[4]d)", name, schema.From(t), condition, limit)
	}
	return some + "\n   AND " + condition
}

// DeleteBehindSQL deletes at most limit rows behind an edge.
func DeleteBehindSQL(e *plan.Edge, r *Rows, limit int) *pg.Statement {
	s := &pg.Statement{}
	s.Add("DELETE FROM ", schema.From(e.Child.Table), "\n WHERE ", limited(e.Child.Table, behind(s, e, r), limit))
	return s
}

// DeleteSQL deletes in one statement: roots by key, with all conditions repeated; the collected
// rows of the given nodes (locked or not); and the rows behind edges into the other nodes.
// PostgreSQL checks foreign keys at the end of the statement, so neither order nor cycles matter.
// The result has one count per target. The first known rows of the root are those of keys, in any
// order. wanted are the expected counts of the first targets, whose rows are known.
func DeleteSQL(p *plan.Plan, m *plan.Traversal, nodes []*plan.Node, sc expiry.Scope, w *plan.TenantCutoff, keys pg.Values, known map[*plan.Node]*Rows, locked bool) (s *pg.Statement, targets []*plan.Node, wanted []int) {
	s = &pg.Statement{}
	s.Add("WITH ")
	if keys != nil {
		p.CutoffCTE(s, sc, w)
		s.Add(", ")
	}
	part := func(n *plan.Node, condition string) {
		if len(targets) > 0 {
			s.Add(",\n")
		}
		s.Add(fmt.Sprintf("reaper_d%d AS (DELETE FROM %s WHERE %s RETURNING 1)", len(targets), schema.From(n.Table), condition))
		targets = append(targets, n)
	}
	if keys != nil {
		part(p.Root, p.RootCondition(s, sc, keys, "reaper_cut"))
		wanted = append(wanted, keys.Len())
	}
	for _, n := range nodes {
		r := known[n]
		if n == p.Root && r != nil && keys != nil {
			r = r.Slice(keys.Len(), r.Len())
		}
		if r != nil && r.Len() > 0 {
			part(n, located(s, n.Table, r)+stillBehind(s, n, m, known, locked))
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
func DeleteAllBehindSQL(e *plan.Edge, r *Rows) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("DELETE FROM ", schema.From(e.Child.Table), " WHERE ", behind(s, e, r))
}

// DeleteAtSQL deletes locked rows by location.
func DeleteAtSQL(r *Rows) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("DELETE FROM ", schema.From(r.Node.Table), " WHERE ", located(s, r.Node.Table, r))
}

// DeleteCollectedSQL deletes the rows collected for a node.
func DeleteCollectedSQL(n *plan.Node, m *plan.Traversal, known map[*plan.Node]*Rows, locked bool) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("DELETE FROM ", schema.From(n.Table), " WHERE ", located(s, n.Table, known[n]), stillBehind(s, n, m, known, locked))
}

// StillThereSQL reports whether any row collected for a node is still there, unchanged.
func StillThereSQL(n *plan.Node, m *plan.Traversal, known map[*plan.Node]*Rows, locked bool) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("SELECT EXISTS (SELECT FROM ", schema.From(n.Table), " WHERE ", located(s, n.Table, known[n]), stillBehind(s, n, m, known, locked), ")")
}

// stillBehind repeats, for collected rows found by location, the condition that they reference
// their parent. It excludes rows that have moved to another parent, and locations now taken by
// another row. Empty if nothing was collected by reference, or all rows are locked.
func stillBehind(s *pg.Statement, n *plan.Node, m *plan.Traversal, known map[*plan.Node]*Rows, locked bool) string {
	if locked && n.Table.CanUpdate {
		return ""
	}
	var references []string
	for _, e := range n.In {
		if r := known[e.Parent]; e.Action.Deletes() && m.Walks(e) && r != nil && r.Len() > 0 {
			references = append(references, "("+hashed(s, e, r)+plan.Parenthesized(e.Where)+")")
		}
	}
	if references == nil {
		return ""
	}
	return "\n   AND (" + strings.Join(references, " OR ") + ")"
}

// hashed is behind for rows that are already located: the values go into a hash table, with one
// lookup per row.
func hashed(s *pg.Statement, e *plan.Edge, r *Rows) string {
	theirs, v := schema.Cols(e.Child.Table, e.ChildColumns), r.referenced(e)
	x := e.Pairs[0]
	if len(e.Pairs) > 1 || x.Op.Commutator == nil || x.Ours.Array() || x.Collation(x.Theirs) != "" {
		return schema.Among(s, e.Pairs, theirs, v, false)
	}
	// IS TRUE keeps PostgreSQL from turning it into a join.
	return fmt.Sprintf("(%s %s ANY (SELECT %s)) IS TRUE", x.TheirsAs(theirs[0]), x.Op.Commutator, x.OursAs("unnest("+s.Array(v[0], x.Ours.SQLType)+")"))
}
