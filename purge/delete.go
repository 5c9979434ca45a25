package purge

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// deleter is a way to delete roots and everything that depends on them. The loop searches,
// retries, splits and accounts; this interface is all it knows. Each deleter is one file,
// delete_*.go, and one line in deleters.
type deleter interface {
	// traversal selects the edges it walks itself. The others are left to ON DELETE and counted
	// by the session's statistics.
	traversal(p *plan.Plan) *plan.Traversal
	// checksLimits reports whether it checks the limits before it deletes. If not, the counters
	// are checked before COMMIT.
	checksLimits() bool
	// statementTimeout bounds each of its statements.
	statementTimeout(l policy.Limits, singleRoot bool) time.Duration
	// delete deletes the candidates in an open transaction. The outcome counts only if the
	// transaction commits.
	delete(ctx context.Context, tx *batchTx) (outcome, error)
}

// method names a deleter.
type method string

const (
	cascade method = "cascade"
	closure method = "closure"
	proven  method = "proven"
	drain   method = "drain"
)

var deleters = map[method]deleter{
	cascade: cascadeDeleter{},
	closure: closureDeleter{},
	proven:  provenDeleter{},
	drain:   drainDeleter{},
}

// collection is the collected rows of a batch, by table.
type collection = map[*plan.Node]*plan.Rows

// usualTimeout is twice the target time of a batch, so that a smaller batch stays within it. A
// single root gets a minute.
func usualTimeout(l policy.Limits, singleRoot bool) time.Duration {
	if singleRoot {
		return time.Minute
	}
	return max(2*l.Time, 100*time.Millisecond)
}
