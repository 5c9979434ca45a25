package deletion

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/search"
)

// cascadeDeleter leaves everything it safely can to ON DELETE; often a DELETE of the roots is
// enough. The counters tell afterwards what was deleted along with them.
type cascadeDeleter struct{}

func (cascadeDeleter) traversal(p *plan.Plan) *plan.Traversal { return p.Usual }

func (cascadeDeleter) checksLimits() bool { return false }

func (cascadeDeleter) statementTimeout(l policy.Limits, singleRoot bool) time.Duration {
	return usualTimeout(l, singleRoot)
}

func (cascadeDeleter) delete(ctx context.Context, tx *Tx) (Outcome, error) {
	if !tx.Opts.LockRoots {
		return tx.deleteRoots(ctx)
	}
	free, o, err := tx.collectFree(ctx, tx.plan.Usual, false)
	if err != nil || o.Roots == 0 {
		return o, err
	}
	return o, tx.deleteCollected(ctx, tx.plan.Usual, free.rows, free.keys)
}

// deleteRoots deletes the roots without locking them first and reads the counters, in one round
// trip.
func (tx *Tx) deleteRoots(ctx context.Context) (o Outcome, err error) {
	s := tx.deleteRootsSQL(&pg.Statement{}, tx.scope, tx.Share)
	batch := &pgx.Batch{}
	batch.Queue(s.String(), s.Args...).Exec(func(tag pgconn.CommandTag) error {
		o.Roots = tag.RowsAffected()
		return nil
	})
	tx.queueCounters(batch)
	if err := pg.Send(ctx, tx.Conn, batch); err != nil {
		return Outcome{}, fmt.Errorf("deleting from %s: %w", tx.plan.Root.Table.Name, err)
	}
	tx.countDeleted(tx.plan.Root, o.Roots)
	return o, nil
}

// deleteRootsSQL deletes the roots of a part that were not locked first.
func (tx *Tx) deleteRootsSQL(s *pg.Statement, sc expiry.Scope, p *Share) *pg.Statement {
	if p.Range != nil {
		return search.DeleteRangeSQL(tx.plan, s, sc, p.Tenant, p.Range)
	}
	return tx.plan.DeleteRootsSQL(s, sc, p.Tenant, p.keys)
}

// deleteInLoop deletes the roots of many tenants in the server, by a statement for each, and reads
// the counters behind each. What the tenants keep is read once, before the first: most of the work
// of a small tenant's statement would be to find that out. If it is another behind the last, the
// batch is redone: a row that came to a tenant in the commit that holds the tenant must not go.
func (tx *Tx) deleteInLoop(ctx context.Context) error {
	sc := tx.scope
	sc.Given = pg.LoopGiven
	statements := make([]*pg.Statement, len(tx.Parts))
	for i, part := range tx.Parts {
		statements[i] = tx.deleteRootsSQL(pg.InLoop(), sc, part)
	}
	marks := make([][]int64, len(tx.Parts))
	loop := pg.Loop{
		Given:     func(s *pg.Statement, first, end int) { tx.plan.CutoffsSQL(s, tx.scope, tx.tenants()[first:end]) },
		GivenType: "pg_catalog.timestamptz[]",
		Numbers:   func(s *pg.Statement) string { return tx.plan.Counters(s, tx.Traversal()) },
		Read: func(i int, n int64, counters []int64) error {
			part := tx.Parts[i]
			part.Now.Roots = n
			part.countDeleted(tx.plan.Root, n)
			marks[i] = counters
			return nil
		},
	}
	batch := &pgx.Batch{}
	err := loop.Queue(batch, tx.Conn.Conn().TypeMap(), statements)
	if err == nil {
		err = pg.Send(ctx, tx.Conn, batch)
	}
	if err != nil {
		return fmt.Errorf("deleting from %s: %w", tx.plan.Root.Table.Name, err)
	}
	return tx.settleParts(ctx, marks)
}

// settleParts settles what each part has done, by the counters behind it.
func (tx *Tx) settleParts(ctx context.Context, marks [][]int64) (err error) {
	for i, part := range tx.Parts {
		tx.Share = part
		tx.after = marks[i]
		if err := tx.settleCounts(ctx); err != nil {
			return err
		}
		if part.Now, err = tx.stillDue(ctx, part.Now); err != nil {
			return tx.named(err)
		}
	}
	return nil
}
