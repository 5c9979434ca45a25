package purge

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// deleter is a way to delete roots with all that depends on them. The loop searches,
// retries, splits and accounts, and knows no more of a way than this. Each is one file,
// delete_*.go, and one line in deleters.
type deleter interface {
	// traversal is which edges it walks itself. The others are left to ON DELETE, and
	// counted by the statistics of the session.
	traversal(p *plan.Plan) *plan.Traversal
	// checksLimits reports whether it holds the limits before it deletes. Otherwise the
	// counters are compared with them before COMMIT.
	checksLimits() bool
	// statementTimeout bounds each of its statements.
	statementTimeout(l policy.Limits, singleRoot bool) time.Duration
	// delete deletes the candidates of an open transaction, and reports what became of
	// them. Nothing of it counts unless the transaction commits.
	delete(ctx context.Context, tx *batchTx) (outcome, error)
}

// method names a way to delete.
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

// collection is the rows of a batch that are known, by table.
type collection = map[*plan.Node]*plan.Rows

// usualTimeout is twice the time that a batch aims at, which a smaller one will keep. A
// single root gets what it needs.
func usualTimeout(l policy.Limits, singleRoot bool) time.Duration {
	if singleRoot {
		return time.Minute
	}
	return max(2*l.Time, 100*time.Millisecond)
}
