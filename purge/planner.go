package purge

import (
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// indexedShare is the share of a sequential scan's cost below which a lookup counts as
// served by an index.
const indexedShare = 0.1

// lookup is what the planner makes of finding the rows behind an edge.
type lookup struct {
	index    string // the index that serves; empty: none does, or the planner could not be asked
	analyzed bool   // the planner has statistics of the columns
}

// planNode is a node of EXPLAIN (FORMAT JSON).
type planNode struct {
	Cost  float64    `json:"Total Cost"`
	Index string     `json:"Index Name"`
	Plans []planNode `json:"Plans"`
}

// indexes are the names of the indexes that a plan reads, each once.
func (n planNode) indexes() (names []string) {
	if n.Index != "" {
		names = append(names, n.Index)
	}
	for _, p := range n.Plans {
		for _, name := range p.indexes() {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// lookupSQL finds the rows that reference one row of the edge's parent, as PostgreSQL's
// own trigger does for each row that goes. A scalar subselect hides the value from the
// planner just as the parameter of a generic plan does, and costs nothing: unlike
// EXPLAIN (GENERIC_PLAN) PostgreSQL 14 has it, and unlike PREPARE it leaves nothing behind in
// a pooled session. ctid stands for the row itself, which is deleted or locked: an
// index-only scan would not do.
func lookupSQL(e *Edge) string {
	t := e.Child.Table
	return "SELECT " + ident(t.Name.Name) + ".ctid FROM " + from(t) + " WHERE " + and(len(e.pairs), func(i int) string {
		return e.pairs[i].findTheirs("(SELECT NULL::"+e.pairs[i].ours.SQLType+")", col(t, e.ChildColumns[i]))
	}) + parenthesized(e.Where)
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

// lookup asks the planner by which index it would find the rows behind an edge, where it
// costs under a tenth of reading the whole table. Costs are those of the server's own
// settings, but for parallel workers: neither a trigger nor a statement that locks rows
// has any. Without statistics the planner's answer is a guess, and not taken.
func (c *compiler) lookup(e *Edge) (l lookup, err error) {
	t := e.Child.Table
	if !t.CanSelect || t.RowSecurity || e.Where != "" && c.untrusted {
		return lookup{analyzed: true}, nil // an error stands elsewhere
	}
	if t.EstimatedRows < 0 {
		return l, nil
	}
	var by, scan []struct{ Plan planNode }
	err = c.apart(func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		explain := "EXPLAIN (FORMAT JSON) " + lookupSQL(e)
		b.Queue(analyzedSQL, t.OID, e.ChildColumns).QueryRow(func(row pgx.Row) error { return row.Scan(&l.analyzed) })
		b.Queue("SELECT " + setConfig("search_path", quoteLiteral(c.plan.readingPath())) + ", " + setConfig("enable_seqscan", "'on'") + ", " + setConfig("max_parallel_workers_per_gather", "'0'"))
		b.Queue(explain).QueryRow(func(row pgx.Row) error { return row.Scan(&by) })
		b.Queue("SELECT " + list(3, func(i int) string {
			return setConfig([]string{"enable_indexscan", "enable_indexonlyscan", "enable_bitmapscan"}[i], "'off'")
		}))
		b.Queue(explain).QueryRow(func(row pgx.Row) error { return row.Scan(&scan) })
		return tx.SendBatch(c.ctx, b).Close()
	})
	var refused *pgconn.PgError
	switch {
	case errors.As(err, &refused) && !lockedOut(err):
		return lookup{analyzed: true}, nil // no privilege, say: as if it had not been asked
	case err != nil:
		return l, fmt.Errorf("asking the planner about %s: %w", t.Name, err)
	case !l.analyzed || len(by) != 1 || len(scan) != 1 || by[0].Plan.Cost >= indexedShare*scan[0].Plan.Cost:
		return l, nil
	}
	switch names := by[0].Plan.indexes(); len(names) {
	case 0:
	case 1:
		l.index = names[0]
	default:
		l.index = fmt.Sprintf("%d indexes", len(names))
	}
	return l, nil
}
