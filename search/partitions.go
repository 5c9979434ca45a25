package search

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// ExpiredPartitionsSQL returns the non-empty partitions whose range ends below the latest of the
// tenants' cutoffs, oldest first: OID, schema, name, bound, end of the range, whether it begins
// above all ages that never expire, the number of partitions, CHECK constraints, and what prevents
// dropping it. The catalog has both ends of a range as text.
func ExpiredPartitionsSQL(p *plan.Plan, sc expiry.Scope) *pg.Statement {
	s := &pg.Statement{}
	latest := "(SELECT max(reaper_f.cutoff) AS cutoff FROM "
	if p.NoTenant {
		latest += p.Tenants.Write(s, sc) + " reaper_f WHERE reaper_f.state = 'active')"
	} else {
		latest += fixed(p, s, sc) + " reaper_f)"
	}
	root := s.Cast(int64(p.Root.Table.OID), "bigint::oid")
	end := func(pattern string) string {
		return "nullif(substring(pg_get_expr(c.relpartbound, c.oid) FROM " + pg.Literal(pattern) + "), "
	}
	s.Add("SELECT x.oid::bigint, x.nspname, x.relname, x.bound, x.upper::text, x.lower IS NOT NULL AND x.lower > ", firstDated(p.Age), ", x.siblings,",
		"\n       array(SELECT k.conname::text FROM pg_constraint k WHERE k.conrelid = x.oid AND k.contype = 'c' ORDER BY 1),",
		"\n       ", schema.DropObstacle(root),
		"\n  FROM (SELECT c.oid, n.nspname::text, c.relname::text, c.relkind, c.relpersistence, c.relowner, pg_get_expr(c.relpartbound, c.oid) AS bound,",
		"\n               ", end(`FROM \('?([^']+)'?\) TO`), "'MINVALUE')::", p.Age.Column.Type, " AS lower,",
		"\n               ", end(` TO \('?([^']+)'?\)$`), "'MAXVALUE')::", p.Age.Column.Type, " AS upper,",
		"\n               count(*) OVER () AS siblings, bool_or(i.inhdetachpending) OVER () AS pending",
		"\n          FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace",
		"\n         WHERE i.inhparent = ", root, ") x",
		"\n WHERE x.upper <= (SELECT ", p.Age.Surely("l.cutoff"), " FROM ", latest, " l) AND pg_relation_size(x.oid) > 0",
		"\n ORDER BY x.upper")
	return s
}

// firstDated is a value of the column's type up to which no value expires, in any time zone:
// integers up to 0, and dates that stand for no time.
func firstDated(a expiry.Age) string {
	if a.Integer() {
		return "0"
	}
	return "'1970-01-02'"
}

// closedTenants writes the CTE reaper_c: the keys of the tenants for which everything below the end
// of the partition's range is expired, by the earlier of the current cutoff and that of the run's
// start. A key that occurs twice is left out.
func closedTenants(p *plan.Plan, s *pg.Statement, sc expiry.Scope, upper string) {
	sc.Whole = true
	s.Add("WITH reaper_c AS MATERIALIZED (")
	if p.NoTenant {
		s.Add("SELECT true AS key FROM ", p.Tenants.Write(s, sc), " reaper_s WHERE reaper_s.state = 'active' AND ",
			upper, " <= ", p.Age.Surely("reaper_s.cutoff"), ")")
		return
	}
	sc.Graced = true
	s.Add("SELECT x.key FROM (\n  SELECT reaper_s.key, min(least(reaper_s.cutoff, reaper_f.cutoff)) AS cutoff\n    FROM ", fixed(p, s, sc),
		" reaper_f JOIN ", p.Tenants.Write(s, sc), " reaper_s ON reaper_f.tenant = reaper_s.key::text",
		"\n   GROUP BY reaper_s.key HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')) x\n WHERE ", upper, " <= ", p.Age.Surely("x.cutoff"), ")")
}

// partitionRows writes the rows of a partition, attached or not: their lead columns l0, l1, …, and
// meant: whether they satisfy where and are older than the end of its range. It is aliased to the
// root's name, which users' SQL may refer to.
func partitionRows(p *plan.Plan, x schema.Partition, upper string) string {
	t := p.Root.Table
	a := schema.Col(t, p.Age.Column.Name)
	var b strings.Builder
	b.WriteString("(SELECT ")
	for i, c := range schema.Cols(t, p.Lead()) {
		fmt.Fprintf(&b, "%s AS l%d, ", c, i)
	}
	b.WriteString("(" + p.Age.Valid(a) + " AND " + a + " < " + upper + p.Qualifies() + ") IS TRUE AS meant\n          FROM ONLY " +
		x.Name.SQL() + " AS " + pg.Ident(t.Name.Name) + ")")
	return b.String()
}

// AllExpiredSQL reports whether a partition has rows, and whether all of them are expired. It stops
// at the first row that is not, and reads none if everything of every tenant is expired. The drop
// checks the answer again.
func AllExpiredSQL(p *plan.Plan, sc expiry.Scope, x schema.Partition) *pg.Statement {
	s := &pg.Statement{}
	upper := s.Cast(x.Upper, p.Age.Column.Type)
	closedTenants(p, s, sc, upper)
	s.Add("\nSELECT EXISTS (SELECT FROM ONLY ", x.Name.SQL(), "),\n       CASE WHEN ")
	if x.Dated && p.Owned() {
		s.Add(p.NoRootHeld(), "NOT EXISTS (SELECT FROM (", p.Tenants.Relation(nil), ") reaper_s LEFT JOIN reaper_c ON ", p.Tenants.Same.FindTheirs("reaper_c.key", "reaper_s.key"), " WHERE reaper_c.key IS NULL)")
	} else {
		s.Add("false")
	}
	s.Add(" THEN true\n            ELSE NOT EXISTS (SELECT FROM ", partitionRows(p, x, upper), " reaper_r\n         LEFT JOIN ", OwnerJoin(p, "reaper_c", "reaper_c", "reaper_r.l"))
	return s.Add("\n        WHERE reaper_c.key IS NULL OR NOT reaper_r.meant) END")
}

// ExpiredCountsSQL counts the rows of a partition by tenant (text, or NULL) if all of them are
// expired; otherwise it returns nothing.
func ExpiredCountsSQL(p *plan.Plan, sc expiry.Scope, x schema.Partition) *pg.Statement {
	s := &pg.Statement{}
	upper := s.Cast(x.Upper, p.Age.Column.Type)
	n := len(p.Lead())
	lead := func(format string) string {
		return pg.List(n, func(i int) string { return fmt.Sprintf(format, i) })
	}
	closedTenants(p, s, sc, upper)
	s.Add(",\nreaper_g AS MATERIALIZED (\n  SELECT ")
	if n > 0 {
		s.Add(lead("reaper_r.l%d"), ", ")
	}
	s.Add("count(*) AS n, count(*) FILTER (WHERE reaper_r.meant) AS meant\n    FROM ", partitionRows(p, x, upper), " reaper_r")
	if n > 0 {
		s.Add("\n   GROUP BY ", lead("reaper_r.l%d"))
	}
	key := "reaper_s.key::text"
	if p.NoTenant {
		key = "NULL::text"
	}
	s.Add("),\nreaper_t AS MATERIALIZED (\n  SELECT ", key, " AS tenant, sum(reaper_g.n)::bigint AS n\n    FROM reaper_g")
	s.Add("\n  JOIN ", OwnerJoin(p, "reaper_c reaper_s", "reaper_s", "reaper_g.l"))
	// A row with two owners would be counted for both, and the sums differ.
	return s.Add("\n   GROUP BY reaper_s.key)\nSELECT tenant, n FROM reaper_t",
		"\n WHERE n > 0 AND (SELECT sum(n) FROM reaper_t) = (SELECT sum(n) FROM reaper_g) AND (SELECT sum(meant) FROM reaper_g) = (SELECT sum(n) FROM reaper_g)")
}
