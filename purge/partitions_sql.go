package purge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// partition is a range partition of the root.
type partition struct {
	oid    uint32
	name   schema.Name
	bound  string // FOR VALUES …, in UTC and with ISO dates
	upper  string // where its range ends, as text of the age's type
	checks []string
}

func (x partition) ident() string { return ident(x.name.Schema, x.name.Name) }

// expiredPartitionsSQL gives the partitions, the oldest first, whose range ends
// below the latest cutoff that any tenant has, empty files left out: OID, schema,
// name, bound, end of the range, CHECK constraints, the number of partitions, and
// what stands against dropping it. The end of a range is in the catalog as text.
func (p *Plan) expiredPartitionsSQL(sc scope) *statement {
	s := &statement{}
	latest := "(SELECT max(reaper_f.cutoff) AS cutoff FROM "
	if p.noTenant {
		latest += p.tenants.write(s, sc) + " reaper_f WHERE reaper_f.state = 'active')"
	} else {
		latest += p.fixed(s, sc) + " reaper_f)"
	}
	root := s.cast(int64(p.Root.Table.OID), "bigint::oid")
	s.add("SELECT x.oid::bigint, x.nspname, x.relname, x.bound, x.upper::text, x.siblings,",
		"\n       array(SELECT k.conname::text FROM pg_constraint k WHERE k.conrelid = x.oid AND k.contype = 'c' ORDER BY 1),",
		"\n       CASE WHEN x.relkind <> 'r' OR x.relpersistence = 't' THEN 'it is no ordinary table'",
		"\n            WHEN NOT pg_has_role(x.relowner, 'USAGE') THEN 'this role does not own it'",
		"\n            WHEN x.pending THEN 'the detach of one was interrupted'",
		"\n            WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid IN (x.oid, ", root, ")) THEN 'a foreign key references it'",
		"\n            ELSE coalesce((", dependsSQL, ") || ' depends on it', '') END",
		"\n  FROM (SELECT c.oid, n.nspname::text, c.relname::text, c.relkind, c.relpersistence, c.relowner, pg_get_expr(c.relpartbound, c.oid) AS bound,",
		"\n               nullif(substring(pg_get_expr(c.relpartbound, c.oid) FROM ", quoteLiteral(` TO \('?([^']+)'?\)$`), "), 'MAXVALUE')::", p.age.column.Type, " AS upper,",
		"\n               count(*) OVER () AS siblings, bool_or(i.inhdetachpending) OVER () AS pending",
		"\n          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace",
		"\n         WHERE i.inhparent = ", root, ") x",
		"\n WHERE x.upper <= (SELECT ", p.age.surely("l.cutoff"), " FROM ", latest, " l) AND pg_relation_size(x.oid) > 0",
		"\n ORDER BY x.upper")
	return s
}

// dependsSQL names an object that would keep a DROP of x from working: one that
// needs the table, its row type or a sequence that goes with it, and does not
// itself go with the table.
const dependsSQL = `SELECT min(pg_describe_object(d.classid, d.objid, d.objsubid)) FROM pg_depend d
              WHERE d.deptype = 'n' AND (d.refclassid, d.refobjid) IN (
                    SELECT 'pg_class'::regclass::oid, x.oid
                    UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type t WHERE t.typrelid = x.oid OR t.typelem IN (SELECT r.oid FROM pg_type r WHERE r.typrelid = x.oid)
                    UNION ALL SELECT 'pg_class'::regclass, o.objid FROM pg_depend o
                               WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass AND o.refobjid = x.oid AND o.deptype IN ('a', 'i'))
                AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid
                                   AND o.refclassid = 'pg_class'::regclass AND o.refobjid = x.oid AND o.deptype IN ('a', 'i', 'P', 'S'))`

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
func (p *Plan) rowsIn(x partition, upper string) string {
	t := p.Root.Table
	a := col(t, p.age.column.Name)
	var b strings.Builder
	b.WriteString("(SELECT ")
	for i, c := range cols(t, p.lead()) {
		fmt.Fprintf(&b, "%s AS l%d, ", c, i)
	}
	b.WriteString("(" + p.age.valid(a) + " AND " + a + " < " + upper + parenthesized(p.where) + ") IS TRUE AS meant\n          FROM ONLY " +
		x.ident() + " AS " + ident(t.Name.Name) + ")")
	return b.String()
}

// begins tells that the range has a beginning: -infinity, which never expires, is
// not in it.
func (x partition) begins() bool {
	return !strings.Contains(x.bound, "FROM (MINVALUE)") && !strings.Contains(x.bound, "FROM ('-infinity')")
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
func (p *Plan) allExpiredSQL(sc scope, x partition) *statement {
	s := &statement{}
	upper := s.cast(x.upper, p.age.column.Type)
	p.closed(s, sc, upper)
	s.add("\nSELECT EXISTS (SELECT FROM ONLY ", x.ident(), "),\n       CASE WHEN ")
	if x.begins() && p.owned() {
		s.add("NOT EXISTS (SELECT FROM (", p.tenants.relation(nil), ") reaper_s LEFT JOIN reaper_c ON reaper_c.key = reaper_s.key WHERE reaper_c.key IS NULL)")
	} else {
		s.add("false")
	}
	s.add(" THEN true\n            ELSE NOT EXISTS (SELECT FROM ", p.rowsIn(x, upper), " reaper_r\n         LEFT JOIN ")
	switch {
	case p.noTenant:
		s.add("reaper_c ON true")
	case len(p.hops) == 0:
		s.add("reaper_c ON reaper_c.key = reaper_r.l0")
	default:
		joins, _, key := p.pathJoin("")
		s.add("(", joins, " JOIN reaper_c ON reaper_c.key = ", key, ") ON ", and(len(p.hops[0].to), func(i int) string {
			return "reaper_p1." + ident(p.hops[0].to[i]) + fmt.Sprintf(" = reaper_r.l%d", i)
		}))
	}
	return s.add("\n        WHERE reaper_c.key IS NULL OR NOT reaper_r.meant) END")
}

// expiredCountsSQL counts the rows of a partition by tenant (text, or NULL),
// when all of them are expired; else it gives nothing.
func (p *Plan) expiredCountsSQL(sc scope, x partition) *statement {
	s := &statement{}
	upper := s.cast(x.upper, p.age.column.Type)
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

// detachSQL takes a partition out of its table. It can stand in no transaction.
func (p *Plan) detachSQL(x partition) string {
	return "ALTER TABLE " + ident(p.Root.Table.Name.Schema, p.Root.Table.Name.Name) + " DETACH PARTITION " + x.ident() + " CONCURRENTLY"
}

// partitionStatements are the statements of a drop, for people.
func (p *Plan) partitionStatements(sc scope, section func(string, *statement)) {
	x := partition{name: schema.Name{Schema: p.Root.Table.Name.Schema, Name: "PARTITION"}, upper: "END OF ITS RANGE"}
	text := func(sql string) *statement { return (&statement{}).add(sql) }
	section("partitions whose range ends below the latest cutoff", p.expiredPartitionsSQL(sc))
	section("whether all rows of one are expired", p.allExpiredSQL(sc, x))
	section("take it out", text(p.detachSQL(x)))
	section("then in one transaction: lock it", text(lockPartition(x)))
	section("count its rows by tenant, for the ledger, if all of them still are", p.expiredCountsSQL(sc, x))
	section("and drop it", text("DROP TABLE "+x.ident()))
}

func lockPartition(x partition) string {
	return "LOCK TABLE ONLY " + x.ident() + " IN ACCESS EXCLUSIVE MODE"
}
