package purge

import (
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

// lookup is what the planner makes of finding the rows behind an edge.
type lookup struct {
	index    string // the index that serves; empty: none does, or the planner could not be asked
	analyzed bool   // the planner has statistics of the columns
}

// planNode is a node of EXPLAIN (FORMAT JSON).
type planNode struct {
	Type     string     `json:"Node Type"`
	Cost     float64    `json:"Total Cost"`
	Relation string     `json:"Relation Name"`
	Index    string     `json:"Index Name"`
	Filter   string     `json:"Filter"`
	Plans    []planNode `json:"Plans"`
}

// nodes are all nodes of a plan.
func (n planNode) nodes() []planNode {
	all := []planNode{n}
	for _, p := range n.Plans {
		all = append(all, p.nodes()...)
	}
	return all
}

// index names the index that a plan reads, or says how many; empty: none.
func (n planNode) index() string {
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

// led reports that indexes alone lead a plan to its rows, in their order: none that was
// read is rejected, and none is sorted.
func (n planNode) led() bool {
	return !slices.ContainsFunc(n.nodes(), func(x planNode) bool {
		return x.Type == "Sort" || x.Type == "Incremental Sort" || x.Relation != "" && (x.Index == "" || x.Filter != "")
	})
}

// hidden is a value that the planner does not know. A scalar subselect hides it just as the
// parameter of a generic plan does, and costs nothing: unlike EXPLAIN (GENERIC_PLAN)
// PostgreSQL 14 has it, and unlike PREPARE it leaves nothing behind in a pooled session.
func hidden(column schema.Column) string { return "(SELECT NULL::" + column.SQLType + ")" }

// cheap asks the planner for the plan of a statement where it costs under a tenth of what
// reading the whole table does; nil: it does not, or the planner could not be asked. Costs are
// those of the server's own settings, but for parallel workers: neither a trigger nor a
// statement that locks rows has any.
func (c *compiler) cheap(sql string) (*planNode, error) {
	var by, scan []struct{ Plan planNode }
	err := savepoint(c.ctx, c.conn, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		explain := "EXPLAIN (FORMAT JSON) " + sql
		b.Queue("SELECT " + pg.SetConfig("search_path", pg.Literal(c.plan.readingPath())) + ", " + pg.SetConfig("enable_seqscan", "'on'") + ", " + pg.SetConfig("max_parallel_workers_per_gather", "'0'"))
		b.Queue(explain).QueryRow(func(row pgx.Row) error { return row.Scan(&by) })
		b.Queue("SELECT " + pg.SetConfig("enable_indexscan", "'off'") + ", " + pg.SetConfig("enable_indexonlyscan", "'off'") + ", " + pg.SetConfig("enable_bitmapscan", "'off'"))
		b.Queue(explain).QueryRow(func(row pgx.Row) error { return row.Scan(&scan) })
		return tx.SendBatch(c.ctx, b).Close()
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

// lookupSQL finds the rows that reference one row of the edge's parent, as PostgreSQL's
// own trigger does for each row that goes. ctid stands for the row itself, which is deleted or
// locked: an index-only scan would not do.
func lookupSQL(e *Edge) string {
	t := e.Child.Table
	return "SELECT " + ident(t.Name.Name) + ".ctid FROM " + from(t) + " WHERE " + and(len(e.pairs), func(i int) string {
		return e.pairs[i].findTheirs(hidden(e.pairs[i].ours), col(t, e.ChildColumns[i]))
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

// lookup asks the planner by which index it would find the rows behind an edge. Without
// statistics its answer is a guess, and not taken.
func (c *compiler) lookup(e *Edge) (l lookup, err error) {
	t := e.Child.Table
	if !t.CanSelect || t.RowSecurity || e.Where != "" && c.untrusted {
		return lookup{analyzed: true}, nil // an error stands elsewhere
	}
	if t.EstimatedRows < 0 {
		return lookup{}, nil
	}
	if err := c.conn.QueryRow(c.ctx, analyzedSQL, t.OID, e.ChildColumns).Scan(&l.analyzed); err != nil || !l.analyzed {
		return l, err
	}
	found, err := c.cheap(lookupSQL(e))
	if found != nil {
		l.index = found.index()
	}
	return l, err
}

// searchIndex asks the planner for an index that leads from the group, which shares the lead
// columns, to the age of those rows alone that `where` means: with columns that `where` fixes
// before the age, or a partial one. Empty: there is none, or the table is not known to be large.
func (c *compiler) searchIndex() (string, error) {
	p := c.plan
	t := p.Root.Table
	if p.where == "" || t.EstimatedRows <= unindexedRows {
		return "", nil
	}
	a := col(t, p.age.column.Name)
	conditions := []string{a + " < " + hidden(p.age.column)}
	for i, x := range p.leadPairs() {
		conditions = append(conditions, x.findTheirs(hidden(x.ours), col(t, p.lead()[i])))
	}
	found, err := c.cheap("SELECT " + ident(t.Name.Name) + ".ctid FROM " + from(t) + " WHERE " + strings.Join(conditions, " AND ") + parenthesized(p.where) +
		" ORDER BY " + a + " LIMIT 1")
	if found == nil || !found.led() {
		return "", err
	}
	return found.index(), nil
}
