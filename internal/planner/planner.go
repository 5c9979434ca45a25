// Package planner asks PostgreSQL's planner how it would run a statement.
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

// indexedShare is the fraction of a sequential scan's cost below which an index counts as serving a
// lookup.
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

// IndexName is the index that a plan reads, or the number of them; empty if it reads none.
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

// Led reports whether indexes alone yield a plan's rows in order, with no filter and no sort.
func (n Node) Led() bool {
	return !slices.ContainsFunc(n.nodes(), func(x Node) bool {
		return x.Type == "Sort" || x.Type == "Incremental Sort" || x.Relation != "" && (x.Index == "" || x.Filter != "")
	})
}

// Hidden is a value unknown to the planner. A scalar subselect hides it like a parameter of a
// generic plan, at no cost. Unlike EXPLAIN (GENERIC_PLAN) it works on PostgreSQL 14, and unlike
// PREPARE it leaves nothing behind in a pooled session.
func Hidden(column schema.Column) string { return "(SELECT NULL::" + column.SQLType + ")" }

// Cheap is the plan of a statement if it costs less than a tenth of reading the whole table; nil if
// not, or if the planner could not be asked. It uses the server's cost settings, without parallel
// workers: neither triggers nor locking statements use them.
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
		return nil, nil // for example, a missing privilege, which is reported elsewhere
	}
	if err != nil {
		return nil, fmt.Errorf("running EXPLAIN: %w", err)
	}
	if len(by) != 1 || len(scan) != 1 || by[0].Plan.Cost >= indexedShare*scan[0].Plan.Cost {
		return nil, nil
	}
	return &by[0].Plan, nil
}

// analyzedSQL reports whether each of the columns ($2) of a table ($1) has statistics, at least in
// one partition. Without, the planner assumes 200 distinct values. It ignores partitions whose
// statistics are hidden from the role.
const analyzedSQL = `
WITH leaf AS MATERIALIZED (
  SELECT c.oid, n.nspname, c.relname FROM (SELECT $1::oid UNION SELECT relid FROM pg_partition_tree($1::oid::regclass)) x(oid)
    JOIN pg_class c ON c.oid = x.oid JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind <> 'p' AND NOT row_security_active(c.oid))
SELECT NOT EXISTS (
  SELECT FROM unnest($2::text[]) k(name) JOIN pg_attribute a ON a.attname = k.name JOIN leaf ON leaf.oid = a.attrelid AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
    LEFT JOIN pg_stats s ON s.schemaname = leaf.nspname AND s.tablename = leaf.relname AND s.attname = a.attname AND NOT s.inherited
   GROUP BY k.name HAVING count(s.attname) = 0)`

// Analyzed reports whether the planner has statistics for each of the columns.
func Analyzed(ctx context.Context, tx pgx.Tx, table uint32, columns []string) (all bool, err error) {
	err = tx.QueryRow(ctx, analyzedSQL, table, columns).Scan(&all)
	return all, err
}
