package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// The catalog may change after planning: a foreign key is dropped, a trigger disabled, a table
// added that references another. So every batch locks the plan's tables against such changes,
// computes a fingerprint of their catalog entries, and deletes nothing if it differs from the
// plan's.

// ErrSchemaChanged means that the catalog fingerprint differs from the plan's.
var ErrSchemaChanged = errors.New("foreign keys, triggers, rules or row-level security of the plan's tables have changed since they were planned, or the search_path is no longer safe; the next run plans anew")

// ErrReplicaRole means that a pooled connection kept another client's setting.
var ErrReplicaRole = errors.New("session_replication_role is not origin on a connection of the pool, where foreign keys do not act: another client has left it behind; reset it there (RESET session_replication_role), and let the pooler reset connections (server_reset_query = DISCARD ALL)")

// LockTables locks the plan's tables against changes to their foreign keys, triggers, rules and
// partitions. It leaves out tables that the role may not lock: those are only read, or have columns
// cleared.
func (p *Plan) LockTables() string {
	var names []string
	for _, n := range p.Nodes {
		if n.Table.CanLockRows && (n.Table.Kind == schema.Ordinary || n.Table.Kind == schema.Partitioned) {
			names = append(names, schema.From(n.Table))
		}
	}
	return "LOCK TABLE " + strings.Join(names, ", ") + " IN ROW EXCLUSIVE MODE"
}

// CatalogPrintSQL returns session_replication_role and a fingerprint of the catalog entries of the
// plan's tables. It covers the users' triggers that can fire and the triggers of foreign keys. A
// foreign key shows by its triggers on the referenced table; the check triggers on the referencing
// side (RI_FKey_check_ins and _upd in pg_proc.dat) count only if it references a table of the plan.
// Adding or dropping a partition does not change the fingerprint as long as its triggers match its
// parent's.
func (p *Plan) CatalogPrintSQL() *pg.Statement {
	s := &pg.Statement{}
	var all, partitioned []uint32
	var deleted, emptied, child []bool
	for _, n := range p.Nodes {
		all, deleted, emptied, child = append(all, n.Table.OID), append(deleted, n.Deleted), append(emptied, n.cleared()), append(child, len(n.In) > 0)
		if n.Table.Kind == schema.Partitioned {
			partitioned = append(partitioned, n.Table.OID)
		}
	}
	tables, parts := s.Cast(all, "oid[]"), "false"
	s.Add("WITH n AS MATERIALIZED (SELECT * FROM unnest(", tables, ", ", s.Cast(deleted, "bool[]"), ", ", s.Cast(emptied, "bool[]"), ", ", s.Cast(child, "bool[]"), ") n(top, deleted, emptied, child)),",
		"\nf AS MATERIALIZED (SELECT n.*, n.top AS oid FROM n")
	if len(partitioned) > 0 {
		s.Add(" UNION SELECT n.*, t.relid::oid FROM n CROSS JOIN LATERAL pg_partition_tree(n.top) t WHERE n.top = ANY (", s.Cast(partitioned, "oid[]"), ")")
		parts = "f.oid <> f.top AND (t.tgparentid <> 0 OR EXISTS (SELECT FROM pg_constraint k WHERE k.oid = t.tgconstraint AND k.conparentid <> 0))"
	}
	s.Add(")\nSELECT current_setting('session_replication_role'), md5(string_agg(x, ' ' ORDER BY x COLLATE \"C\")) FROM (",
		"SELECT DISTINCT CASE WHEN ", parts, " THEN concat_ws(',', 'part', f.top, t.tgfoid, t.tgtype, t.tgenabled)",
		"\n         ELSE concat_ws(',', 'trigger', t.tgrelid, t.oid, t.tgfoid, t.tgtype, t.tgenabled, t.tgconstraint) END AS x FROM f JOIN pg_trigger t ON t.tgrelid = f.oid",
		"\n        WHERE CASE WHEN NOT t.tgisinternal THEN f.deleted AND t.tgtype & 8 <> 0 OR f.emptied AND t.tgtype & 16 <> 0",
		" WHEN t.tgfoid::oid = ANY (ARRAY[1644, 1645]::oid[]) THEN f.child ELSE true END",
		"\nUNION ALL SELECT concat_ws(',', 'table', c.oid, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.relowner, row_security_active(c.oid)) FROM pg_class c WHERE c.oid = ANY (", tables, ")",
		"\nUNION ALL SELECT concat_ws(',', 'rule', r.oid, r.ev_class, r.ev_type, r.ev_enabled) FROM pg_rewrite r WHERE r.ev_class = ANY (", tables, ")",
		"\nUNION ALL SELECT concat_ws(',', 'heir', i.inhrelid, i.inhparent) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhparent AND c.relkind = 'r' WHERE i.inhparent = ANY (", tables, ")",
		"\nUNION ALL SELECT concat_ws(',', 'subscription', u.srrelid, u.srsubid) FROM f JOIN pg_subscription_rel u ON u.srrelid = f.oid")
	if p.ownPath.writing {
		schemas := s.Cast(p.foreignSchemas(), "text[]")
		s.Add("\nUNION ALL SELECT concat_ws(',', 'function', o.oid) FROM pg_proc o JOIN pg_namespace n ON n.oid = o.pronamespace WHERE n.nspname = ANY (", schemas, ")",
			"\nUNION ALL SELECT concat_ws(',', 'operator', o.oid) FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE n.nspname = ANY (", schemas, ")")
	}
	return s.Add(") c")
}

// foreignSchemas are the schemas of the role's search_path where somebody could create a function
// that shadows another.
func (p *Plan) foreignSchemas() []string {
	return slices.DeleteFunc(slices.Clone(p.Server.SearchPath), func(s string) bool { return s == "pg_catalog" })
}

// checkForeignKeys computes the fingerprint, unless the plan has errors. Only then does it refuse
// foreign keys that PostgreSQL does not enforce, so that every batch detects later changes.
func (c *compiler) checkForeignKeys() error {
	p := c.plan
	if !p.HasErrors() {
		s := p.CatalogPrintSQL()
		if err := c.conn.QueryRow(c.ctx, s.String(), s.Args...).Scan(new(string), &p.CatalogPrint); err != nil {
			return fmt.Errorf("reading the catalog fingerprint: %w", err)
		}
	}
	oids := []uint32{}
	for _, e := range p.Edges {
		for _, k := range e.Keys {
			oids = append(oids, k.OID)
			if !k.Enforced {
				p.AddProblem(LevelError, fmt.Sprintf("foreign key %s of %s is NOT ENFORCED: PostgreSQL neither checks it nor acts on it", k.Name, k.ChildName),
					fmt.Sprintf("ALTER TABLE %s ALTER CONSTRAINT %s ENFORCED; -- or drop the key, and declare the reference with match", pg.Ident(k.ChildName.Schema, k.ChildName.Name), pg.Ident(k.Name)))
			}
		}
	}
	if err := c.known.readIdle(c.ctx, c.conn, oids); err != nil {
		return err
	}
	var idle []schema.IdleKey
	for _, oid := range slices.Compact(slices.Sorted(slices.Values(oids))) {
		idle = append(idle, c.known.idle[oid]...)
	}
	slices.SortFunc(idle, schema.IdleKey.Compare)
	for _, x := range idle {
		fix := x.Fix
		if fix == "" {
			fix = "drop the foreign key and add it again"
		}
		p.AddProblem(LevelError, fmt.Sprintf("foreign key %s of %s does not act: its triggers on %s are disabled, or fire only in another session_replication_role", x.Key, x.Child, x.On), fix)
	}
	return nil
}
