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

// keys are rows by their key, one slice a column.
type keys [][]int64

func (k keys) len() int {
	if len(k) == 0 {
		return 0
	}
	return len(k[0])
}

// some is up to n of the rows, at random.
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
	tx     pgx.Tx // of the work at hand
	counts map[string]int
	failed map[string]int // by SQLSTATE
}

// work is one kind of transaction; weight is how often it comes.
type work struct {
	name   string
	weight int
	do     func(*writer, context.Context) error
}

// changes are what a writer does all the time.
var changes = []work{
	{"move", 40, (*writer).move},
	{"adopt", 20, (*writer).adopt},
	{"remove", 8, (*writer).remove},
	{"transfer", 8, (*writer).transfer},
	{"renew", 6, (*writer).renew},
	{"age", 6, (*writer).age},
	{"queue", 4, (*writer).queue},
	{"unqueue", 4, (*writer).unqueue},
	{"release", 4, (*writer).release},
}

// administration is what counts for many rows at once. It comes seldom, so that
// it is in force for longer than a batch may miss it.
var administration = []work{
	{"hold", 2, (*writer).hold},
	{"retention", 1, (*writer).retention},
	{"domain", 1, (*writer).domain},
}

// feeding inserts trees of rows, most of them expired.
var feeding = []work{{"feed", 10, (*writer).feed}, {"age", 3, (*writer).age}}

func newWriter(ctx context.Context, dsn string, l *layout, name string) (*writer, error) {
	conn, err := connect(ctx, dsn, name)
	if err != nil {
		return nil, err
	}
	// Few rows are wanted, and in order: whatever the statistics say, a plan that
	// reads a table as a whole is not the one.
	const settings = `SET lock_timeout = '1s'; SET statement_timeout = '10s'; SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_sort = off`
	if _, err := conn.Exec(ctx, settings); err != nil {
		return nil, fmt.Errorf("connecting as %s: %w", name, err)
	}
	return &writer{layout: l, conn: conn, counts: map[string]int{}, failed: map[string]int{}}, nil
}

// write works until stopped, with pauses of up to so long.
func (w *writer) write(ctx, stop context.Context, list []work, pause time.Duration) error {
	total := 0
	for _, k := range list {
		total += k.weight
	}
	for stop.Err() == nil {
		at := rand.IntN(total)
		i := slices.IndexFunc(list, func(k work) bool { at -= k.weight; return at < 0 })
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

// once does one transaction. What a busy database answers is counted.
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

// unnest is a relation p of keys given as the parameters from $first on.
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

// near picks up to n rows of a table that are about to go: those that hang on
// the oldest roots of somebody. Away, they hang on the newest.
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

// chain joins a table up to a root, which is r.
func (w *writer) chain(table string) (from, root string) {
	from = table + " AS " + alias(table)
	for !slices.Contains(roots, table) {
		e := w.upward(table)
		from = fmt.Sprintf("%s AS %s JOIN %s ON (%s) = (%s)", e.parent, alias(e.parent), from, qualified(alias(e.parent), keyOf(e.parent)), qualified(alias(table), e.columns))
		table = e.parent
	}
	return from, table
}

// upward is some edge from a table to another one.
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

// old and young are SQL of an age; what is between may be expired or not, as
// retentions are.
const (
	old   = "now() - interval '31 days' - random() * interval '300 days'"
	young = "now() - random() * interval '10 days'"
	mixed = "now() - interval '5 days' - random() * interval '100 days'"
)

func someAge() string {
	switch n := rand.IntN(10); {
	case n < 7:
		return old
	case n < 8:
		return young
	}
	return mixed
}

// backlog is how many expired mails are enough.
const backlog = 3000

func (w *writer) feed(ctx context.Context) error {
	var n int
	if err := w.tx.QueryRow(ctx, "SELECT count(*) FROM (SELECT FROM mails WHERE at < now() - interval '31 days' LIMIT $1) x", backlog).Scan(&n); err != nil {
		return err
	}
	if n >= backlog {
		time.Sleep(50 * time.Millisecond)
		return nil
	}
	root, owner, owners := "mails (shard, domain_id, status, at)", "n % 4, 1 + floor(random() * $2)::int, 'sent'", domainCount
	if rand.IntN(4) == 0 {
		root, owner, owners = "events (tenant_id, at)", "1 + floor(random() * $2)::int", tenantCount
	}
	table, _, _ := strings.Cut(root, " ")
	sql := fmt.Sprintf("INSERT INTO %s SELECT %s, %s FROM generate_series(1, $1::int) n RETURNING %s", root, owner, someAge(), strings.Join(keyOf(table), ", "))
	rows, err := w.query(ctx, len(keyOf(table)), sql, 5+rand.IntN(40), owners)
	if err != nil {
		return err
	}
	if err := w.grow(ctx, table, rows, 1); err != nil {
		return err
	}
	if w.layout.big && rand.IntN(3) == 0 {
		return w.grow(ctx, table, rows.some(1), 15)
	}
	return nil
}

// grow gives rows children, and those theirs.
func (w *writer) grow(ctx context.Context, table string, parents keys, times int) error {
	for _, e := range w.layout.edges {
		if e.parent != table || parents.len() == 0 {
			continue
		}
		if times > 1 && e.action == keeps {
			continue
		}
		children, err := w.insert(ctx, e, parents, e.most*times, e.share)
		if err != nil {
			return err
		}
		// A reply may have replies, which have none: they would never end.
		if e.child != table {
			if err := w.grow(ctx, e.child, children, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// insert gives each parent up to most children along an edge.
func (w *writer) insert(ctx context.Context, e *edge, parents keys, most int, share float64) (keys, error) {
	columns, values := slices.Clone(e.columns), qualified("p", keyOf(e.parent))
	if e.match() {
		columns, values = append(columns, "record_type"), values+", '"+e.kind+"'"
	}
	n := len(parents)
	sql := fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s, generate_series(1, $%d::int) WHERE random() < $%d RETURNING %s",
		e.child, strings.Join(columns, ", "), values, unnest(keyOf(e.parent), 1), n+1, n+2, strings.Join(keyOf(e.child), ", "))
	return w.query(ctx, len(keyOf(e.child)), sql, append(parents.args(), most, share)...)
}

// adopt inserts children below rows that may be about to go.
func (w *writer) adopt(ctx context.Context) error {
	e := w.anyEdge()
	if e.action == keeps && rand.IntN(10) > 0 {
		return nil
	}
	parents, err := w.near(ctx, e.parent, 1+rand.IntN(3), rand.IntN(4) == 0)
	if err != nil || parents.len() == 0 {
		return err
	}
	children, err := w.insert(ctx, e, parents, 2, 0.7)
	if err != nil || e.child == e.parent {
		return err
	}
	return w.grow(ctx, e.child, children, 1)
}

// move hangs rows that may be about to go on another row, or the reverse.
func (w *writer) move(ctx context.Context) error {
	e := w.anyEdge()
	children, err := w.near(ctx, e.child, 1+rand.IntN(6), rand.IntN(6) == 0)
	if err != nil || children.len() == 0 {
		return err
	}
	parent, err := w.near(ctx, e.parent, 1, rand.IntN(3) > 0)
	if err != nil || parent.len() == 0 {
		return err
	}
	var set []string
	for i, c := range e.columns {
		set = append(set, fmt.Sprintf("%s = %d", c, parent[i][0]))
	}
	if e.match() {
		set = append(set, "record_type = '"+e.kind+"'")
	}
	return w.update(ctx, e.child, strings.Join(set, ", "), children)
}

// update sets columns of rows.
func (w *writer) update(ctx context.Context, table, set string, rows keys) error {
	if rows.len() == 0 {
		return nil
	}
	key := keyOf(table)
	return w.exec(ctx, fmt.Sprintf("UPDATE %s AS t SET %s FROM %s WHERE (%s) = (%s)", table, set, unnest(key, 1), qualified("t", key), qualified("p", key)), rows.args()...)
}

// remove deletes rows that may be about to go, where nothing forbids it.
func (w *writer) remove(ctx context.Context) error {
	table := w.anyEdge().child
	rows, err := w.near(ctx, table, 1+rand.IntN(4), false)
	if err != nil {
		return err
	}
	return w.delete(ctx, table, rows)
}

func (w *writer) delete(ctx context.Context, table string, rows keys) error {
	if rows.len() == 0 {
		return nil
	}
	key := keyOf(table)
	return w.exec(ctx, fmt.Sprintf("DELETE FROM %s AS t USING %s WHERE (%s) = (%s)", table, unnest(key, 1), qualified("t", key), qualified("p", key)), rows.args()...)
}

func anyRoot() string { return roots[rand.IntN(len(roots))] }

// transfer gives roots that may be about to go to another owner.
func (w *writer) transfer(ctx context.Context) error {
	root := anyRoot()
	rows, err := w.near(ctx, root, 1+rand.IntN(4), false)
	if err != nil {
		return err
	}
	set := fmt.Sprintf("domain_id = %d", 1+rand.IntN(domainCount))
	if root == "events" {
		set = fmt.Sprintf("tenant_id = %d", 1+rand.IntN(tenantCount))
	}
	return w.update(ctx, root, set, rows)
}

// renew makes roots that may be about to go young.
func (w *writer) renew(ctx context.Context) error {
	root := anyRoot()
	rows, err := w.near(ctx, root, 1+rand.IntN(4), false)
	if err != nil {
		return err
	}
	return w.update(ctx, root, "at = "+young, rows)
}

// age makes young roots old, the more of them there are the more.
func (w *writer) age(ctx context.Context) error {
	root := anyRoot()
	var n int
	if err := w.tx.QueryRow(ctx, "SELECT count(*) FROM "+root+" WHERE at > now() - interval '20 days'").Scan(&n); err != nil {
		return err
	}
	rows, err := w.near(ctx, root, min(1+n/200, 30), true)
	if err != nil {
		return err
	}
	return w.update(ctx, root, "at = "+old, rows)
}

// queue takes mails that may be about to go out of what the policy means.
func (w *writer) queue(ctx context.Context) error {
	rows, err := w.near(ctx, "mails", 1+rand.IntN(4), false)
	if err != nil {
		return err
	}
	return w.update(ctx, "mails", "status = 'queued'", rows)
}

func (w *writer) unqueue(ctx context.Context) error {
	return w.exec(ctx, "UPDATE mails SET status = 'sent' WHERE (shard, id) = ANY (SELECT shard, id FROM mails WHERE status = 'queued' LIMIT 20)")
}

// release takes away some of what keeps roots.
func (w *writer) release(ctx context.Context) error {
	for _, e := range w.layout.edges {
		if e.action != keeps {
			continue
		}
		if err := w.exec(ctx, "DELETE FROM "+e.child+" WHERE id = ANY (SELECT id FROM "+e.child+" ORDER BY id LIMIT 15)"); err != nil {
			return err
		}
	}
	return nil
}

// hold holds a tenant, or lifts all holds.
func (w *writer) hold(ctx context.Context) error {
	if rand.IntN(2) == 0 {
		return w.exec(ctx, "UPDATE tenants SET hold = NULL WHERE hold")
	}
	return w.exec(ctx, "UPDATE tenants SET hold = true WHERE id = $1", 1+rand.IntN(tenantCount))
}

func (w *writer) retention(ctx context.Context) error {
	days := []any{nil, 20, 30, 45, 90, 200}[rand.IntN(6)]
	return w.exec(ctx, "UPDATE tenants SET days = $1 WHERE id = $2", days, 1+rand.IntN(tenantCount))
}

// domain gives a whole domain, a step of the path, to another tenant.
func (w *writer) domain(ctx context.Context) error {
	return w.exec(ctx, "UPDATE domains SET tenant_id = $1 WHERE id = $2", 1+rand.IntN(tenantCount), 1+rand.IntN(domainCount))
}
