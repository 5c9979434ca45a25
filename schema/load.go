package schema

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Querier is the part of a pgx connection, pool or transaction that reading needs.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

const foreignKeysSQL = `
SELECT c.oid, c.conname, c.conrelid, c.confrelid, cn.nspname, cc.relname, pn.nspname, pc.relname,
       array(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY k(n, o)
               JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.o),
       array(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY k(n, o)
               JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.n ORDER BY k.o),
       c.confdeltype::text,
       array(SELECT a.attname::text
               FROM unnest(CASE WHEN jsonb_typeof(to_jsonb(c)->'confdelsetcols') = 'array'
                                THEN array(SELECT jsonb_array_elements_text(to_jsonb(c)->'confdelsetcols')::int2) END) WITH ORDINALITY k(n, o)
               JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.n ORDER BY k.o),
       c.condeferrable, c.confmatchtype = 'f', c.convalidated,
       coalesce((to_jsonb(c)->>'conenforced')::bool, true), c.conparentid, c.conpfeqop
  FROM pg_constraint c
  JOIN pg_class cc ON cc.oid = c.conrelid JOIN pg_namespace cn ON cn.oid = cc.relnamespace
  JOIN pg_class pc ON pc.oid = c.confrelid JOIN pg_namespace pn ON pn.oid = pc.relnamespace
 WHERE c.contype = 'f'
 ORDER BY cn.nspname, cc.relname, c.conname, c.oid`

// Read reads all foreign keys and all inheritance of the database. Load adds tables.
func Read(ctx context.Context, q Querier) (*Graph, error) {
	g := &Graph{
		Tables: map[uint32]*Table{}, children: map[uint32][]uint32{}, parents: map[uint32][]uint32{},
		operators: map[uint32]*Operator{}, orders: map[uint32]*Order{}, familyOrders: map[[3]uint32]*Order{}, casts: map[[2]uint32]cast{},
		byOID: map[uint32]int{}, byChild: map[uint32][]int{}, byParent: map[uint32][]int{},
	}
	rows, err := q.Query(ctx, foreignKeysSQL)
	if err != nil {
		return nil, fmt.Errorf("reading foreign keys: %w", err)
	}
	var operators [][]uint32
	g.ForeignKeys, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (ForeignKey, error) {
		var k ForeignKey
		var compared []uint32
		err := r.Scan(&k.OID, &k.Name, &k.Child, &k.Parent, &k.ChildName.Schema, &k.ChildName.Name,
			&k.ParentName.Schema, &k.ParentName.Name, &k.ChildColumns, &k.ParentColumns, &k.OnDelete,
			&k.SetColumns, &k.Deferrable, &k.MatchFull, &k.Validated, &k.Enforced, &k.derivedFrom, &compared)
		operators = append(operators, compared)
		return k, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading foreign keys: %w", err)
	}
	g.indexKeys()
	if err := g.loadOperators(ctx, q, slices.Concat(operators...)...); err != nil {
		return nil, fmt.Errorf("reading the operators of foreign keys: %w", err)
	}
	for i := range g.ForeignKeys {
		for _, oid := range operators[i] {
			g.ForeignKeys[i].Operators = append(g.ForeignKeys[i].Operators, g.operators[oid])
		}
	}
	if err := g.loadCasts(ctx, q); err != nil {
		return nil, fmt.Errorf("reading casts: %w", err)
	}
	rows, err = q.Query(ctx, `SELECT inhrelid, inhparent FROM pg_inherits ORDER BY inhparent, inhseqno, inhrelid`)
	if err != nil {
		return nil, fmt.Errorf("reading inheritance: %w", err)
	}
	var child, parent uint32
	if _, err := pgx.ForEachRow(rows, []any{&child, &parent}, func() error {
		g.children[parent] = append(g.children[parent], child)
		g.parents[child] = append(g.parents[child], parent)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("reading inheritance: %w", err)
	}
	return g, nil
}

const tablesSQL = `
SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relispartition, f.rows, f.bytes, f.toast,
       row_security_active(c.oid),
       has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'DELETE'), has_any_column_privilege(c.oid, 'UPDATE'),
       has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE'),
       array(SELECT a.attname::text FROM pg_attribute a
              WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND has_column_privilege(c.oid, a.attnum, 'UPDATE')),
       has_schema_privilege(n.oid, 'USAGE'), f.vacuum,
       array(SELECT DISTINCT pn.nspname || '.' || p.proname FROM fam JOIN pg_depend d ON d.refclassid = 'pg_proc'::regclass
               JOIN pg_proc p ON p.oid = d.refobjid JOIN pg_namespace pn ON pn.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang
              WHERE fam.root = c.oid AND pn.nspname <> 'pg_catalog' AND l.lanname NOT IN ('c', 'internal')
                AND (d.classid = 'pg_constraint'::regclass AND d.objid IN (SELECT k.oid FROM pg_constraint k WHERE k.conrelid = fam.oid OR k.contypid IN (SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = fam.oid AND a.attnum > 0 AND a.atttypid <> 0))
                  OR d.classid = 'pg_attrdef'::regclass AND d.objid IN (SELECT a.oid FROM pg_attrdef a WHERE a.adrelid = fam.oid)
                  OR d.classid = 'pg_class'::regclass AND d.objid IN (SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = fam.oid))
              ORDER BY 1)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  CROSS JOIN LATERAL (
       SELECT CASE WHEN bool_and(m.reltuples < 0) THEN -1 ELSE sum(greatest(m.reltuples, 0)) END AS rows,
              sum(pg_table_size(m.oid))::bigint AS bytes,
              coalesce(sum(pg_relation_size(nullif(m.reltoastrelid, 0))), 0)::bigint AS toast,
              coalesce(bool_and(` + MayVacuum + `) FILTER (WHERE m.relkind = 'r'), true) AS vacuum
         FROM fam JOIN pg_class m ON m.oid = fam.oid
        WHERE fam.root = c.oid AND (m.relkind IN ('r', 'm', 'f', 'v') OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = m.oid))) f
 WHERE c.oid = ANY($1::oid[])`

// family is every requested table with everything that inherits from it.
const familySQL = `WITH RECURSIVE fam(root, oid) AS (
  SELECT o, o FROM unnest($1::oid[]) o
  UNION SELECT fam.root, i.inhrelid FROM fam JOIN pg_inherits i ON i.inhparent = fam.oid)`

// qualifiedType is an SQL expression for the type in row t of pg_type as a cast names it,
// whatever the search_path.
const qualifiedType = `(SELECT format('%I.%I', tn.nspname, t.typname) FROM pg_namespace tn WHERE tn.oid = t.typnamespace)`

const columnsSQL = `
WITH RECURSIVE base(col, oid, next, kind) AS (
  SELECT t.oid, t.oid, t.typbasetype, t.typtype FROM pg_type t
   WHERE t.oid IN (SELECT atttypid FROM pg_attribute WHERE attrelid = ANY($1::oid[]) AND attnum > 0 AND NOT attisdropped)
  UNION ALL
  SELECT b.col, t.oid, t.typbasetype, t.typtype FROM base b JOIN pg_type t ON b.kind = 'd' AND t.oid = b.next)
SELECT a.attrelid, a.attname, quote_ident(a.attname), format_type(b.oid, -1), t.oid, t.typname, ` + qualifiedType + `, (SELECT tn.nspname FROM pg_namespace tn WHERE tn.oid = t.typnamespace), t.typcategory::text, a.attnotnull OR d.typnotnull,
       a.attgenerated <> '', a.attlen = -1, a.atthasdef, a.attcollation,
       coalesce((SELECT format('%I.%I', n.nspname, k.collname) FROM pg_collation k JOIN pg_namespace n ON n.oid = k.collnamespace WHERE k.oid = a.attcollation), ''),
       EXISTS (SELECT FROM pg_collation k WHERE k.oid = a.attcollation AND NOT k.collisdeterministic)
  FROM pg_attribute a JOIN pg_type d ON d.oid = a.atttypid
  JOIN base b ON b.col = a.atttypid AND b.kind <> 'd' JOIN pg_type t ON t.oid = b.oid
 WHERE a.attrelid = ANY($1::oid[]) AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attrelid, a.attnum`

const indexesSQL = `
SELECT i.indrelid, c.relname, am.amname, i.indisunique, i.indisprimary, i.indimmediate, i.indisvalid AND i.indisready,
       coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
       array(SELECT coalesce(a.attname::text, '') FROM generate_series(0, i.indnkeyatts - 1) k
               LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] AND i.indkey[k] > 0 ORDER BY k),
       array(SELECT i.indoption[k]::int FROM generate_series(0, i.indnkeyatts - 1) k ORDER BY k),
       array(SELECT i.indcollation[k] = coalesce(a.attcollation, 0) FROM generate_series(0, i.indnkeyatts - 1) k
               LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[k] AND i.indkey[k] > 0 ORDER BY k),
       array(SELECT o.opcdefault FROM generate_series(0, i.indnkeyatts - 1) k JOIN pg_opclass o ON o.oid = i.indclass[k] ORDER BY k),
       array(SELECT CASE WHEN i.indkey[k] = 0 THEN pg_get_indexdef(i.indexrelid, k + 1, false) ELSE '' END FROM generate_series(0, i.indnkeyatts - 1) k ORDER BY k),
       array(SELECT i.indcollation[k] FROM generate_series(0, i.indnkeyatts - 1) k ORDER BY k),
       array(SELECT o.opcfamily FROM generate_series(0, i.indnkeyatts - 1) k JOIN pg_opclass o ON o.oid = i.indclass[k] ORDER BY k)
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am am ON am.oid = c.relam
 WHERE i.indrelid = ANY($1::oid[]) AND i.indislive
 ORDER BY i.indrelid, c.relname`

// Bits of pg_trigger.tgtype (pg_trigger.h): 1 FOR EACH ROW, 2 BEFORE, 8 DELETE, 16
// UPDATE. pg_rewrite.ev_type is 2 for UPDATE and 4 for DELETE.
const triggersSQL = `
SELECT fam.root, t.tgname, n.nspname, c.relname, t.tgtype & 2 <> 0, t.tgtype & 1 <> 0, t.tgtype & 8 <> 0, t.tgtype & 16 <> 0,
       array(SELECT a.attname::text FROM unnest(t.tgattr::int2[]) k JOIN pg_attribute a ON a.attrelid = t.tgrelid AND a.attnum = k ORDER BY 1),
       pn.nspname || '.' || p.proname, CASE WHEN p.prosecdef THEN pg_get_userbyid(p.proowner)::text ELSE '' END
  FROM fam JOIN pg_trigger t ON t.tgrelid = fam.oid JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace pn ON pn.oid = p.pronamespace
 WHERE NOT t.tgisinternal AND t.tgtype & 24 <> 0 AND t.tgenabled IN ('O', 'A') AND (fam.root = fam.oid OR t.tgparentid = 0)
 ORDER BY fam.root, t.tgname, fam.oid`

// Load adds the tables with these OIDs to the graph, unless they are already there.
func (g *Graph) Load(ctx context.Context, q Querier, oids ...uint32) error {
	var missing []uint32
	for _, o := range oids {
		if g.Tables[o] == nil && !slices.Contains(missing, o) {
			missing = append(missing, o)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	for _, part := range []struct {
		what string
		read func(context.Context, Querier, []uint32) error
	}{
		{"tables", g.loadTables},
		{"columns", g.loadColumns},
		{"indexes", g.loadIndexes},
		{"triggers", g.loadTriggers},
		{"rules", g.loadRules},
		{"publications", g.loadPublished},
	} {
		if err := part.read(ctx, q, missing); err != nil {
			return fmt.Errorf("reading %s: %w", part.what, err)
		}
	}
	return nil
}

func (g *Graph) loadTables(ctx context.Context, q Querier, oids []uint32) error {
	rows, err := q.Query(ctx, familySQL+tablesSQL, oids)
	if err != nil {
		return err
	}
	tables, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*Table, error) {
		t := &Table{}
		err := r.Scan(&t.OID, &t.Name.Schema, &t.Name.Name, &t.Kind, &t.IsPartition, &t.EstimatedRows, &t.Bytes, &t.ToastBytes, &t.RowSecurity,
			&t.CanSelect, &t.CanDelete, &t.CanUpdate, &t.CanLockRows, &t.UpdateColumns, &t.CanUseSchema, &t.CanVacuum, &t.Functions)
		return t, err
	})
	for _, t := range tables {
		t.Children, t.Parents = g.children[t.OID], g.parents[t.OID]
		g.Tables[t.OID] = t
	}
	return err
}

func (g *Graph) loadColumns(ctx context.Context, q Querier, oids []uint32) error {
	rows, err := q.Query(ctx, columnsSQL, oids)
	if err != nil {
		return err
	}
	var oid uint32
	var c Column
	_, err = pgx.ForEachRow(rows, []any{
		&oid, &c.Name, &c.Quoted, &c.Type, &c.TypeOID, &c.TypeName, &c.SQLType, &c.TypeSchema, &c.Category, &c.NotNull, &c.Generated,
		&c.Varlena, &c.HasDefault, &c.Collation, &c.CollationName, &c.LaxCollation,
	}, func() error {
		g.Tables[oid].Columns = append(g.Tables[oid].Columns, c)
		return nil
	})
	return err
}

func (g *Graph) loadIndexes(ctx context.Context, q Querier, oids []uint32) error {
	rows, err := q.Query(ctx, indexesSQL, oids)
	if err != nil {
		return err
	}
	for rows.Next() {
		var oid uint32
		var i Index
		var names []string
		var options []int
		var own, def []bool
		var expressions []string
		var collations, families []uint32
		if err := rows.Scan(&oid, &i.Name, &i.Method, &i.Unique, &i.Primary, &i.Immediate, &i.Valid, &i.Predicate,
			&names, &options, &own, &def, &expressions, &collations, &families); err != nil {
			return err
		}
		for k, n := range names {
			i.Columns = append(i.Columns, IndexColumn{
				Name: n, Desc: options[k]&1 != 0, NullsFirst: options[k]&2 != 0, OwnCollation: own[k], DefaultOrder: def[k],
				Expression: expressions[k], Collation: collations[k], Family: families[k],
			})
		}
		g.Tables[oid].Indexes = append(g.Tables[oid].Indexes, i)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	return g.loadFamilies(ctx, q, oids)
}

// familiesSQL returns the equality operators of operator families: strategy 3 of btree, 1
// of hash (pg_amop.dat).
const familiesSQL = `
SELECT f.oid, array_agg(o.amopopr) FROM pg_opfamily f JOIN pg_am am ON am.oid = f.opfmethod
  JOIN pg_amop o ON o.amopfamily = f.oid AND o.amoppurpose = 's' AND o.amopstrategy = CASE am.amname WHEN 'btree' THEN 3 WHEN 'hash' THEN 1 END
 WHERE f.oid = ANY($1::oid[]) GROUP BY f.oid`

// loadFamilies adds the supported equality operators to the indexes of tables.
func (g *Graph) loadFamilies(ctx context.Context, q Querier, oids []uint32) error {
	var families []uint32
	each := func(visit func(*IndexColumn)) {
		for _, oid := range oids {
			t := g.Tables[oid]
			if t == nil {
				continue
			}
			for i := range t.Indexes {
				for k := range t.Indexes[i].Columns {
					visit(&t.Indexes[i].Columns[k])
				}
			}
		}
	}
	each(func(c *IndexColumn) {
		if !slices.Contains(families, c.Family) {
			families = append(families, c.Family)
		}
	})
	rows, err := q.Query(ctx, familiesSQL, families)
	if err != nil {
		return err
	}
	equal := map[uint32][]uint32{}
	var family uint32
	var operators []uint32
	if _, err := pgx.ForEachRow(rows, []any{&family, &operators}, func() error {
		equal[family] = slices.Clone(operators)
		return nil
	}); err != nil {
		return err
	}
	each(func(c *IndexColumn) { c.Equal = equal[c.Family] })
	return nil
}

func (g *Graph) loadTriggers(ctx context.Context, q Querier, oids []uint32) error {
	rows, err := q.Query(ctx, familySQL+triggersSQL, oids)
	if err != nil {
		return err
	}
	var root uint32
	var t Trigger
	_, err = pgx.ForEachRow(rows, []any{&root, &t.Name, &t.Table.Schema, &t.Table.Name, &t.Before, &t.Row, &t.OnDelete, &t.OnUpdate, &t.Columns, &t.Function, &t.DefinerOf}, func() error {
		found := t
		found.Columns = slices.Clone(t.Columns)
		g.Tables[root].Triggers = append(g.Tables[root].Triggers, found)
		return nil
	})
	return err
}
