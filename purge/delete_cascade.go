package purge

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// cascadeDeleter leaves everything it safely can to ON DELETE; often a DELETE of the roots is
// enough. The counters tell afterwards what was deleted along with them.
type cascadeDeleter struct{}

func (cascadeDeleter) traversal(p *plan.Plan) *plan.Traversal { return p.Usual }

func (cascadeDeleter) checksLimits() bool { return false }

func (cascadeDeleter) statementTimeout(l policy.Limits, singleRoot bool) time.Duration {
	return usualTimeout(l, singleRoot)
}

func (cascadeDeleter) delete(ctx context.Context, tx *batchTx) (outcome, error) {
	if !tx.opts.lockRoots {
		return tx.deleteRoots(ctx)
	}
	free, o, err := tx.collectFree(ctx, tx.plan.Usual, false)
	if err != nil || o.roots == 0 {
		return o, err
	}
	return o, tx.deleteCollected(ctx, tx.plan.Usual, free.rows, free.keys)
}

// deleteRoots deletes the roots without locking them first and reads the counters, in one round
// trip.
func (tx *batchTx) deleteRoots(ctx context.Context) (o outcome, err error) {
	s := tx.plan.DeleteRootsSQL(tx.scope, tx.tenant, tx.keys)
	batch := &pgx.Batch{}
	batch.Queue(s.String(), s.Args...).Exec(func(tag pgconn.CommandTag) error {
		o.roots = tag.RowsAffected()
		return nil
	})
	tx.queueCounters(batch)
	if err := pg.Send(ctx, tx.conn, batch); err != nil {
		return outcome{}, fmt.Errorf("deleting from %s: %w", tx.plan.Root.Table.Name, err)
	}
	tx.countDeleted(tx.plan.Root, o.roots)
	return o, nil
}
