package schema

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// outlineSQL is tablesSQL without the parts that only a plan needs.
const outlineSQL = `
SELECT c.oid, n.nspname, c.relname, c.relkind::text, c.relispartition, f.rows, f.bytes
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN (SELECT fam.root, CASE WHEN bool_and(m.reltuples < 0) THEN -1 ELSE sum(greatest(m.reltuples, 0)) END AS rows,
               sum(pg_table_size(m.oid))::bigint AS bytes
          FROM fam JOIN pg_class m ON m.oid = fam.oid
         WHERE m.relkind <> 'p' OR NOT EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = m.oid)
         GROUP BY fam.root) f ON f.root = c.oid`

// Outline adds tables with only their columns, indexes, row counts and sizes. That is enough
// to tell what they hold, and much faster than Load for all tables of a database. Use only
// one of the two on a graph.
func (g *Graph) Outline(ctx context.Context, q Querier, oids ...uint32) error {
	rows, err := q.Query(ctx, familySQL+outlineSQL, oids)
	if err != nil {
		return fmt.Errorf("reading tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*Table, error) {
		t := &Table{}
		err := r.Scan(&t.OID, &t.Name.Schema, &t.Name.Name, &t.Kind, &t.IsPartition, &t.EstimatedRows, &t.Bytes)
		return t, err
	})
	if err != nil {
		return fmt.Errorf("reading tables: %w", err)
	}
	var found []uint32
	for _, t := range tables {
		t.Children, t.Parents = g.children[t.OID], g.parents[t.OID]
		g.Tables[t.OID] = t
		found = append(found, t.OID)
	}
	if err := g.loadColumns(ctx, q, found); err != nil {
		return fmt.Errorf("reading columns: %w", err)
	}
	if err := g.loadIndexes(ctx, q, found); err != nil {
		return fmt.Errorf("reading indexes: %w", err)
	}
	return nil
}
