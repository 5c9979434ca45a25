package purge

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// heldTenants is how many tenants are held in memory while their list is read.
// A longer list is written over a second connection while it is being read.
const bufferedTenants = 20_000

// errOneConnection is a list that is too long for one connection.
var errOneConnection = fmt.Errorf("more than %d tenants are due, and the pool has but one connection: allow two", bufferedTenants)

// fixCutoffs settles, at the run's start, whose rows it is about and by which
// cutoffs: those of the tenants that have something due, or, where a sweep finds
// out only row by row, of all that have a cutoff. They are kept in the ledger,
// since a list of tenants has no place in memory. A retention that becomes
// shorter, or a hold that is lifted, counts from the next run on.
func (w *policyRun) fixCutoffs(ctx context.Context) {
	if w.plan.NoTenant {
		w.cutoffCount = 1 // the one retention is the file's
		return
	}
	err := w.search("settling the cutoffs of the run", func(p *plan.Plan) error { return w.fixCutoffsBy(ctx, p) })
	if err != nil && !errors.Is(err, errHalted) {
		w.fail(err)
	}
}

// fixBy settles the cutoffs by one plan.
func (w *policyRun) fixCutoffsBy(ctx context.Context, p *plan.Plan) error {
	s := p.DueSQL(w.scope())
	if p.Sweeps() {
		s = p.ActiveSQL(w.scope())
	}
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
				return rows.Err()
			}
			if w.run.pool.Config().MaxConns < 2 {
				return errOneConnection
			}
			return w.storeCutoffs(ctx, list)
		})
		if err != nil || list.open || len(list.buffered) == 0 {
			return err
		}
		return w.storeCutoffs(ctx, list)
	})
}

// keep writes the list into the ledger.
func (w *policyRun) storeCutoffs(ctx context.Context, list *tenantList) (err error) {
	w.cutoffCount, err = w.run.ledger.FixCutoffs(ctx, w.run.pool, w.run.id, w.plan.Policy.Name, list)
	w.latest = list.latest
	return err
}

// dueSQL gives the tenants of the page behind a rank that have something due:
// key and cutoff.
func (w *policyRun) dueSQL(p *plan.Plan, after int64) *pg.Statement {
	if p.NoTenant {
		return p.DueSQL(w.scope())
	}
	sc := w.scope()
	sc.Only = nil // the list is of those already
	return p.PageSQL(sc, after, after+plan.TenantPage)
}

// tenantList is a list of tenants (key and cutoff) as pgx copies it: what is
// held of it first, then what is still to be read.
type tenantList struct {
	rows     pgx.Rows
	open     bool // there is more to be read
	buffered [][]any
	// latest is the latest cutoff so far, as text: all are of one form and zone.
	latest string
	at     int // the next one of those held
	next   []any
	err    error
}

// hold reads the first of the list; true: there is more.
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
	var key, cutoff string
	l.err = l.rows.Scan(&key, &cutoff)
	l.next = []any{key, cutoff}
	l.latest = max(l.latest, cutoff)
	return l.err == nil
}

// Next is pgx.CopyFromSource's.
func (l *tenantList) Next() bool {
	if l.at < len(l.buffered) {
		l.next = l.buffered[l.at]
		l.at++
		return true
	}
	return l.open && l.read()
}

// Values is pgx.CopyFromSource's.
func (l *tenantList) Values() ([]any, error) { return l.next, nil }

// Err is pgx.CopyFromSource's.
func (l *tenantList) Err() error { return l.err }
