//go:build torture

package torture

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// work is one kind of transaction; weight is its relative frequency.
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

// administration changes many rows at once. It is rare, so that each change is in effect for
// longer than a batch may miss it.
var administration = []work{
	{"hold", 2, (*writer).hold},
	{"retention", 1, (*writer).retention},
	{"domain", 1, (*writer).domain},
}

// feeding inserts trees of rows, most of them expired.
var feeding = []work{{"feed", 10, (*writer).feed}, {"age", 3, (*writer).age}}

// old and young are SQL expressions for ages; what is in between may be expired, depending on
// retentions.
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

// grow gives rows children, and those children.
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
		// Replies have replies, but those have none: otherwise it would never end.
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

// adopt inserts children below rows that may be about to be deleted.
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

// move moves dependents of rows that may be about to be deleted to other rows, or the reverse.
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

// remove deletes rows that may be about to be deleted anyway, where nothing forbids it.
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

// transfer gives roots that may be about to be deleted to another owner.
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

// renew makes roots that may be about to be deleted young.
func (w *writer) renew(ctx context.Context) error {
	root := anyRoot()
	rows, err := w.near(ctx, root, 1+rand.IntN(4), false)
	if err != nil {
		return err
	}
	return w.update(ctx, root, "at = "+young, rows)
}

// age makes young roots old; the more there are, the more it ages.
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

// queue excludes mails that may be about to be deleted from the policy.
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

// release removes what keeps roots, except the newest.
func (w *writer) release(ctx context.Context) error {
	for _, e := range w.layout.edges {
		if e.action != keeps {
			continue
		}
		if err := w.exec(ctx, "DELETE FROM "+e.child+" WHERE id = ANY (SELECT id FROM "+e.child+" ORDER BY id DESC OFFSET 80)"); err != nil {
			return err
		}
	}
	return nil
}

// hold sets a tenant's hold, or lifts one of two.
func (w *writer) hold(ctx context.Context) error {
	held, err := w.query(ctx, 1, "SELECT id::bigint FROM tenants WHERE hold")
	if err != nil {
		return err
	}
	if held.len() > 1 {
		return w.exec(ctx, "UPDATE tenants SET hold = NULL WHERE id = $1", held.some(1)[0][0])
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
