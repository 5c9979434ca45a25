//go:build torture

package torture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// keys are rows by their keys, one slice per column.
type keys [][]int64

func (k keys) len() int {
	if len(k) == 0 {
		return 0
	}
	return len(k[0])
}

// some returns up to n random rows.
func (k keys) some(n int) keys {
	order := rand.Perm(k.len())
	picked := make(keys, len(k))
	for _, i := range order[:min(n, len(order))] {
		for c := range k {
			picked[c] = append(picked[c], k[c][i])
		}
	}
	return picked
}

// writer is a session of the application.
type writer struct {
	layout *layout
	conn   *pgx.Conn
	tx     pgx.Tx // of the current work
	counts map[string]int
	failed map[string]int // by SQLSTATE
}

func newWriter(ctx context.Context, dsn string, l *layout, name string) (*writer, error) {
	conn, err := connect(ctx, dsn, name)
	if err != nil {
		return nil, err
	}
	// Few rows are needed, in order: whatever the statistics say, no plan should scan a whole
	// table.
	const settings = `SET lock_timeout = '1s'; SET statement_timeout = '10s'; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_sort = off`
	if _, err := conn.Exec(ctx, settings); err != nil {
		return nil, fmt.Errorf("connecting as %s: %w", name, err)
	}
	return &writer{layout: l, conn: conn, counts: map[string]int{}, failed: map[string]int{}}, nil
}

// write works until stopped, with pauses of up to the given length: everything once, then at
// random.
func (w *writer) write(ctx, stop context.Context, list []work, pause time.Duration) error {
	total := 0
	for _, k := range list {
		total += k.weight
	}
	first := rand.Perm(len(list))
	for stop.Err() == nil {
		at := rand.IntN(total)
		i := slices.IndexFunc(list, func(k work) bool { at -= k.weight; return at < 0 })
		if len(first) > 0 {
			i, first = first[0], first[1:]
		}
		if err := w.once(ctx, list[i]); err != nil {
			return err
		}
		select {
		case <-stop.Done():
		case <-time.After(time.Duration(rand.Int64N(int64(pause) + 1))):
		}
	}
	return nil
}

// once runs one transaction and counts the expected errors of a busy database.
func (w *writer) once(ctx context.Context, k work) error {
	err := pgx.BeginFunc(ctx, w.conn, func(tx pgx.Tx) error {
		w.tx = tx
		if _, err := tx.Exec(ctx, "SELECT pg_logical_emit_message(true, $1::text, $2::text)", writerPrefix, k.name); err != nil {
			return err
		}
		if err := k.do(w, ctx); err != nil {
			return err
		}
		if rand.IntN(3) == 0 {
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		}
		return nil
	})
	refused, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case err == nil:
		w.counts[k.name]++
	case ok && slices.Contains([]string{"23503", "23001", "40P01", "40001", "55P03", "57014"}, refused.Code):
		w.failed[refused.Code]++
	default:
		return fmt.Errorf("writing, %s: %w", k.name, err)
	}
	return nil
}

func (w *writer) exec(ctx context.Context, sql string, args ...any) error {
	if _, err := w.tx.Exec(ctx, sql, args...); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// query reads keys.
func (w *writer) query(ctx context.Context, columns int, sql string, args ...any) (keys, error) {
	found := make(keys, columns)
	rows, err := w.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	row := make([]int64, columns)
	into := make([]any, columns)
	for i := range row {
		into[i] = &row[i]
	}
	_, err = pgx.ForEachRow(rows, into, func() error {
		for i, v := range row {
			found[i] = append(found[i], v)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sql, err)
	}
	return found, nil
}

// unnest returns a relation p of keys given as the parameters from $first on.
func unnest(columns []string, first int) string {
	var arrays []string
	for i := range columns {
		arrays = append(arrays, fmt.Sprintf("$%d::bigint[]", first+i))
	}
	return "unnest(" + strings.Join(arrays, ", ") + ") AS p(" + strings.Join(columns, ", ") + ")"
}

func (k keys) args() []any {
	args := make([]any, len(k))
	for i := range k {
		args[i] = k[i]
	}
	return args
}

func qualified(alias string, columns []string) string {
	return alias + "." + strings.Join(columns, ", "+alias+".")
}

// near picks up to n rows of a table that are about to be deleted: those that depend on the
// oldest roots of a tenant. With away, those that depend on the newest.
func (w *writer) near(ctx context.Context, table string, n int, away bool) (keys, error) {
	from, root := w.chain(table)
	owner, owners := "domain_id", domainCount
	if root == "events" {
		owner, owners = "tenant_id", tenantCount
	}
	order := ""
	if away {
		order = " DESC"
	}
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE r.%s = $1 ORDER BY r.at%s LIMIT 40 OFFSET $2", qualified(alias(table), keyOf(table)), from, owner, order)
	found, err := w.query(ctx, len(keyOf(table)), sql, 1+rand.IntN(owners), rand.IntN(30))
	return found.some(n), err
}

func alias(table string) string {
	if slices.Contains(roots, table) {
		return "r"
	}
	return table
}

// chain joins a table up to its root, named r.
func (w *writer) chain(table string) (from, root string) {
	from = table + " AS " + alias(table)
	for !slices.Contains(roots, table) {
		e := w.upward(table)
		from = fmt.Sprintf("%s AS %s JOIN %s ON (%s) = (%s)", e.parent, alias(e.parent), from, qualified(alias(e.parent), keyOf(e.parent)), qualified(alias(table), e.columns))
		table = e.parent
	}
	return from, table
}

// upward returns some edge from a table to another.
func (w *writer) upward(table string) *edge {
	var up []*edge
	for _, e := range w.layout.edges {
		if e.child == table && e.parent != table {
			up = append(up, e)
		}
	}
	return up[rand.IntN(len(up))]
}

func (w *writer) anyEdge() *edge { return w.layout.edges[rand.IntN(len(w.layout.edges))] }
