// Package search has every statement that finds expired roots: the tenants that have something due,
// the walks, steps and sweeps over their rows, the backlog, whole partitions, and which roots are kept.
// It also finds roots of a range of ages again to delete them.
package search

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// TenantPage is the maximum number of due tenants in memory.
const TenantPage = 2000

// SweepRows is how many rows of the root one statement of a sweep reads.
const SweepRows = 10_000

// Cursor is a position in a walk; the zero cursor is its start.
type Cursor struct {
	Set bool
	Age string
	// Key is the rest of the tuple; nil: rows of that age are not read yet.
	Key []*string
}

// toastThreshold is about the size of a row, in bytes, above which PostgreSQL TOASTs values.
const toastThreshold = 2048

// sizeOf is the stored size of a root's row in bytes, including TOASTed values, without reading
// those. If nothing is TOASTed and a batch of the largest rows is within the limit, it is a
// constant, so that an index-only scan can serve the search.
func sizeOf(p *plan.Plan) string {
	t := p.Root.Table
	if limits := p.Policy.Limits; t.ToastBytes == 0 && int64(limits.Rows)*toastThreshold <= limits.Bytes {
		return fmt.Sprintf("%d::bigint", toastThreshold)
	}
	var b strings.Builder
	b.WriteString("24")
	for _, c := range t.Columns {
		if c.Varlena {
			b.WriteString(" + coalesce(pg_column_size(" + schema.Col(t, c.Name) + "), 0)")
		} else {
			b.WriteString(" + 8")
		}
	}
	return "(" + b.String() + ")::bigint"
}

// WalkSQL reads up to limit rows of one group (rows that share the lead columns) from a cursor on,
// below the cutoff: age, whether the row is expired and satisfies where, its size, key…. byKey
// orders rows of one age by the key.
func WalkSQL(p *plan.Plan, w *plan.TenantCutoff, group []*string, at Cursor, byKey bool, limit int) *pg.Statement {
	s := &pg.Statement{}
	t := p.Root.Table
	a := schema.Col(t, p.Age.Column.Name)
	cutoff := s.Cast(w.Cutoff, "timestamptz")
	conditions := groupConditions(p, s, group)
	conditions = append(conditions, p.Age.Valid(a), a+" < "+p.Age.Bound(cutoff))
	if p.WhereLeads && p.Where != "" {
		conditions = append(conditions, "("+p.Where+"\n)")
	}
	rest := schema.Cols(t, p.OrderKey())
	switch {
	case at.Set && at.Key == nil:
		conditions = append(conditions, a+" >= "+s.Cast(at.Age, p.Age.Column.SQLType))
	case at.Set:
		tuple, orders := []string{s.Cast(at.Age, p.Age.Column.SQLType)}, []*schema.Order{nil}
		for i, n := range p.OrderKey() {
			k, _ := t.Column(n)
			tuple = append(tuple, s.Cast(at.Key[i], k.SQLType))
			orders = append(orders, p.KeyOrders[slices.Index(plan.ColumnNames(p.Key), n)])
		}
		conditions = append(conditions, schema.After(append([]string{a}, rest...), orders, tuple))
	}
	order := []string{a}
	if byKey {
		order = append(order, rest...)
	}
	s.Add("SELECT ", a, "::text, ", meantSQL(p, cutoff), ", ", sizeOf(p), ", ",
		strings.Join(texts(schema.Cols(t, plan.ColumnNames(p.Key))), ", "),
		"\n  FROM ", schema.From(t), "\n WHERE ", strings.Join(conditions, "\n   AND "),
		"\n ORDER BY ", strings.Join(order, ", "), fmt.Sprintf("\n LIMIT %d", limit))
	return s
}

func groupConditions(p *plan.Plan, s *pg.Statement, group []*string) []string {
	pairs := p.LeadPairs()
	return leadConditions(p, func(i int) string { return pairs[i].Value(s, group[i]) })
}

// leadConditions find the rows whose columns of the tenant have the values that lead gives.
func leadConditions(p *plan.Plan, lead func(int) string) (conditions []string) {
	for i, x := range p.LeadPairs() {
		conditions = append(conditions, x.FindTheirs(lead(i), schema.Col(p.Root.Table, p.Lead()[i])))
	}
	return conditions
}

// meantSQL reports whether a row below the bound is expired and satisfies where.
func meantSQL(p *plan.Plan, cutoff string) string {
	t := p.Root.Table
	return "(true" + p.Age.Recheck(schema.Col(t, p.Age.Column.Name), cutoff) + p.Sought() + ") IS TRUE"
}

// probeSQL finds the age of the oldest expired row of one group with one lookup in the index from
// the group to the age.
func probeSQL(p *plan.Plan, cutoff string, lead func(int) string) string {
	t := p.Root.Table
	a := schema.Col(t, p.Age.Column.Name)
	var b strings.Builder
	b.WriteString("SELECT " + a + " AS at FROM " + schema.From(t) + " WHERE ")
	for _, c := range leadConditions(p, lead) {
		b.WriteString(c + " AND ")
	}
	b.WriteString(p.Age.Expired(a, cutoff) + p.Sought() + " ORDER BY " + a + " LIMIT 1")
	return b.String()
}

// DueSQL returns the tenants that have anything due, the most overdue first: key and cutoff.
func DueSQL(p *plan.Plan, sc expiry.Scope) *pg.Statement { return Due(p, &pg.Statement{}, sc) }

// Due adds DueSQL to another statement.
func Due(p *plan.Plan, s *pg.Statement, sc expiry.Scope) *pg.Statement {
	sc.Whole = true
	s.Add("SELECT x.key::text, x.cutoff::text FROM (\n  SELECT reaper_s.key, reaper_s.cutoff, max(reaper_s.cutoff - ",
		p.Age.Instant("reaper_x.at"), ") AS lag\n    FROM ", Owing(p, s, sc), " reaper_s")
	Probes(p, s, "reaper_s.cutoff")
	s.Add("\n   WHERE reaper_s.state = 'active'\n   GROUP BY reaper_s.key, reaper_s.cutoff) x\n ORDER BY x.lag DESC, x.key")
	return s
}

// Owing is the relation of tenants (key, state, cutoff) to probe for what is due. Where there is
// grace, those that have nothing due by their own cutoff are left out, and not looked up in the
// ledger.
func Owing(p *plan.Plan, s *pg.Statement, sc expiry.Scope) string {
	if p.Tenants.Grace == nil || sc.Graced {
		return p.Tenants.Write(s, sc)
	}
	sc.Graced = true
	inner := s.Inner()
	inner.Add("(SELECT reaper_s.key, reaper_s.state, ", p.Tenants.GracedCutoff("reaper_s.key", "reaper_s.cutoff", s.Cast(sc.Base, "timestamptz")),
		" AS cutoff FROM (\n  SELECT reaper_s.key, reaper_s.state, reaper_s.cutoff FROM ", p.Tenants.Write(s, sc), " reaper_s")
	Probes(p, inner, "reaper_s.cutoff")
	inner.Add("\n   WHERE reaper_s.state = 'active'\n   GROUP BY reaper_s.key, reaper_s.state, reaper_s.cutoff) reaper_s OFFSET 0)")
	return inner.String()
}

// ActiveSQL returns all tenants with a cutoff: key and cutoff.
func ActiveSQL(p *plan.Plan, sc expiry.Scope) *pg.Statement {
	s := &pg.Statement{}
	sc.Whole = true
	return s.Add("SELECT reaper_s.key::text, reaper_s.cutoff::text FROM ", p.Tenants.Write(s, sc), " reaper_s WHERE reaper_s.state = 'active'")
}

// PageSQL returns, in order, the tenants of a page of a run that still have anything due: key and
// cutoff, the earlier of the current one and that of the run's start. A page is the ranks above
// after, up to pageEnd.
func PageSQL(p *plan.Plan, sc expiry.Scope, after, pageEnd int64) *pg.Statement {
	s := &pg.Statement{}
	sc.Graced = true
	cutoff := "least(reaper_s.cutoff, reaper_f.cutoff)"
	s.Add("SELECT reaper_f.tenant, min(", cutoff, ")::text\n  FROM ", fixed(p, s, sc), " reaper_f JOIN ", p.Tenants.Write(s, sc),
		" reaper_s ON ", p.Tenants.Same.FindTheirs("reaper_f.tenant::"+p.Tenants.Key.SQLType, "reaper_s.key"))
	Probes(p, s, cutoff)
	s.Add("\n WHERE reaper_f.rank > ", s.Cast(after, "bigint"), " AND reaper_f.rank <= ", s.Cast(pageEnd, "bigint"),
		" AND reaper_s.state = 'active'\n GROUP BY reaper_f.rank, reaper_f.tenant\n ORDER BY reaper_f.rank")
	return s
}

// fixed writes the tenants of a run with the cutoffs of the run's start.
func fixed(p *plan.Plan, s *pg.Statement, sc expiry.Scope) string {
	return "(SELECT rank, tenant, cutoff FROM " + sc.Cutoffs + " WHERE run_id = " + s.Cast(sc.Run, "uuid") +
		" AND policy = " + s.Cast(p.Policy.Name, "text") + ")"
}

// Probes joins tenants (reaper_s) with the age of the oldest expired row of each of their groups
// (reaper_x.at).
func Probes(p *plan.Plan, s *pg.Statement, cutoff string) {
	groups, lead := groupsOf(p, "reaper_s.key")
	s.Add(groups, "\n   CROSS JOIN LATERAL (", probeSQL(p, cutoff, lead), ") reaper_x")
}

// groupsOf joins tenants, by an expression of their key, with their groups, and returns the
// expressions that the lead columns of a group's rows are compared with.
func groupsOf(p *plan.Plan, key string) (join string, lead func(int) string) {
	if len(p.Hops) == 0 {
		return "", func(int) string { return key }
	}
	joins, _, last := p.PathJoin("")
	return "\n    JOIN " + parenthesizedJoin(p, joins) + " ON " + p.Owner.FindTheirs(key, last),
		func(i int) string { return "reaper_p1." + pg.Ident(p.Hops[0].To[i]) }
}

// GroupsSQL returns a page of the groups of one tenant that have anything due, ordered by their
// columns.
func GroupsSQL(p *plan.Plan, w *plan.TenantCutoff, after []*string, limit int) *pg.Statement {
	s := &pg.Statement{}
	joins, _, key := p.PathJoin("")
	first := p.Hops[0]
	names := make([]string, len(first.To))
	types := make([]string, len(first.To))
	for i, n := range first.To {
		k, _ := first.Table.Column(n)
		names[i], types[i] = "reaper_p1."+pg.Ident(n), k.SQLType
	}
	cutoff := s.Cast(w.Cutoff, "timestamptz")
	s.Add("SELECT ", strings.Join(texts(names), ", "), "\n  FROM ", joins,
		"\n WHERE ", p.Owner.FindTheirs(p.Owner.Value(s, w.Key), key),
		"\n   AND EXISTS (", probeSQL(p, cutoff, func(i int) string { return names[i] }), ")")
	if after != nil {
		tuple := make([]string, len(after))
		for i := range after {
			tuple[i] = s.Cast(after[i], types[i])
		}
		s.Add("\n   AND ", schema.After(names, p.GroupOrders, tuple))
	}
	s.Add("\n ORDER BY ", strings.Join(names, ", "), fmt.Sprintf("\n LIMIT %d", limit))
	return s
}

// SweepSQL reads the next limit rows for all tenants at once, along the key, or along the ages up
// to the latest cutoff. It returns the expired ones with tenant and cutoff (the earlier of the
// current one and that of the run's start) as kind 0: size, tenant, cutoff, NULL, key…. The last
// row is kind 1: the number of rows read, and the age and key of the last.
func SweepSQL(p *plan.Plan, sc expiry.Scope, after []*string, latest string, limit int) *pg.Statement {
	s := &pg.Statement{}
	t := p.Root.Table
	a := schema.Col(t, p.Age.Column.Name)
	n := len(p.Key)
	order, types := schema.Cols(t, plan.ColumnNames(p.Key)), []string{}
	for _, k := range p.Key {
		types = append(types, k.SQLType)
	}
	orders := p.KeyOrders
	var conditions []string
	if p.Strategy == plan.AgeSweep {
		order, types, orders = append([]string{a}, order...), append([]string{p.Age.Column.SQLType}, types...), append([]*schema.Order{nil}, orders...)
		conditions = append(conditions, p.Age.Valid(a), a+" < "+p.Age.Bound(s.Cast(latest, "timestamptz")))
	}
	if after != nil {
		tuple := make([]string, len(order))
		for i := range tuple {
			tuple[i] = s.Cast(after[i], types[i])
		}
		conditions = append(conditions, schema.After(order, orders, tuple))
	}
	s.Add("WITH reaper_w AS MATERIALIZED (\n  SELECT ")
	for i, k := range schema.Cols(t, plan.ColumnNames(p.Key)) {
		s.Add(k, fmt.Sprintf(" AS k%d, ", i))
	}
	for i, c := range schema.Cols(t, p.Lead()) {
		s.Add(c, fmt.Sprintf(" AS l%d, ", i))
	}
	s.Add(a, " AS age, (", p.Age.Valid(a), p.Sought(), ") IS TRUE AS meant, ", sizeOf(p), " AS size",
		"\n    FROM ", schema.From(t))
	if len(conditions) > 0 {
		s.Add("\n   WHERE ", strings.Join(conditions, "\n     AND "))
	}
	s.Add("\n   ORDER BY ", strings.Join(order, ", "), fmt.Sprintf(" LIMIT %d)", limit))
	k := func(prefix string) string {
		return pg.List(n, func(i int) string { return fmt.Sprintf("%sk%d::text", prefix, i) })
	}
	cutoff := "reaper_s.cutoff"
	if !p.NoTenant {
		cutoff, sc.Graced = "least(reaper_s.cutoff, reaper_f.cutoff)", true
	}
	s.Add("\nSELECT 0, w.size, reaper_s.key::text, ", cutoff, "::text, NULL, ", k("w."), "\n  FROM reaper_w w")
	s.Add("\n  JOIN ", OwnerJoin(p, p.Tenants.Write(s, sc)+" reaper_s", "reaper_s", "w.l"))
	if !p.NoTenant {
		s.Add("\n  JOIN ", fixed(p, s, sc), " reaper_f ON reaper_f.tenant = reaper_s.key::text")
	}
	s.Add("\n WHERE w.meant AND reaper_s.state = 'active' AND ", p.Age.Expired("w.age", cutoff))
	last := make([]string, 0, n+1)
	if p.Strategy == plan.AgeSweep {
		last = append(last, "w.age DESC")
	}
	for i := range n {
		last = append(last, fmt.Sprintf("w.k%d DESC", i))
	}
	return s.Add("\nUNION ALL\n(SELECT 1, (SELECT count(*) FROM reaper_w), NULL, NULL, w.age::text, ", k("w."), " FROM reaper_w w ORDER BY ",
		strings.Join(last, ", "), " LIMIT 1)")
}

// KeyAfterAge are the key's values that follow the age in the cursor.
func KeyAfterAge(p *plan.Plan, key []*string) []*string {
	rest := []*string{}
	for _, n := range p.OrderKey() {
		for i, k := range p.Key {
			if k.Name == n {
				rest = append(rest, key[i])
			}
		}
	}
	return rest
}

// Behind is the place in the walk of one tenant's rows that a place in the order of age and
// key of all rows stands for: rows that come after it are seen. Where the key has columns
// that all rows of a tenant share, so may be rows of the same age that come before it.
func Behind(p *plan.Plan, c Cursor) Cursor {
	if !c.Set || c.Key == nil {
		return c
	}
	key := KeyAfterAge(p, c.Key)
	if len(key) < len(p.Key) {
		return Cursor{Set: true, Age: c.Age}
	}
	return Cursor{Set: true, Age: c.Age, Key: key}
}

// parenthesizedJoin parenthesizes joins; PostgreSQL allows parentheses only around a join.
func parenthesizedJoin(p *plan.Plan, joins string) string {
	if len(p.Hops) > 1 {
		return "(" + joins + ")"
	}
	return joins
}

func texts(columns []string) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c + "::text"
	}
	return out
}
