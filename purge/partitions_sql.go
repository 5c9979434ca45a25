package purge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// partition is a range partition of the root.
type partition struct {
	oid   uint32
	name  schema.Name
	bound string // FOR VALUES …, in UTC and with ISO dates
	upper string // where its range ends, as text of the age's type
	// dated: its range begins above every age that never expires.
	dated  bool
	checks []string
}

func (x partition) ident() string { return ident(x.name.Schema, x.name.Name) }

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
		"\n       ", againstSQL(root),
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

// stillAgainstSQL gives what rules out dropping a partition now; empty: nothing.
func (p *Plan) stillAgainstSQL(x partition) *statement {
	s := &statement{}
	root, oid := s.cast(int64(p.Root.Table.OID), "bigint::oid"), s.cast(int64(x.oid), "bigint::oid")
	return s.add("SELECT ", againstSQL(root),
		"\n  FROM (SELECT c.oid, c.relkind, c.relpersistence, c.relowner,",
		"\n               EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = ", root, " AND i.inhdetachpending) AS pending",
		"\n          FROM pg_class c WHERE c.oid = ", oid, ") x")
}

// againstSQL says of the partition x (oid, relkind, relpersistence, relowner, pending)
// what rules out dropping it; empty: nothing.
func againstSQL(root string) string {
	return strings.ReplaceAll(`CASE WHEN x.relkind <> 'r' OR x.relpersistence = 't' THEN 'it is no ordinary table'
            WHEN NOT pg_has_role(x.relowner, 'USAGE') THEN 'this role does not own it'
            WHEN x.pending THEN 'the detach of one was interrupted'
            WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid IN (x.oid, ROOT)) THEN 'a foreign key references it'
            ELSE coalesce('event trigger ' || (`+eventTriggerSQL+`) || ' fires on ALTER TABLE or DROP TABLE',
                 (`+lostSQL+`),
                 (`+dependsSQL+`) || ' depends on it', '') END`, "ROOT", root)
}

// eventTriggerSQL names an event trigger that would fire when a partition is detached,
// attached or dropped. One that raises an error at the end of a command leaves a
// concurrent detach halfway, and nothing can finish or undo it while the trigger is
// there.
const eventTriggerSQL = `SELECT min(e.evtname::text) FROM pg_event_trigger e
              WHERE (e.evtenabled IN ('O', 'A') OR e.evtenabled = 'R' AND current_setting('session_replication_role') = 'replica')
                AND e.evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite')
                AND (e.evttags IS NULL OR e.evttags OPERATOR(pg_catalog.&&) ARRAY['ALTER TABLE', 'DROP TABLE'])`

// lostSQL names what attaching x again would not bring back as it was, or what would
// keep it from being attached; NULL: nothing. The detach drops the row triggers that x
// has of its table; the attach makes them anew, from the table's and with this role's
// privileges. (Up to 14 such a trigger counts as internal, and the triggers of some
// foreign keys are made anew too.) Foreign keys and indexes are paired with the
// table's by their definition, whatever the order of an index, and an index that is
// missing is made.
const lostSQL = `SELECT CASE
              WHEN EXISTS (SELECT FROM pg_trigger t LEFT JOIN pg_trigger p ON p.oid = t.tgparentid
                            WHERE t.tgrelid = x.oid AND (p.oid IS NOT NULL OR t.tgisinternal)
                              AND (t.tgenabled <> coalesce(p.tgenabled, 'O') OR NOT p.tgisinternal AND t.tgname <> p.tgname
                                   OR EXISTS (SELECT FROM pg_description d WHERE d.classoid = 'pg_trigger'::regclass AND d.objoid = t.oid)))
                   THEN 'a trigger of it is enabled, named or commented otherwise than its table''s'
              WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = ROOT AND NOT t.tgisinternal AND t.tgtype OPERATOR(pg_catalog.&) 1::smallint <> 0
                              AND NOT (has_function_privilege(t.tgfoid, 'EXECUTE') AND has_table_privilege(x.oid, 'TRIGGER')))
                   THEN 'this role may not create the triggers of its table'
              WHEN EXISTS (SELECT FROM pg_constraint k JOIN pg_constraint o ON o.conrelid = k.conrelid AND o.oid > k.oid AND o.contype = 'f'
                              AND o.confrelid = k.confrelid AND o.conkey = k.conkey
                            WHERE k.contype = 'f' AND k.conrelid = x.oid)
                   THEN 'two foreign keys of it are alike'
              WHEN EXISTS (SELECT FROM pg_index p WHERE p.indrelid = ROOT AND NOT EXISTS (
                           SELECT FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid WHERE h.inhparent = p.indexrelid AND i.indrelid = x.oid))
                   THEN 'an index of its table is missing in it'
              WHEN EXISTS (SELECT FROM pg_index i JOIN pg_index o ON o.indrelid = i.indrelid AND o.indexrelid > i.indexrelid
                              AND o.indkey::text = i.indkey::text AND o.indclass::text = i.indclass::text AND o.indcollation::text = i.indcollation::text
                              AND o.indnkeyatts = i.indnkeyatts AND o.indisunique = i.indisunique
                              AND pg_get_expr(o.indexprs, o.indrelid) IS NOT DISTINCT FROM pg_get_expr(i.indexprs, i.indrelid)
                              AND pg_get_expr(o.indpred, o.indrelid) IS NOT DISTINCT FROM pg_get_expr(i.indpred, i.indrelid)
                            WHERE i.indrelid = x.oid AND EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid IN (i.indexrelid, o.indexrelid)))
                   THEN 'two indexes of it are alike' END`

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
	if x.dated && p.owned() {
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
	x := partition{name: schema.Name{Schema: p.Root.Table.Name.Schema, Name: "PARTITION"}, upper: "END OF ITS RANGE", dated: true}
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
