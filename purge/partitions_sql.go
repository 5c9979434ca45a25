package purge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/partition"
	"github.com/reaperdb/reaper/schema"
)

// expiredPartitionsSQL gives the partitions, the oldest first, whose range ends
// below the latest cutoff that any tenant has, empty files left out: OID, schema,
// name, bound, end of the range, whether it begins above every age that never
// expires, the number of partitions, CHECK constraints, and what rules out
// dropping it. Both ends of a range are in the catalog as text.
func (p *Plan) expiredPartitionsSQL(sc scope) *statement {
	s := &statement{}
	latest := "(SELECT max(reaper_f.cutoff) AS cutoff FROM "
	if p.noTenant {
		latest += p.tenants.write(s, sc) + " reaper_f WHERE reaper_f.state = 'active')"
	} else {
		latest += p.fixed(s, sc) + " reaper_f)"
	}
	root := s.cast(int64(p.Root.Table.OID), "bigint::oid")
	end := func(pattern string) string {
		return "nullif(substring(pg_get_expr(c.relpartbound, c.oid) FROM " + pg.Literal(pattern) + "), "
	}
	s.add("SELECT x.oid::bigint, x.nspname, x.relname, x.bound, x.upper::text, x.lower IS NOT NULL AND x.lower > ", p.age.firstDated(), ", x.siblings,",
		"\n       array(SELECT k.conname::text FROM pg_constraint k WHERE k.conrelid = x.oid AND k.contype = 'c' ORDER BY 1),",
		"\n       ", schema.DropObstacle(root),
		"\n  FROM (SELECT c.oid, n.nspname::text, c.relname::text, c.relkind, c.relpersistence, c.relowner, pg_get_expr(c.relpartbound, c.oid) AS bound,",
		"\n               ", end(`FROM \('?([^']+)'?\) TO`), "'MINVALUE')::", p.age.column.Type, " AS lower,",
		"\n               ", end(` TO \('?([^']+)'?\)$`), "'MAXVALUE')::", p.age.column.Type, " AS upper,",
		"\n               count(*) OVER () AS siblings, bool_or(i.inhdetachpending) OVER () AS pending",
		"\n          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace",
		"\n         WHERE i.inhparent = ", root, ") x",
		"\n WHERE x.upper <= (SELECT ", p.age.surely("l.cutoff"), " FROM ", latest, " l) AND pg_relation_size(x.oid) > 0",
		"\n ORDER BY x.upper")
	return s
}

// firstDated is a value of the column's type below which all those lie that never
// expire, whatever its time zone: integers up to 0, and what stands for no time.
func (a age) firstDated() string {
	if a.integer() {
		return "0"
	}
	return "'1970-01-02'"
}

// closed writes the CTE reaper_c: the keys of the tenants for whom everything
// below the end of the partition's range is expired, by the earlier one of the
// cutoff of now and of the run's start. A key that comes twice is none of them.
func (p *Plan) closed(s *statement, sc scope, upper string) {
	sc.whole = true
	s.add("WITH reaper_c AS MATERIALIZED (")
	if p.noTenant {
		s.add("SELECT true AS key FROM ", p.tenants.write(s, sc), " reaper_s WHERE reaper_s.state = 'active' AND ",
			upper, " <= ", p.age.surely("reaper_s.cutoff"), ")")
		return
	}
	s.add("SELECT x.key FROM (\n  SELECT reaper_s.key, min(least(reaper_s.cutoff, reaper_f.cutoff)) AS cutoff\n    FROM ", p.fixed(s, sc),
		" reaper_f JOIN ", p.tenants.write(s, sc), " reaper_s ON reaper_f.tenant = reaper_s.key::text",
		"\n   GROUP BY reaper_s.key HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')) x\n WHERE ", upper, " <= ", p.age.surely("x.cutoff"), ")")
}

// rowsIn writes the rows of a partition, wherever it is attached: their lead
// columns l0, l1, …, and whether they are older than the end of its range and
// meant. The table has the root's name, by which a user's SQL may call it.
func (p *Plan) rowsIn(x schema.Partition, upper string) string {
	t := p.Root.Table
	a := col(t, p.age.column.Name)
	var b strings.Builder
	b.WriteString("(SELECT ")
	for i, c := range cols(t, p.lead()) {
		fmt.Fprintf(&b, "%s AS l%d, ", c, i)
	}
	b.WriteString("(" + p.age.valid(a) + " AND " + a + " < " + upper + parenthesized(p.where) + ") IS TRUE AS meant\n          FROM ONLY " +
		x.Name.SQL() + " AS " + ident(t.Name.Name) + ")")
	return b.String()
}

// owned tells that each row of the root belongs, by a foreign key, to one of the
// tenants, and that all are meant.
func (p *Plan) owned() bool {
	t := p.tenants
	if t.table == nil || len(p.hops) > 0 || p.Policy.Where.IsSet() {
		return false
	}
	lead, _ := p.Root.Table.Column(p.lead()[0])
	return lead.NotNull && slices.ContainsFunc(p.graph.Outgoing(p.Root.Table.OID), func(k schema.ForeignKey) bool {
		return k.Parent == t.table.OID && k.Validated && k.Enforced &&
			slices.Equal(k.ChildColumns, []string{lead.Name}) && slices.Equal(k.ParentColumns, []string{t.key.Name})
	})
}

// allExpiredSQL tells whether a partition has rows, and whether all of them are
// expired. It reads no further than the first that is not; and no row at all where
// everything of every tenant is. What it says is looked at again before the drop.
func (p *Plan) allExpiredSQL(sc scope, x schema.Partition) *statement {
	s := &statement{}
	upper := s.cast(x.Upper, p.age.column.Type)
	p.closed(s, sc, upper)
	s.add("\nSELECT EXISTS (SELECT FROM ONLY ", x.Name.SQL(), "),\n       CASE WHEN ")
	if x.Dated && p.owned() {
		s.add("NOT EXISTS (SELECT FROM (", p.tenants.relation(nil), ") reaper_s LEFT JOIN reaper_c ON ", p.tenants.same.findTheirs("reaper_c.key", "reaper_s.key"), " WHERE reaper_c.key IS NULL)")
	} else {
		s.add("false")
	}
	s.add(" THEN true\n            ELSE NOT EXISTS (SELECT FROM ", p.rowsIn(x, upper), " reaper_r\n         LEFT JOIN ")
	switch {
	case p.noTenant:
		s.add("reaper_c ON true")
	case len(p.hops) == 0:
		s.add("reaper_c ON ", p.owner.findOurs("reaper_c.key", "reaper_r.l0"))
	default:
		joins, _, key := p.pathJoin("")
		s.add("(", joins, " JOIN reaper_c ON ", p.owner.findOurs("reaper_c.key", key), ") ON ", and(len(p.hops[0].to), func(i int) string {
			return p.hops[0].pairs[i].findOurs("reaper_p1."+ident(p.hops[0].to[i]), fmt.Sprintf("reaper_r.l%d", i))
		}))
	}
	return s.add("\n        WHERE reaper_c.key IS NULL OR NOT reaper_r.meant) END")
}

// expiredCountsSQL counts the rows of a partition by tenant (text, or NULL),
// when all of them are expired; else it gives nothing.
func (p *Plan) expiredCountsSQL(sc scope, x schema.Partition) *statement {
	s := &statement{}
	upper := s.cast(x.Upper, p.age.column.Type)
	n := len(p.lead())
	lead := func(format string) string {
		return list(n, func(i int) string { return fmt.Sprintf(format, i) })
	}
	p.closed(s, sc, upper)
	s.add(",\nreaper_g AS MATERIALIZED (\n  SELECT ")
	if n > 0 {
		s.add(lead("reaper_r.l%d"), ", ")
	}
	s.add("count(*) AS n, count(*) FILTER (WHERE reaper_r.meant) AS meant\n    FROM ", p.rowsIn(x, upper), " reaper_r")
	if n > 0 {
		s.add("\n   GROUP BY ", lead("reaper_r.l%d"))
	}
	key := "reaper_s.key::text"
	if p.noTenant {
		key = "NULL::text"
	}
	s.add("),\nreaper_t AS MATERIALIZED (\n  SELECT ", key, " AS tenant, sum(reaper_g.n)::bigint AS n\n    FROM reaper_g")
	p.ownedBy(s, "reaper_c reaper_s", "reaper_g.l")
	// A row with two owners would be counted for both, and the sums differ.
	return s.add("\n   GROUP BY reaper_s.key)\nSELECT tenant, n FROM reaper_t",
		"\n WHERE n > 0 AND (SELECT sum(n) FROM reaper_t) = (SELECT sum(n) FROM reaper_g) AND (SELECT sum(meant) FROM reaper_g) = (SELECT sum(n) FROM reaper_g)")
}

// partitionStatements are the statements of a drop, for people.
func (p *Plan) partitionStatements(sc scope, section func(string, *statement)) {
	x := schema.Partition{Name: schema.Name{Schema: p.Root.Table.Name.Schema, Name: "PARTITION"}, Upper: "END OF ITS RANGE", Dated: true}
	text := func(sql string) *statement { return (&statement{}).add(sql) }
	section("partitions whose range ends below the latest cutoff", p.expiredPartitionsSQL(sc))
	section("whether all rows of one are expired", p.allExpiredSQL(sc, x))
	section("take it out", text(partition.DetachSQL(p.Root.Table.Name, x)))
	section("then in one transaction: lock it", text(partition.LockSQL(x)))
	section("count its rows by tenant, for the ledger, if all of them still are", p.expiredCountsSQL(sc, x))
	section("and drop it", text(partition.DropSQL(x)))
}
