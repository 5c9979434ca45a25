package drift

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/schema"
)

// catalogSQL reads what the catalog says of the plan's tables: the types of columns, and of the
// tables whose rows go ($3) or are emptied ($4) what else acts then. $1, $2: columns, by table and
// name; $3: tables, each with whether its rows are deleted ($4) and emptied ($5). Triggers that are
// copies of the parent's do not count: a partition more or less changes nothing.
var catalogSQL = `
WITH t AS MATERIALIZED (SELECT * FROM unnest($3::oid[], $4::bool[], $5::bool[]) t(top, deleted, emptied)),
parts AS MATERIALIZED (SELECT t.*, t.top AS oid FROM t
  UNION SELECT t.*, p.relid::oid FROM t JOIN pg_class c ON c.oid = t.top AND c.relkind = 'p' CROSS JOIN LATERAL pg_partition_tree(t.top) p),
fired AS MATERIALIZED (SELECT f.top, f.oid AS on, g.* FROM parts f JOIN pg_trigger g ON g.tgrelid = f.oid
  WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgenabled <> 'D' AND (f.deleted AND g.tgtype & 8 <> 0 OR f.emptied AND g.tgtype & 16 <> 0))
SELECT 'column', a.attrelid, a.attname::text, ` + usersql.ColumnSQL + `, false
  FROM unnest($1::oid[], $2::text[]) k(relation, name) JOIN pg_attribute a ON a.attrelid = k.relation AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT 'generated', a.attrelid, a.attname::text, md5(pg_get_expr(d.adbin, d.adrelid)), true
  FROM unnest($1::oid[], $2::text[]) k(relation, name) JOIN pg_attribute a ON a.attrelid = k.relation AND a.attname = k.name AND a.attgenerated <> '' JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL SELECT 'trigger', f.top, f.tgname || CASE WHEN f.on = f.top THEN '' ELSE ' of its partition ' || f.on::regclass::text END,
       pg_get_triggerdef(f.oid) || CASE f.tgenabled WHEN 'O' THEN '' ELSE ', enabled ' || CASE f.tgenabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END END, false FROM fired f
UNION ALL SELECT 'rule', f.top, r.rulename::text, pg_get_ruledef(r.oid), true FROM parts f JOIN pg_rewrite r ON r.ev_class = f.oid
 WHERE r.ev_enabled <> 'D' AND (f.deleted AND r.ev_type = '4' OR f.emptied AND r.ev_type = '2')
UNION ALL SELECT 'row-level', c.oid, 'security', CASE WHEN c.relforcerowsecurity THEN 'enabled, and forced on the owner' ELSE 'enabled' END, false FROM t JOIN pg_class c ON c.oid = t.top WHERE c.relrowsecurity
UNION ALL SELECT 'heir', c.oid, i.inhrelid::regclass::text, 'inherits', false FROM t JOIN pg_class c ON c.oid = t.top AND c.relkind = 'r' JOIN pg_inherits i ON i.inhparent = c.oid
UNION ALL SELECT 'trigger-function', 0, x.name, x.def, x.printed FROM (` + usersql.FunctionPrintSQL(`SELECT f.tgfoid FROM fired f`) + `) x(kind, nsp, rel, name, def, printed)`

// The timeouts of reading the catalog, in which partitions and rules are locked for reading.
const (
	lockTimeout      = 5 * time.Second
	statementTimeout = 30 * time.Second
)

func (t *taker) catalog(ctx context.Context, conn *pgx.Conn) error {
	var relations, tops []uint32
	var columns []string
	var deleted, emptied []bool
	names := map[uint32]schema.Name{}
	for k, table := range t.columns {
		relations, columns = append(relations, table.OID), append(columns, k[1])
		names[table.OID] = table.Name
	}
	for _, n := range t.plan.Nodes {
		clears := false
		for _, e := range n.In {
			clears = clears || e.Action.Clears()
		}
		tops, deleted, emptied = append(tops, n.Table.OID), append(deleted, n.Deleted), append(emptied, clears)
		names[n.Table.OID] = n.Table.Name
	}
	bounded := &pg.DB{Sender: conn, Before: []string{pg.Timeouts(lockTimeout, statementTimeout)}}
	rows, err := bounded.Query(ctx, catalogSQL, relations, columns, tops, deleted, emptied)
	if err != nil {
		return err
	}
	var kind, name, is string
	var oid uint32
	var printed bool
	_, err = pgx.ForEachRow(rows, []any{&kind, &oid, &name, &is, &printed}, func() error {
		t.add(catalogFact(kind, names[oid], name, is, printed))
		return nil
	})
	return err
}

func catalogFact(kind string, of schema.Name, name, is string, printed bool) Fact {
	f := Fact{What: kind + " " + name, Is: is, Printed: printed}
	switch kind {
	case "trigger-function": // of no table
	case ofColumn, "generated":
		f.What, f.Table = kind+" "+of.String()+"."+name, of.String()
	default:
		f.What, f.Table = kind+" "+name+" of "+of.String(), of.String()
	}
	return f
}
