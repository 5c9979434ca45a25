package purge

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/search"
)

// bufferedTenants is how many tenants are buffered in memory while their list is read. A longer
// list is written over a second connection while it is being read.
const bufferedTenants = 20_000

// errOneConnection: the tenant list is too long for one connection.
var errOneConnection = fmt.Errorf("more than %d tenants are due, and the pool has only one connection: allow two", bufferedTenants)

// fixCutoffs fixes, at the start of a run, its tenants and their cutoffs: the tenants with
// something due, or, for a sweep, all that have a cutoff. They are stored in the ledger because
// the list may not fit in memory. A shortened retention or a lifted hold takes effect with the
// next run.
func (w *policyRun) fixCutoffs(ctx context.Context) {
	if w.plan.NoTenant {
		w.cutoffCount = 1 // the file's only retention
		return
	}
	err := w.search("fixing the cutoffs of the run", func(p *plan.Plan) error { return w.fixCutoffsBy(ctx, p) })
	if err != nil && !errors.Is(err, errHalted) {
		w.fail(err)
	}
}

func (w *policyRun) fixCutoffsBy(ctx context.Context, p *plan.Plan) error {
	s := search.DueSQL(p, w.scope())
	if p.Sweeps() {
		s = search.ActiveSQL(p, w.scope())
	}
	return w.storeTenants(ctx, s, func(list *tenantList) error { return w.storeCutoffs(ctx, list) })
}

// storeTenants reads tenants and hands them to store: a short list when it was read, and the
// transaction is over, a long one while it is read, on another connection. It hands over no empty list.
func (w *policyRun) storeTenants(ctx context.Context, s *pg.Statement, store func(*tenantList) error) error {
	return w.run.withServer(ctx, func() error {
		list := &tenantList{}
		err := w.run.read(ctx, w.plan.ReadingPath(), dueTimeout, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, s.String(), s.Args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			list.rows = rows
			if !list.fill() {
				return list.err
			}
			if w.run.pool.Config().MaxConns < 2 {
				return errOneConnection
			}
			return store(list)
		})
		if err != nil || list.open || len(list.buffered) == 0 {
			return err
		}
		return store(list)
	})
}

// storeCutoffs writes the list to the ledger.
func (w *policyRun) storeCutoffs(ctx context.Context, list *tenantList) (err error) {
	w.cutoffCount, err = w.run.ledger.FixCutoffs(ctx, w.run.pool, w.run.id, w.plan.Policy.Name, list)
	w.latest = list.latest
	return err
}

// dueSQL selects key and cutoff of the tenants with something due in the page after a rank.
func (w *policyRun) dueSQL(p *plan.Plan, after int64) *pg.Statement {
	if p.NoTenant {
		return search.DueSQL(p, w.scope())
	}
	sc := w.scope()
	sc.Only = nil // the stored list is already narrowed
	return search.PageSQL(p, sc, after, after+search.TenantPage)
}

// tenantList is a pgx.CopyFromSource of tenants (key, and cutoff or retention): first the buffered
// ones, then those still to be read.
type tenantList struct {
	rows     pgx.Rows
	open     bool // more to read
	buffered [][]any
	// latest is the latest cutoff so far, as text; all have the same format and zone.
	latest string
	at     int // next index into buffered
	next   []any
	err    error
}

// fill buffers the start of the list; true: there is more.
func (l *tenantList) fill() bool {
	for len(l.buffered) < bufferedTenants {
		if !l.read() {
			return false
		}
		l.buffered = append(l.buffered, l.next)
	}
	l.open = true
	return true
}

func (l *tenantList) read() bool {
	if !l.rows.Next() {
		l.err = l.rows.Err()
		return false
	}
	var key, value *string
	l.err = l.rows.Scan(&key, &value)
	l.next = []any{nil, nil}
	if key != nil {
		l.next[0] = *key
	}
	if value != nil {
		l.next[1], l.latest = *value, max(l.latest, *value)
	}
	return l.err == nil
}

// Next implements pgx.CopyFromSource.
func (l *tenantList) Next() bool {
	if l.at < len(l.buffered) {
		l.next = l.buffered[l.at]
		l.at++
		return true
	}
	return l.open && l.read()
}

// Values implements pgx.CopyFromSource.
func (l *tenantList) Values() ([]any, error) { return l.next, nil }

// Err implements pgx.CopyFromSource.
func (l *tenantList) Err() error { return l.err }
