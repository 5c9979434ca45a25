package schema

import "strings"

// Partition is a range partition of a table.
type Partition struct {
	OID   uint32
	Name  Name
	Bound string // FOR VALUES …, in UTC and with ISO dates
	Upper string // end of its range, as text of the partition key's type
	// Dated means that its range begins above every age that never expires.
	Dated  bool
	Checks []string // names of its CHECK constraints
}

// DropObstacle returns an SQL expression for the reason why partition x (oid, relkind,
// relpersistence, relowner, pending) of a table cannot be dropped: detached, and attached
// again if that turns out to be wrong. It is empty if there is no obstacle. root is an
// expression for the table's OID; pending means that an earlier detach was interrupted.
func DropObstacle(root string) string {
	return strings.ReplaceAll(`CASE WHEN x.relkind <> 'r' OR x.relpersistence = 't' THEN 'it is no ordinary table'
            WHEN NOT pg_has_role(x.relowner, 'USAGE') THEN 'this role does not own it'
            WHEN x.pending THEN 'the detach of one was interrupted'
            WHEN EXISTS (SELECT FROM pg_constraint k WHERE k.contype = 'f' AND k.confrelid IN (x.oid, ROOT)) THEN 'a foreign key references it'
            ELSE coalesce('event trigger ' || (`+EventTrigger+`) || ' fires on ALTER TABLE or DROP TABLE',
                 (`+lostSQL+`),
                 (`+dependsSQL+`) || ' depends on it', '') END`, "ROOT", root)
}

// EventTrigger is an SQL query for the name of an event trigger that would fire on detaching,
// attaching or dropping a partition. One that raises an error at the end of a command
// leaves a concurrent detach halfway, which cannot be finished or undone while the trigger
// exists.
const EventTrigger = `SELECT min(e.evtname::text) FROM pg_event_trigger e
              WHERE (e.evtenabled IN ('O', 'A') OR e.evtenabled = 'R' AND current_setting('session_replication_role') = 'replica')
                AND e.evtevent IN ('ddl_command_start', 'ddl_command_end', 'sql_drop', 'table_rewrite')
                AND (e.evttags IS NULL OR e.evttags OPERATOR(pg_catalog.&&) ARRAY['ALTER TABLE', 'DROP TABLE'])`

// lostSQL names what attaching x again would not restore or what would prevent it; NULL if
// nothing. Detaching drops the row triggers that x inherits from its table, and attaching
// recreates them from the table's, with this role's privileges. (Up to PostgreSQL 14 such a
// trigger counts as internal, and those of some foreign keys are recreated too.) Foreign
// keys and indexes are matched with the table's by definition, regardless of an index's
// sort order, and missing indexes are created.
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

// dependsSQL names an object that would make DROP TABLE x fail: it depends on the table, its
// row type or a sequence that belongs to it, and is not dropped with the table.
const dependsSQL = `SELECT min(pg_describe_object(d.classid, d.objid, d.objsubid)) FROM pg_depend d
              WHERE d.deptype = 'n' AND (d.refclassid, d.refobjid) IN (
                    SELECT 'pg_class'::regclass::oid, x.oid
                    UNION ALL SELECT 'pg_type'::regclass, t.oid FROM pg_type t WHERE t.typrelid = x.oid OR t.typelem IN (SELECT r.oid FROM pg_type r WHERE r.typrelid = x.oid)
                    UNION ALL SELECT 'pg_class'::regclass, o.objid FROM pg_depend o
                               WHERE o.classid = 'pg_class'::regclass AND o.refclassid = 'pg_class'::regclass AND o.refobjid = x.oid AND o.deptype IN ('a', 'i'))
                AND NOT EXISTS (SELECT FROM pg_depend o WHERE o.classid = d.classid AND o.objid = d.objid
                                   AND o.refclassid = 'pg_class'::regclass AND o.refobjid = x.oid AND o.deptype IN ('a', 'i', 'P', 'S'))`
