// Package planner asks PostgreSQL's planner what it makes of a statement.
package planner

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// indexedShare is the share of a sequential scan's cost below which a lookup counts as
// served by an index.
const indexedShare = 0.1

// Node is a node of EXPLAIN (FORMAT JSON).
type Node struct {
	Type     string  `json:"Node Type"`
	Cost     float64 `json:"Total Cost"`
	Relation string  `json:"Relation Name"`
	Index    string  `json:"Index Name"`
	Filter   string  `json:"Filter"`
	Plans    []Node  `json:"Plans"`
}

// nodes are all nodes of a plan.
func (n Node) nodes() []Node {
	all := []Node{n}
	for _, p := range n.Plans {
		all = append(all, p.nodes()...)
	}
	return all
}

// IndexName names the index that a plan reads, or says how many; empty: none.
func (n Node) IndexName() string {
	var names []string
	for _, x := range n.nodes() {
		if x.Index != "" && !slices.Contains(names, x.Index) {
			names = append(names, x.Index)
		}
	}
	if len(names) > 1 {
		return fmt.Sprintf("%d indexes", len(names))
	}
	return strings.Join(names, "")
}

// Led reports that indexes alone lead a plan to its rows, in their order: none that was
// read is rejected, and none is sorted.
func (n Node) Led() bool {
	return !slices.ContainsFunc(n.nodes(), func(x Node) bool {
		return x.Type == "Sort" || x.Type == "Incremental Sort" || x.Relation != "" && (x.Index == "" || x.Filter != "")
	})
}

// Hidden is a value that the planner does not know. A scalar subselect hides it just as the
// parameter of a generic plan does, and costs nothing: unlike EXPLAIN (GENERIC_PLAN)
// PostgreSQL 14 has it, and unlike PREPARE it leaves nothing behind in a pooled session.
func Hidden(column schema.Column) string { return "(SELECT NULL::" + column.SQLType + ")" }

// Cheap asks the planner for the plan of a statement where it costs under a tenth of what
// reading the whole table does; nil: it does not, or the planner could not be asked. Costs are
// those of the server's own settings, but for parallel workers: neither a trigger nor a
// statement that locks rows has any.
func Cheap(ctx context.Context, outer pgx.Tx, path, sql string) (*Node, error) {
	var by, scan []struct{ Plan Node }
	err := pg.Savepoint(ctx, outer, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		explain := "EXPLAIN (FORMAT JSON) " + sql
		b.Queue("SELECT " + pg.SetConfig("search_path", pg.Literal(path)) + ", " + pg.SetConfig("enable_seqscan", "'on'") + ", " + pg.SetConfig("max_parallel_workers_per_gather", "'0'"))
		b.Queue(explain).QueryRow(func(row pgx.Row) error { return row.Scan(&by) })
		b.Queue("SELECT " + pg.SetConfig("enable_indexscan", "'off'") + ", " + pg.SetConfig("enable_indexonlyscan", "'off'") + ", " + pg.SetConfig("enable_bitmapscan", "'off'"))
		b.Queue(explain).QueryRow(func(row pgx.Row) error { return row.Scan(&scan) })
		return tx.SendBatch(ctx, b).Close()
	})
	var refused *pgconn.PgError
	if errors.As(err, &refused) && !pg.HasCode(err, "55P03") {
		return nil, nil // a privilege is missing, say, which is told elsewhere
	}
	if err != nil {
		return nil, fmt.Errorf("asking the planner: %w", err)
	}
	if len(by) != 1 || len(scan) != 1 || by[0].Plan.Cost >= indexedShare*scan[0].Plan.Cost {
		return nil, nil
	}
	return &by[0].Plan, nil
}

// analyzedSQL reports whether each of the columns ($2) of a table ($1) has statistics, in one
// of its partitions at least. Without any the planner takes 200 different values for
// granted. Partitions whose statistics are hidden from the role do not count.
const analyzedSQL = `
WITH leaf AS MATERIALIZED (
  SELECT c.oid, n.nspname, c.relname FROM (SELECT $1::oid UNION SELECT relid FROM pg_partition_tree($1::oid::regclass)) x(oid)
    JOIN pg_class c ON c.oid = x.oid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind <> 'p' AND NOT row_security_active(c.oid))
SELECT NOT EXISTS (
  SELECT FROM unnest($2::text[]) k(name) JOIN pg_attribute a ON a.attname = k.name JOIN leaf ON leaf.oid = a.attrelid AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
    LEFT JOIN pg_stats s ON s.schemaname = leaf.nspname AND s.tablename = leaf.relname AND s.attname = a.attname AND NOT s.inherited
   GROUP BY k.name HAVING count(s.attname) = 0)`

// Analyzed reports whether the planner has statistics of each of a table's columns.
func Analyzed(ctx context.Context, tx pgx.Tx, table uint32, columns []string) (all bool, err error) {
	err = tx.QueryRow(ctx, analyzedSQL, table, columns).Scan(&all)
	return all, err
}
