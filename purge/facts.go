package purge

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/schema"
)

// What a plan relies on may change after it was made: a foreign key is dropped, a
// trigger disabled, a table added that references another. So every batch locks the
// tables of the plan against such changes, takes a print of what the catalog says of
// them, and deletes nothing when it is another one than the plan's.

// errFacts: the catalog says something else of the tables than when they were planned.
var errFacts = errors.New("foreign keys, triggers, rules or row-level security of the plan's tables have changed since they were planned, or the search_path is no longer safe; the next run plans anew")

// errReplicaRole: a connection of the pool carries another client's setting.
var errReplicaRole = errors.New("session_replication_role is not origin on a connection of the pool, where foreign keys do not act: another client has left it behind; reset it there (RESET session_replication_role), and let the pooler reset connections (server_reset_query = DISCARD ALL)")

// lockTables locks the tables of the plan against changes of their foreign keys,
// triggers, rules and partitions, as far as the role may. Tables that it may not lock
// are only read, or emptied column by column.
func (p *Plan) lockTables() string {
	var names []string
	for _, n := range p.Nodes {
		if n.Table.CanLockRows && (n.Table.Kind == schema.Ordinary || n.Table.Kind == schema.Partitioned) {
			names = append(names, from(n.Table))
		}
	}
	return "LOCK TABLE " + strings.Join(names, ", ") + " IN ROW EXCLUSIVE MODE"
}

// factsSQL gives session_replication_role, and a print of what the catalog says of the
// tables of the plan: the triggers of others that can fire, and those of foreign keys.
// Every foreign key that references a table shows by its trigger there; the checks of
// those that it has itself (RI_FKey_check_ins and _upd in pg_proc.dat) count where it
// references a table of the plan. A partition that comes or goes leaves the print as it
// is, as long as its triggers are those of its table.
func (p *Plan) factsSQL() *statement {
	s := &statement{}
	var all, partitioned []uint32
	var deleted, emptied, child []bool
	for _, n := range p.Nodes {
		all, deleted, emptied, child = append(all, n.Table.OID), append(deleted, n.Deleted), append(emptied, n.emptied()), append(child, len(n.In) > 0)
		if n.Table.Kind == schema.Partitioned {
			partitioned = append(partitioned, n.Table.OID)
		}
	}
	tables, parts := s.cast(all, "oid[]"), "false"
	s.add("WITH n AS MATERIALIZED (SELECT * FROM unnest(", tables, ", ", s.cast(deleted, "bool[]"), ", ", s.cast(emptied, "bool[]"), ", ", s.cast(child, "bool[]"), ") n(top, deleted, emptied, child)),",
		"\nf AS MATERIALIZED (SELECT n.*, n.top AS oid FROM n")
	if len(partitioned) > 0 {
		s.add(" UNION SELECT n.*, t.relid::oid FROM n CROSS JOIN LATERAL pg_partition_tree(n.top) t WHERE n.top = ANY (", s.cast(partitioned, "oid[]"), ")")
		parts = "f.oid <> f.top AND (t.tgparentid <> 0 OR EXISTS (SELECT FROM pg_constraint k WHERE k.oid = t.tgconstraint AND k.conparentid <> 0))"
	}
	s.add(")\nSELECT current_setting('session_replication_role'), md5(string_agg(x, ' ' ORDER BY x COLLATE \"C\")) FROM (",
		"SELECT DISTINCT CASE WHEN ", parts, " THEN concat_ws(',', 'part', f.top, t.tgfoid, t.tgtype, t.tgenabled)",
		"\n         ELSE concat_ws(',', 'trigger', t.tgrelid, t.oid, t.tgfoid, t.tgtype, t.tgenabled, t.tgconstraint) END AS x FROM f JOIN pg_trigger t ON t.tgrelid = f.oid",
		"\n        WHERE CASE WHEN NOT t.tgisinternal THEN f.deleted AND t.tgtype & 8 <> 0 OR f.emptied AND t.tgtype & 16 <> 0",
		" WHEN t.tgfoid::oid = ANY (ARRAY[1644, 1645]::oid[]) THEN f.child ELSE true END",
		"\nUNION ALL SELECT concat_ws(',', 'table', c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relowner, row_security_active(c.oid)) FROM pg_class c WHERE c.oid = ANY (", tables, ")",
		"\nUNION ALL SELECT concat_ws(',', 'rule', r.oid, r.ev_class, r.ev_type, r.ev_enabled) FROM pg_rewrite r WHERE r.ev_class = ANY (", tables, ")",
		"\nUNION ALL SELECT concat_ws(',', 'heir', i.inhrelid, i.inhparent) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent AND c.relkind = 'r' WHERE i.inhparent = ANY (", tables, ")",
		"\nUNION ALL SELECT concat_ws(',', 'subscription', u.srrelid, u.srsubid) FROM f JOIN pg_subscription_rel u ON u.srrelid = f.oid")
	if p.ownPath.writing {
		schemas := s.cast(p.foreignSchemas(), "text[]")
		s.add("\nUNION ALL SELECT concat_ws(',', 'function', o.oid) FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE n.nspname = ANY (", schemas, ")",
			"\nUNION ALL SELECT concat_ws(',', 'operator', o.oid) FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE n.nspname = ANY (", schemas, ")")
	}
	return s.add(") c")
}

// foreignSchemas are the schemas of the role's search_path in which functions could be
// put that stand in for others.
func (p *Plan) foreignSchemas() []string {
	return slices.DeleteFunc(slices.Clone(p.server.SearchPath), func(s string) bool { return s == "pg_catalog" })
}

// keysAct takes the print, unless the plan has errors, and then refuses foreign keys that
// PostgreSQL does not carry out: what changes in between, every batch will notice.
func (c *compiler) keysAct() error {
	p := c.plan
	if !p.HasErrors() {
		s := p.factsSQL()
		if err := c.conn.QueryRow(c.ctx, s.String(), s.args...).Scan(new(string), &p.facts); err != nil {
			return fmt.Errorf("reading what the catalog says of the tables: %w", err)
		}
	}
	oids := []uint32{}
	for _, e := range p.Edges {
		for _, k := range e.keys {
			oids = append(oids, k.OID)
			if !k.Enforced {
				p.problem(LevelError, fmt.Sprintf("foreign key %s of %s is NOT ENFORCED: PostgreSQL neither checks it nor acts on it", k.Name, k.ChildName),
					fmt.Sprintf("ALTER TABLE %s ALTER CONSTRAINT %s ENFORCED; -- or drop the key, and declare the reference with match", ident(k.ChildName.Schema, k.ChildName.Name), ident(k.Name)))
			}
		}
	}
	rows, err := c.conn.Query(c.ctx, idleKeysSQL, oids)
	if err != nil {
		return fmt.Errorf("reading the triggers of foreign keys: %w", err)
	}
	idle, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ Key, Child, On, Fix string }])
	if err != nil {
		return fmt.Errorf("reading the triggers of foreign keys: %w", err)
	}
	for _, x := range idle {
		fix := x.Fix
		if fix == "" {
			fix = "drop the foreign key and add it again"
		}
		p.problem(LevelError, fmt.Sprintf("foreign key %s of %s does not act: its triggers on %s are disabled, or fire in another role alone", x.Key, x.Child, x.On), fix)
	}
	return nil
}

// idleKeysSQL gives the foreign keys, among those with OIDs $1, whose triggers are not
// all enabled, on every partition and at both ends: the key, its table, the table of
// the triggers, and what enables them (which takes a superuser). A partition has a key
// of its own; one that merely names a partition at the other end has no triggers there
// (addFkRecurseReferenced and addFkRecurseReferencing in tablecmds.c). OIDs of functions
// are those of pg_proc.dat: RI_FKey_check_ins and _upd, and the RI_FKey_*_del.
const idleKeysSQL = `
WITH RECURSIVE key AS (
  SELECT k.*, k.oid AS top FROM pg_constraint k WHERE k.oid = ANY ($1::oid[])
  UNION ALL SELECT k.*, key.top FROM pg_constraint k JOIN key ON k.conparentid = key.oid WHERE k.contype = 'f'),
ends AS (
  SELECT key.top, key.oid, key.conrelid AS rel, 2 AS wanted, ARRAY[1644, 1645] AS functions FROM key
   WHERE NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = key.conparentid AND up.conrelid = key.conrelid)
  UNION ALL SELECT key.top, key.oid, key.confrelid, 1, ARRAY[1646, 1648, 1650, 1652, 1654] FROM key
   WHERE NOT EXISTS (SELECT FROM pg_constraint up WHERE up.oid = key.conparentid AND up.confrelid = key.confrelid))
SELECT whole.conname, format('%I.%I', tn.nspname, tc.relname), format('%I.%I', n.nspname, c.relname),
       coalesce((SELECT string_agg(format('ALTER TABLE %I.%I ENABLE TRIGGER %I;', n.nspname, c.relname, t.tgname), ' ' ORDER BY t.tgname)
                   FROM pg_trigger t WHERE t.tgconstraint = ends.oid AND t.tgrelid = ends.rel AND t.tgenabled NOT IN ('O', 'A')), '')
  FROM ends JOIN pg_class c ON c.oid = ends.rel AND c.relkind = 'r' JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_constraint whole ON whole.oid = ends.top JOIN pg_class tc ON tc.oid = whole.conrelid JOIN pg_namespace tn ON tn.oid = tc.relnamespace
 WHERE to_jsonb(whole)->>'conenforced' IS DISTINCT FROM 'false'
   AND ends.wanted <> (SELECT count(*) FROM pg_trigger t WHERE t.tgconstraint = ends.oid AND t.tgrelid = ends.rel AND t.tgfoid::int = ANY (ends.functions) AND t.tgenabled IN ('O', 'A'))
 ORDER BY 1, 2, 3`
