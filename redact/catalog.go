package redact

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/schema"
)

// fact is what the catalog says of a column.
type fact struct {
	Type string // as declared
	Why  string // why it cannot be overwritten; empty: it can
}

// columnsSQL returns for each column of table $1 its type, and why it cannot be overwritten. Indexes,
// partition keys and foreign keys of partitions count too. An index depends on all columns that it
// reads, in expressions and predicates as well.
const columnsSQL = `
WITH RECURSIVE fam(oid) AS (
  SELECT $1::oid UNION SELECT i.inhrelid FROM fam JOIN pg_inherits i ON i.inhparent = fam.oid),
used AS (
  SELECT x.indrelid AS rel, d.refobjsubid AS num,
         CASE WHEN x.indisprimary THEN 'part of the primary key' WHEN x.indisexclusion THEN 'part of an exclusion constraint' ELSE 'part of a unique index' END || ' (' || c.relname || ')' AS why
    FROM fam JOIN pg_index x ON x.indrelid = fam.oid AND (x.indisunique OR x.indisexclusion) JOIN pg_class c ON c.oid = x.indexrelid
    JOIN LATERAL (SELECT k AS refobjsubid FROM unnest(x.indkey::int2[]) k WHERE k > 0
                  UNION SELECT d.refobjsubid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.indexrelid
                     AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.indrelid AND d.refobjsubid > 0) d ON true
  UNION ALL SELECT k.conrelid, n, 'part of a foreign key (' || k.conname || ')' FROM fam JOIN pg_constraint k ON k.conrelid = fam.oid AND k.contype = 'f' CROSS JOIN LATERAL unnest(k.conkey) n
  UNION ALL SELECT k.confrelid, n, 'referenced by a foreign key (' || k.conname || ')' FROM fam JOIN pg_constraint k ON k.confrelid = fam.oid AND k.contype = 'f' CROSS JOIN LATERAL unnest(k.confkey) n
  UNION ALL SELECT p.partrelid, d.refobjsubid, 'part of the partition key' FROM fam JOIN pg_partitioned_table p ON p.partrelid = fam.oid
    CROSS JOIN LATERAL (SELECT k AS refobjsubid FROM unnest(p.partattrs::int2[]) k WHERE k > 0
                  UNION SELECT d.refobjsubid FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = p.partrelid
                     AND d.refclassid = 'pg_class'::regclass AND d.refobjid = p.partrelid AND d.refobjsubid > 0) d)
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod),
       CASE WHEN a.attgenerated <> '' THEN 'generated' WHEN a.attidentity <> '' THEN 'an identity column'
            ELSE coalesce((SELECT min(u.why) FROM used u JOIN pg_attribute o ON o.attrelid = u.rel AND o.attnum = u.num WHERE o.attname = a.attname), '') END
  FROM pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped`

// fixedColumns reads a table's columns. What the caller needs as it is cannot be overwritten either.
func fixedColumns(ctx context.Context, tx pgx.Tx, t *schema.Table, needed Needed) (map[string]fact, error) {
	rows, err := tx.Query(ctx, columnsSQL, t.OID)
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", t.Name, err)
	}
	facts := map[string]fact{}
	var name string
	var f fact
	_, err = pgx.ForEachRow(rows, []any{&name, &f.Type, &f.Why}, func() error {
		if f.Why == "" {
			f.Why = needed[name]
		}
		facts[name] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the columns of %s: %w", t.Name, err)
	}
	return facts, nil
}
