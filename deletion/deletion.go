package deletion

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// deleter is a way to delete roots and everything that depends on them: one file, and one line
// in deleters. The loop of package purge searches, retries, splits and accounts. It chooses a
// Method, and knows no more of it than the name.
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
	delete(ctx context.Context, tx *Tx) (Outcome, error)
}

// Method names a deleter.
type Method string

// The ways to delete; see the package comment.
const (
	Cascade Method = "cascade"
	Closure Method = "closure"
	Proven  Method = "proven"
	Drain   Method = "drain"
	// Archived is the only way where the policy has an archive.
	Archived Method = "archived"
)

var deleters = map[Method]deleter{
	Cascade:  cascadeDeleter{},
	Closure:  closureDeleter{},
	Proven:   provenDeleter{},
	Drain:    drainDeleter{},
	Archived: archivedDeleter{},
}

// collection is the collected rows of a batch, by table.
type collection = map[*plan.Node]*collected.Rows

// usualTimeout is twice the target time of a batch, so that a smaller batch stays within it. A
// single root gets a minute.
func usualTimeout(l policy.Limits, singleRoot bool) time.Duration {
	if singleRoot {
		return time.Minute
	}
	return max(2*l.Time, 100*time.Millisecond)
}

// Options is how a batch is attempted.
type Options struct {
	Method    Method
	LockRoots bool // first, skipping those already locked
	// LockDependents also locks dependents where otherwise a foreign key violation would report
	// a new reference to them.
	LockDependents bool
	// Together deletes the rows of all tenants of the batch by the same statements, and not tenant by
	// tenant: those that lock and collect, or, where roots are not locked first, one loop in the
	// server. See plan.Together and plan.Server. Its errors name no tenant.
	Together bool
	// Piecewise deletes a single root over several batches; of method Archived.
	Piecewise bool
	// SingleRoot gives statements the time that a single root may need.
	SingleRoot bool
}
