package purge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// cursor is a place in the order of a walk; the zero cursor is its start.
type cursor struct {
	set bool
	age string
	// key is the rest of the tuple; nil: rows of that age are yet to be seen.
	key []*string
}

// page is the size of a page of PostgreSQL, in bytes, as it is unless somebody
// compiled it otherwise: no row takes more, but for what is TOASTed.
const page = 8192

// sizeOf is the number of bytes of a row of the root as it is stored, TOASTed
// values included, without reading them. Where nothing is TOASTed, and not even
// a batch of the largest rows could be too large, the rows are not looked at:
// then the index alone may answer the search.
func (p *Plan) sizeOf() string {
	t := p.Root.Table
	if limits := p.Policy.Limits; t.ToastBytes == 0 && int64(limits.Rows)*page <= limits.Bytes {
		return fmt.Sprintf("%d::bigint", page)
	}
	var b strings.Builder
	b.WriteString("24")
	for _, c := range t.Columns {
		if c.Varlena {
			b.WriteString(" + coalesce(pg_column_size(" + col(t, c.Name) + "), 0)")
		} else {
			b.WriteString(" + 8")
		}
	}
	return "(" + b.String() + ")::bigint"
}

// leadPairs are how the lead columns compare with what they reference.
func (p *Plan) leadPairs() []comparison {
	switch {
	case p.noTenant:
		return nil
	case len(p.hops) > 0:
		return p.hops[0].pairs
	}
	return []comparison{p.owner}
}

// behind is the condition that a row comes after a place in the order of columns, by
// the operators that ORDER BY goes by.
func behind(columns []string, orders []*schema.Order, place []string) string {
	named := func(i int) string {
		if orders[i] == nil { // an age: one of PostgreSQL's own types
			return "OPERATOR(pg_catalog.>)"
		}
		return orders[i].Greater.String()
	}
	for i := range columns {
		if named(i) != "OPERATOR(pg_catalog.>)" {
			return behindEach(columns, orders, place, named)
		}
	}
	return row(columns) + " OPERATOR(pg_catalog.>) " + row(place)
}

// behindEach is for types of others: a row comparison takes its operators from one
// schema.
func behindEach(columns []string, orders []*schema.Order, place []string, greater func(int) string) string {
	var or []string
	for i := range columns {
		and := ""
		for k := range i {
			and += columns[k] + " " + equalOf(orders[k]) + " " + place[k] + " AND "
		}
		or = append(or, "("+and+columns[i]+" "+greater(i)+" "+place[i]+")")
	}
	first := "(" + columns[0] + " " + greater(0) + " " + place[0] + " OR " + columns[0] + " " + equalOf(orders[0]) + " " + place[0] + ")"
	return first + " AND (" + strings.Join(or, " OR ") + ")"
}

func equalOf(o *schema.Order) string {
	if o == nil {
		return "OPERATOR(pg_catalog.=)"
	}
	return o.Equal.String()
}

// walkSQL reads up to limit rows of one group (rows that share the lead
// columns) from a cursor on, below the cutoff: age, key…, whether the row is
// expired and meant, and its size. byKey orders rows of one age by the key.
func (p *Plan) walkSQL(w *TenantCutoff, group []*string, at cursor, byKey bool, limit int) *statement {
	s := &statement{}
	t := p.Root.Table
	a := col(t, p.age.column.Name)
	cutoff := s.cast(w.Cutoff, "timestamptz")
	conditions := p.groupConditions(s, group)
	conditions = append(conditions, p.age.valid(a), a+" < "+p.age.bound(cutoff))
	if p.whereLeads && p.where != "" {
		conditions = append(conditions, "("+p.where+"\n)")
	}
	rest := cols(t, p.orderKey())
	switch {
	case at.set && at.key == nil:
		conditions = append(conditions, a+" >= "+s.cast(at.age, p.age.column.SQLType))
	case at.set:
		tuple, orders := []string{s.cast(at.age, p.age.column.SQLType)}, []*schema.Order{nil}
		for i, n := range p.orderKey() {
			k, _ := t.Column(n)
			tuple = append(tuple, s.cast(at.key[i], k.SQLType))
			orders = append(orders, p.keyOrders[slices.Index(columnNames(p.key), n)])
		}
		conditions = append(conditions, behind(append([]string{a}, rest...), orders, tuple))
	}
	order := []string{a}
	if byKey {
		order = append(order, rest...)
	}
	s.add("SELECT ", a, "::text, ", p.meantSQL(cutoff), ", ", p.sizeOf(), ", ",
		strings.Join(texts(cols(t, columnNames(p.key))), ", "),
		"\n  FROM ", from(t), "\n WHERE ", strings.Join(conditions, "\n   AND "),
		"\n ORDER BY ", strings.Join(order, ", "), fmt.Sprintf("\n LIMIT %d", limit))
	return s
}

func (p *Plan) groupConditions(s *statement, group []*string) []string {
	var conditions []string
	for i, x := range p.leadPairs() {
		conditions = append(conditions, x.findTheirs(x.value(s, group[i]), col(p.Root.Table, p.lead()[i])))
	}
	return conditions
}

// meantSQL tells whether a row below the bound is expired and meant by where.
func (p *Plan) meantSQL(cutoff string) string {
	t := p.Root.Table
	return "(true" + p.age.recheck(col(t, p.age.column.Name), cutoff) + parenthesized(p.where) + ") IS TRUE"
}

// probeSQL finds the age of the oldest expired row of one group, by one look
// into the index that leads from the group to the age.
func (p *Plan) probeSQL(cutoff string, lead func(int) string) string {
	t := p.Root.Table
	a := col(t, p.age.column.Name)
	var b strings.Builder
	b.WriteString("SELECT " + a + " AS at FROM " + from(t) + " WHERE ")
	for i, x := range p.leadPairs() {
		b.WriteString(x.findTheirs(lead(i), col(t, p.lead()[i])) + " AND ")
	}
	b.WriteString(p.age.expired(a, cutoff) + parenthesized(p.where) + " ORDER BY " + a + " LIMIT 1")
	return b.String()
}

// dueSQL gives the tenants that have something due, the most overdue first: key
// and cutoff.
func (p *Plan) dueSQL(sc scope) *statement { return p.due(&statement{}, sc) }

func (p *Plan) due(s *statement, sc scope) *statement {
	sc.whole = true
	s.add("SELECT x.key::text, x.cutoff::text FROM (\n  SELECT reaper_s.key, reaper_s.cutoff, max(reaper_s.cutoff - ",
		p.age.instant("reaper_x.at"), ") AS lag\n    FROM ", p.tenants.write(s, sc), " reaper_s")
	p.probes(s, "reaper_s.cutoff")
	s.add("\n   WHERE reaper_s.state = 'active'\n   GROUP BY reaper_s.key, reaper_s.cutoff) x\n ORDER BY x.lag DESC, x.key")
	return s
}

// activeSQL gives all tenants that have a cutoff: key and cutoff.
func (p *Plan) activeSQL(sc scope) *statement {
	s := &statement{}
	sc.whole = true
	return s.add("SELECT reaper_s.key::text, reaper_s.cutoff::text FROM ", p.tenants.write(s, sc), " reaper_s WHERE reaper_s.state = 'active'")
}

// pageSQL gives those of a page of a run's tenants that have something due
// still, in their order: key and cutoff, which is the earlier one of now and of
// the run's start. A page is the ranks above after, up to pageEnd.
func (p *Plan) pageSQL(sc scope, after, pageEnd int64) *statement {
	s := &statement{}
	cutoff := "least(reaper_s.cutoff, reaper_f.cutoff)"
	s.add("SELECT reaper_f.tenant, min(", cutoff, ")::text\n  FROM ", p.fixed(s, sc), " reaper_f JOIN ", p.tenants.write(s, sc),
		" reaper_s ON ", p.tenants.same.findTheirs("reaper_f.tenant::"+p.tenants.key.SQLType, "reaper_s.key"))
	p.probes(s, cutoff)
	s.add("\n WHERE reaper_f.rank > ", s.cast(after, "bigint"), " AND reaper_f.rank <= ", s.cast(pageEnd, "bigint"),
		" AND reaper_s.state = 'active'\n GROUP BY reaper_f.rank, reaper_f.tenant\n ORDER BY reaper_f.rank")
	return s
}

// fixed writes the tenants of a run with the cutoffs of its start.
func (p *Plan) fixed(s *statement, sc scope) string {
	return "(SELECT rank, tenant, cutoff FROM " + sc.cutoffs + " WHERE run_id = " + s.cast(sc.run, "uuid") +
		" AND policy = " + s.cast(p.Policy.Name, "text") + ")"
}

// probes joins tenants (reaper_s) with the age of the oldest expired row of
// each of their groups (reaper_x.at).
func (p *Plan) probes(s *statement, cutoff string) {
	lead := func(int) string { return "reaper_s.key" }
	if len(p.hops) > 0 {
		joins, _, key := p.pathJoin("")
		s.add("\n    JOIN ", p.bracketed(joins), " ON ", p.owner.findTheirs("reaper_s.key", key))
		lead = func(i int) string { return "reaper_p1." + ident(p.hops[0].to[i]) }
	}
	s.add("\n   CROSS JOIN LATERAL (", p.probeSQL(cutoff, lead), ") reaper_x")
}

// groupsSQL gives a page of the groups of one tenant that have something due,
// in the order of their columns.
func (p *Plan) groupsSQL(w *TenantCutoff, after []*string, limit int) *statement {
	s := &statement{}
	joins, _, key := p.pathJoin("")
	first := p.hops[0]
	names := make([]string, len(first.to))
	types := make([]string, len(first.to))
	for i, n := range first.to {
		k, _ := first.table.Column(n)
		names[i], types[i] = "reaper_p1."+ident(n), k.SQLType
	}
	cutoff := s.cast(w.Cutoff, "timestamptz")
	s.add("SELECT ", strings.Join(texts(names), ", "), "\n  FROM ", joins,
		"\n WHERE ", p.owner.findTheirs(p.owner.value(s, w.Key), key),
		"\n   AND EXISTS (", p.probeSQL(cutoff, func(i int) string { return names[i] }), ")")
	if after != nil {
		tuple := make([]string, len(after))
		for i := range after {
			tuple[i] = s.cast(after[i], types[i])
		}
		s.add("\n   AND ", behind(names, p.groupOrders, tuple))
	}
	s.add("\n ORDER BY ", strings.Join(names, ", "), fmt.Sprintf("\n LIMIT %d", limit))
	return s
}

// sweepSQL reads the next limit rows along the key, or along the ages up to the
// latest cutoff, all tenants together, and gives those that are expired, each with
// its tenant and cutoff (the earlier one of now and of the run's start): kind 0,
// size, tenant, cutoff, NULL, key…. The last row is kind 1: the number of rows
// read, and the age and the key where the reading ended.
func (p *Plan) sweepSQL(sc scope, after []*string, latest string, limit int) *statement {
	s := &statement{}
	t := p.Root.Table
	a := col(t, p.age.column.Name)
	n := len(p.key)
	order, types := cols(t, columnNames(p.key)), []string{}
	for _, k := range p.key {
		types = append(types, k.SQLType)
	}
	orders := p.keyOrders
	var conditions []string
	if p.Strategy == AgeSweep {
		order, types, orders = append([]string{a}, order...), append([]string{p.age.column.SQLType}, types...), append([]*schema.Order{nil}, orders...)
		conditions = append(conditions, p.age.valid(a), a+" < "+p.age.bound(s.cast(latest, "timestamptz")))
	}
	if after != nil {
		tuple := make([]string, len(order))
		for i := range tuple {
			tuple[i] = s.cast(after[i], types[i])
		}
		conditions = append(conditions, behind(order, orders, tuple))
	}
	s.add("WITH reaper_w AS MATERIALIZED (\n  SELECT ")
	for i, k := range cols(t, columnNames(p.key)) {
		s.add(k, fmt.Sprintf(" AS k%d, ", i))
	}
	for i, c := range cols(t, p.lead()) {
		s.add(c, fmt.Sprintf(" AS l%d, ", i))
	}
	s.add(a, " AS age, (", p.age.valid(a), parenthesized(p.where), ") IS TRUE AS meant, ", p.sizeOf(), " AS size",
		"\n    FROM ", from(t))
	if len(conditions) > 0 {
		s.add("\n   WHERE ", strings.Join(conditions, "\n     AND "))
	}
	s.add("\n   ORDER BY ", strings.Join(order, ", "), fmt.Sprintf(" LIMIT %d)", limit))
	k := func(prefix string) string {
		return list(n, func(i int) string { return fmt.Sprintf("%sk%d::text", prefix, i) })
	}
	cutoff := "reaper_s.cutoff"
	if !p.noTenant {
		cutoff = "least(reaper_s.cutoff, reaper_f.cutoff)"
	}
	s.add("\nSELECT 0, w.size, reaper_s.key::text, ", cutoff, "::text, NULL, ", k("w."), "\n  FROM reaper_w w")
	relation := p.tenants.write(s, sc) + " reaper_s"
	switch {
	case p.noTenant:
		s.add(" CROSS JOIN ", relation)
	case len(p.hops) == 0:
		s.add(" JOIN ", relation, " ON ", p.owner.findOurs("reaper_s.key", "w.l0"))
	default:
		joins, _, key := p.pathJoin("")
		s.add(" JOIN ", p.bracketed(joins), " ON ", and(len(p.hops[0].to), func(i int) string {
			return p.hops[0].pairs[i].findOurs("reaper_p1."+ident(p.hops[0].to[i]), fmt.Sprintf("w.l%d", i))
		}), "\n  JOIN ", relation, " ON ", p.owner.findOurs("reaper_s.key", key))
	}
	if !p.noTenant {
		s.add("\n  JOIN ", p.fixed(s, sc), " reaper_f ON reaper_f.tenant = reaper_s.key::text")
	}
	s.add("\n WHERE w.meant AND reaper_s.state = 'active' AND ", p.age.expired("w.age", cutoff))
	last := make([]string, 0, n+1)
	if p.Strategy == AgeSweep {
		last = append(last, "w.age DESC")
	}
	for i := range n {
		last = append(last, fmt.Sprintf("w.k%d DESC", i))
	}
	return s.add("\nUNION ALL\n(SELECT 1, (SELECT count(*) FROM reaper_w), NULL, NULL, w.age::text, ", k("w."), " FROM reaper_w w ORDER BY ",
		strings.Join(last, ", "), " LIMIT 1)")
}

// rest are the values of a key that stand in the cursor beside the age.
func (p *Plan) rest(key []*string) []*string {
	rest := []*string{}
	for _, n := range p.orderKey() {
		for i, k := range p.key {
			if k.Name == n {
				rest = append(rest, key[i])
			}
		}
	}
	return rest
}
