package drift

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// The parts of plans, by their ordinals: $1 to $3 the columns they rely on, by plan, table and name;
// $4 to $7 tables, by plan, each with whether its rows are deleted and emptied. Triggers that are
// copies of the parent's do not count: a partition more or less changes nothing.
const (
	partsSQL = `
WITH t AS MATERIALIZED (SELECT * FROM unnest($4::int[], $5::oid[], $6::bool[], $7::bool[]) t(plan, top, deleted, emptied)),
parts AS MATERIALIZED (SELECT t.*, t.top AS oid FROM t
  UNION SELECT t.*, p.relid::oid FROM t JOIN pg_class c ON c.oid = t.top AND c.relkind = 'p' CROSS JOIN LATERAL pg_partition_tree(t.top) p),
fired AS MATERIALIZED (SELECT f.plan, f.top, f.oid AS on, g.* FROM parts f JOIN pg_trigger g ON g.tgrelid = f.oid
  WHERE NOT g.tgisinternal AND g.tgparentid = 0 AND g.tgenabled <> 'D' AND (f.deleted AND g.tgtype & 8 <> 0 OR f.emptied AND g.tgtype & 16 <> 0)),
k AS MATERIALIZED (SELECT * FROM unnest($1::int[], $2::oid[], $3::text[]) k(plan, relation, name))`

	// catalogSQL reads what the catalog says of the plans' tables: the types of columns, and of the
	// tables whose rows go or are emptied what else acts then.
	catalogSQL = partsSQL + `
SELECT k.plan, 'column', a.attrelid, a.attname::text, ` + usersql.ColumnSQL + `, false
  FROM k JOIN pg_attribute a ON a.attrelid = k.relation AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT k.plan, 'generated', a.attrelid, a.attname::text, md5(pg_get_expr(d.adbin, d.adrelid)), true
  FROM k JOIN pg_attribute a ON a.attrelid = k.relation AND a.attname = k.name AND a.attgenerated <> '' JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
UNION ALL SELECT f.plan, 'trigger', f.top, f.tgname || CASE WHEN f.on = f.top THEN '' ELSE ' of its partition ' || f.on::regclass::text END,
       pg_get_triggerdef(f.oid) || CASE f.tgenabled WHEN 'O' THEN '' ELSE ', enabled ' || CASE f.tgenabled WHEN 'A' THEN 'ALWAYS' ELSE 'REPLICA' END END, false FROM fired f
UNION ALL SELECT f.plan, 'rule', f.top, r.rulename::text, pg_get_ruledef(r.oid), true FROM parts f JOIN pg_rewrite r ON r.ev_class = f.oid
 WHERE r.ev_enabled <> 'D' AND (f.deleted AND r.ev_type = '4' OR f.emptied AND r.ev_type = '2')
UNION ALL SELECT t.plan, 'row-level', c.oid, 'security', CASE WHEN c.relforcerowsecurity THEN 'enabled, and forced on the owner' ELSE 'enabled' END, false FROM t JOIN pg_class c ON c.oid = t.top WHERE c.relrowsecurity
UNION ALL SELECT t.plan, 'heir', c.oid, i.inhrelid::regclass::text, 'inherits', false FROM t JOIN pg_class c ON c.oid = t.top AND c.relkind = 'r' JOIN pg_inherits i ON i.inhparent = c.oid`
)

// functionsSQL reads the functions of the triggers of one plan.
var functionsSQL = partsSQL + `
SELECT 1, 'trigger-function', 0::oid, x.name, x.def, x.printed FROM (` + usersql.FunctionPrintSQL(`SELECT f.tgfoid FROM fired f`) + `) x(kind, nsp, rel, name, def, printed)`

// The timeouts of reading the catalog, in which partitions and rules are locked for reading.
const (
	lockTimeout      = 5 * time.Second
	statementTimeout = 30 * time.Second
)

// asked is what the statements about the catalog are asked, by their parameters.
type asked struct {
	columnPlans      []int32
	relations        []uint32
	columns          []string
	tablePlans       []int32
	tops             []uint32
	deleted, emptied []bool
	names            map[uint32]schema.Name
}

func ask(takers []*taker) *asked {
	a := &asked{names: map[uint32]schema.Name{}}
	for i, t := range takers {
		for k, table := range t.columns {
			a.columnPlans, a.relations, a.columns = append(a.columnPlans, int32(i)), append(a.relations, table.OID), append(a.columns, k[1])
			a.names[table.OID] = table.Name
		}
		for _, n := range t.plan.Nodes {
			clears := slices.ContainsFunc(n.In, func(e *plan.Edge) bool { return e.Action.Clears() })
			a.tablePlans, a.tops = append(a.tablePlans, int32(i)), append(a.tops, n.Table.OID)
			a.deleted, a.emptied = append(a.deleted, n.Deleted), append(a.emptied, clears)
			a.names[n.Table.OID] = n.Table.Name
		}
	}
	return a
}

// catalog adds what the catalog says to all prints: one statement, and another for each plan with
// triggers.
func catalog(ctx context.Context, conn *pgx.Conn, takers []*taker) error {
	triggers := map[int32]bool{}
	if err := ask(takers).read(ctx, conn, catalogSQL, func(i int32, f Fact) {
		takers[i].add(f)
		triggers[i] = triggers[i] || f.kind() == "trigger"
	}); err != nil {
		return err
	}
	for i, t := range takers {
		if triggers[int32(i)] {
			if err := ask([]*taker{t}).read(ctx, conn, functionsSQL, func(_ int32, f Fact) { t.add(f) }); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *asked) read(ctx context.Context, conn *pgx.Conn, sql string, add func(int32, Fact)) error {
	bounded := &pg.DB{Sender: conn, Before: []string{pg.Timeouts(lockTimeout, statementTimeout)}}
	rows, err := bounded.Query(ctx, sql, a.columnPlans, a.relations, a.columns, a.tablePlans, a.tops, a.deleted, a.emptied)
	if err != nil {
		return err
	}
	var kind, name, is string
	var i int32
	var oid uint32
	var printed bool
	_, err = pgx.ForEachRow(rows, []any{&i, &kind, &oid, &name, &is, &printed}, func() error {
		add(i, catalogFact(kind, a.names[oid], name, is, printed))
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
