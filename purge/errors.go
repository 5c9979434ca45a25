package purge

import (
	"errors"
	"slices"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

var (
	errBusy = errors.New("another worker has locked the tenant")
	// errCrowded: the server has no room for the locks of a batch of many tenants.
	errCrowded = errors.New("the server's lock table is full")
)

// fault is the class of a batch error, which decides how it is handled.
type fault int

const (
	// faultTenant is caused by the rows: the batch is split until the row is found, and only
	// its tenant fails.
	faultTenant fault = iota
	// faultRetry is transient: a lock, a deadlock, a concurrent insert.
	faultRetry
	// faultPolicy is an error of the schema or the role. It would be the same for every row, so
	// it ends the policy.
	faultPolicy
	// faultDatabase is an error of the server: wait for it until patience runs out.
	faultDatabase
)

func classify(err error) fault {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		switch {
		case errors.Is(err, deletion.ErrChanged), errors.Is(err, deletion.ErrUnproven), errors.Is(err, deletion.ErrSlow):
			return faultRetry
		case errors.Is(err, deletion.ErrStillReferenced), errors.Is(err, deletion.ErrKept), errors.Is(err, deletion.ErrInterfered):
			return faultTenant
		case errors.Is(err, plan.ErrSchemaChanged), errors.Is(err, plan.ErrReplicaRole), errors.Is(err, pg.ErrWrites), errors.Is(err, deletion.ErrDefault):
			return faultPolicy
		}
		return faultDatabase // the connection, or the pool
	}
	switch {
	case pg.Passes(err):
		return faultRetry
	case pg.Away(err):
		return faultDatabase
	case refused.Routine == raisedRoutine:
		return faultTenant
	case slices.Contains([]string{"55000", "0A000", "27000"}, refused.Code), refused.Code[:2] == "42": // no such object, no privilege
		return faultPolicy
	}
	return faultTenant
}

// raisedRoutine is the C function (pl_exec.c) that reports a RAISE in PL/pgSQL. Such an error
// is about one row, unless its code says that the server is out of resources or a connection is
// lost.
const raisedRoutine = "exec_stmt_raise"

// reasonOf returns a short reason for a metric or a message.
func reasonOf(err error) string {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		switch {
		case errors.Is(err, deletion.ErrChanged):
			return "changed"
		case errors.Is(err, deletion.ErrUnproven):
			return "unproven"
		case errors.Is(err, deletion.ErrSlow):
			return "slow"
		case errors.Is(err, deletion.ErrInterfered):
			return "trigger"
		case errors.Is(err, deletion.ErrOverflow):
			return Overrun
		}
		return "connection"
	}
	switch refused.Code {
	case "55P03":
		return "lock_timeout"
	case "40P01":
		return "deadlock"
	case "40001":
		return "serialization_failure"
	case "57014":
		return "statement_timeout"
	case "23503", "23001": // RESTRICT has its own code since PostgreSQL 18
		return "foreign_key_violation"
	}
	return refused.Code
}
