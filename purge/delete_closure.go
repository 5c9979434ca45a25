package purge

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// closureDeleter walks every edge itself: it collects and counts everything, and checks the
// limits, before it deletes.
type closureDeleter struct{}

func (closureDeleter) traversal(p *plan.Plan) *plan.Traversal { return p.Full }

func (closureDeleter) checksLimits() bool { return true }

func (closureDeleter) statementTimeout(l policy.Limits, singleRoot bool) time.Duration {
	return usualTimeout(l, singleRoot)
}

func (closureDeleter) delete(ctx context.Context, tx *batchTx) (outcome, error) {
	free, o, err := tx.collectFree(ctx, tx.plan.Full, true)
	if err != nil || o.roots == 0 {
		return o, err
	}
	return o, tx.deleteCollected(ctx, tx.plan.Full, free.rows, free.keys)
}
