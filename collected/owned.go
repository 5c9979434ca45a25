package collected

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
	"github.com/reaperdb/reaper/search"
)

// The statements of this file act on rows of many tenants at once. They carry the owner of each
// row along, from the roots down: so what goes is counted for each tenant, exactly, without a
// statement for each.

// owner is the name of the column with the ordinal of the tenant. The names of all that these
// statements add cannot be columns of a table: the file's SQL over a table stands beside them.
const owner = "reaper_owner"

// ownersBehind joins the rows that a statement returns (with) with the owners of their parents
// (from): those behind an edge, with the columns by which they reference (reaper_f0, …). The
// statement finds its rows by a list and not by a join: so it reads no more than they are, whatever
// the planner knows of the table, and a row that it had to wait for may reference another row of
// the list by then.
func ownersBehind(s *pg.Statement, e *plan.Edge, r *Rows, name, statement string) (with, from string) {
	values, same := listed(s, e.Pairs, r.referenced(e), func(i int) string { return fmt.Sprintf("%s.reaper_f%d", name, i) },
		list{owner, r.Owners, "int4"})
	return "WITH " + name + " AS (" + statement + ")\n", " FROM " + name + " JOIN " + values + " ON " + same
}

// list is a list of values of a type, by the name of its column.
type list struct {
	name   string
	values *pg.Column
	typ    string
}

// listed is a relation of values of ours (reaper_v) with other lists beside them, and the condition
// that theirs, by expressions, are the same.
func listed(s *pg.Statement, pairs []schema.Comparison, v pg.Values, theirs func(int) string, besides ...list) (relation, same string) {
	var names, lists []string
	for i := range v {
		// As text: unnest would expand arrays and composites.
		names, lists = append(names, fmt.Sprintf("reaper_v%d", i)), append(lists, s.Array(v[i], pg.TextType))
	}
	same = pg.And(len(v), func(i int) string {
		return pairs[i].FindTheirs("reaper_v."+names[i]+"::"+pairs[i].Ours.SQLType, theirs(i))
	})
	for _, l := range besides {
		names, lists = append(names, l.name), append(lists, s.Array(l.values, l.typ))
	}
	return "unnest(" + strings.Join(lists, ", ") + ") reaper_v(" + strings.Join(names, ", ") + ")", same
}

// referencesOf are the columns by which a row references its parent.
func referencesOf(e *plan.Edge) string {
	columns := schema.Cols(e.Child.Table, e.ChildColumns)
	return pg.List(len(columns), func(i int) string { return fmt.Sprintf("%s AS reaper_f%d", columns[i], i) })
}

// Candidates are roots of many tenants, by their keys: for each the ordinal of its tenant, from 1,
// and the tenant's key.
type Candidates struct {
	Keys            pg.Values
	Owners, Tenants *pg.Column
}

// columns selects the rows of a node, as text: tableoid where it matters, ctid, referenced columns….
// It returns the names of what it selects, with the owner's.
func columns(n *plan.Node) (selected string, names []string) {
	if n.Table.Kind == schema.Partitioned {
		selected, names = plan.Locations(n.Table, n.Refs, nil)
		return selected, append(names, owner)
	}
	refs, names := plan.Numbered(schema.Cols(n.Table, n.Refs))
	place := pg.Ident(n.Table.Name.Name) + ".ctid::text AS tid"
	return strings.Join(append([]string{place}, refs...), ", "), append(append([]string{"tid"}, names...), owner)
}

// LockOwnedRootsSQL locks, of roots of many tenants, those that are expired, each by its own
// tenant's cutoff, and that no other transaction has locked. It gathers ctid, referenced columns…,
// owner.
func LockOwnedRootsSQL(p *plan.Plan, sc expiry.Scope, tenants []*plan.TenantCutoff, c Candidates) *pg.Statement {
	s := &pg.Statement{}
	t := p.Root.Table
	selected, names := columns(p.Root)
	s.Add("WITH ")
	p.CutoffsCTE(s, sc, tenants)
	keys := schema.Cols(t, plan.ColumnNames(p.Key))
	values, same := listed(s, schema.Themselves(p.Key, p.KeyOrders), c.Keys, func(i int) string { return keys[i] }, ownersOf(c)...)
	inner := "SELECT " + selected + ", reaper_v." + owner + "::text\n  FROM " + values + "\n  JOIN " + schema.From(t) + " ON " + same +
		"\n WHERE " + ownedCondition(p) + p.WhereCondition(s, sc, c.Keys) + "\n   FOR UPDATE OF " + pg.Ident(t.Name.Name) + " SKIP LOCKED"
	return s.Add("\n", pg.Gathered(inner, names))
}

// LockOwnedRangeSQL is LockOwnedRootsSQL for the roots within a range of ages.
func LockOwnedRangeSQL(p *plan.Plan, sc expiry.Scope, tenants []*plan.TenantCutoff, r *search.Range) *pg.Statement {
	s := &pg.Statement{}
	selected, names := columns(p.Root)
	s.Add("WITH ")
	p.CutoffsCTE(s, sc, tenants)
	rows := search.OwnedRange(p, s, sc, tenants, r, selected)
	return s.Add("\n", pg.Gathered("SELECT reaper_q.*, reaper_t.n::text AS "+owner+"\n  FROM "+rows, names))
}

// DeleteOwnedRootsSQL deletes locked roots of many tenants by location, with every condition
// repeated. keys are the tenants' keys, one for each root. The table is not partitioned.
func DeleteOwnedRootsSQL(p *plan.Plan, sc expiry.Scope, tenants []*plan.TenantCutoff, roots *Rows, keys *pg.Column) *pg.Statement {
	s := &pg.Statement{}
	t := p.Root.Table
	s.Add("WITH ")
	p.CutoffsCTE(s, sc, tenants)
	lists := append([]list{{"reaper_at", roots.CTIDs, "tid"}}, ownersOf(Candidates{Owners: roots.Owners, Tenants: keys})...)
	values, _ := listed(s, nil, nil, nil, lists...)
	return s.Add("\nDELETE FROM ", schema.From(t), " USING ", values, "\n WHERE ", pg.Ident(t.Name.Name), ".ctid = reaper_v.reaper_at AND ", ownedCondition(p), p.Qualifies())
}

func ownersOf(c Candidates) []list {
	return []list{{owner, c.Owners, "int4"}, {"reaper_tenant", c.Tenants, pg.TextType}}
}

func ownedCondition(p *plan.Plan) string {
	return p.OwnedCondition("reaper_v."+owner, "reaper_v.reaper_tenant")
}

// DeleteOwnedSQL deletes all rows behind an edge. It returns the owners and, for each, how many of
// its rows were deleted.
func DeleteOwnedSQL(e *plan.Edge, r *Rows) *pg.Statement {
	s := &pg.Statement{}
	with, from := ownersBehind(s, e, r, "reaper_d", "DELETE FROM "+schema.From(e.Child.Table)+" WHERE "+behind(s, e, r)+" RETURNING "+referencesOf(e))
	return countOwned(s, with, from)
}

// LockClearedSQL locks the rows behind an edge whose references ClearSQL clears. It returns the
// owners and, for each, how many rows there are.
func LockClearedSQL(e *plan.Edge, m *plan.Traversal, known map[*plan.Node]*Rows) *pg.Statement {
	s := &pg.Statement{}
	t := e.Child.Table
	with, from := ownersBehind(s, e, known[e.Parent], "reaper_d", "SELECT "+referencesOf(e)+" FROM "+schema.From(t)+" WHERE "+clearing(s, e, m, known)+" FOR UPDATE OF "+pg.Ident(t.Name.Name))
	return countOwned(s, with, from)
}

// countOwned counts rows by owner.
func countOwned(s *pg.Statement, with, from string) *pg.Statement {
	return s.Add(with, "SELECT coalesce(array_agg(o), '{}'), coalesce(array_agg(n), '{}') FROM (SELECT reaper_v.", owner, " AS o, count(*) AS n", from, "\n GROUP BY 1) reaper_x")
}
