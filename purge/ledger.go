package purge

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/partition"
	"github.com/reaperdb/reaper/preview"
)

// Ledger is what a run needs of reaper's own tables.
type Ledger interface {
	partition.Ledger
	preview.History
	// OpenRun records that a policy's run has begun.
	OpenRun(ctx context.Context, db *pgxpool.Pool, runID, policy, trigger, base string) error
	// FixCutoffs keeps the cutoffs that count for a policy's run, by tenant, in
	// place of any kept before, and gives their number. Each is a tenant's key
	// and a cutoff, as text.
	FixCutoffs(ctx context.Context, db *pgxpool.Pool, runID, policy string, tenants pgx.CopyFromSource) (int64, error)
	// Cutoffs is the quoted name of the table that they are in: run_id, policy,
	// rank (their order, from 1), tenant, cutoff.
	Cutoffs() string
	// RecordBatch queues the row that says what a batch deleted, for the batch's
	// own transaction.
	RecordBatch(in *pgx.Batch, runID, policy string, seq int64, tenants []*string, deleted, nullified []map[string]int64) error
	// BatchCommitted reports whether that row is there.
	BatchCommitted(ctx context.Context, tx pgx.Tx, runID, policy string, seq int64) (bool, error)
	// RecordAdvice writes what the guards make of a policy's run from now on; an empty
	// state: nothing any more.
	RecordAdvice(ctx context.Context, db *pgxpool.Pool, runID, policy, state, guard, reason string) error
	// KeepAlive says that the run's process lives. When it returns, all that the
	// run has committed is on disk.
	KeepAlive(ctx context.Context, db *pgxpool.Pool, runID string) error
	// DoneTenants counts the tenants of which the run deleted something, those
	// named left out; "null" stands for a policy without tenants.
	DoneTenants(ctx context.Context, db *pgxpool.Pool, runID, policy string, except []string) (int64, error)
	// Totals gives the rows deleted and emptied by a policy's run, by table, and
	// its batches.
	Totals(ctx context.Context, db *pgxpool.Pool, runID, policy string) (rows map[string]int64, nullified, batches int64, err error)
	// CloseRun records how the policy's run ended, durably. ours is false when
	// another process has closed it, which took this one for dead.
	CloseRun(ctx context.Context, db *pgxpool.Pool, runID, policy, status, reason string, walBytes int64, success bool) (ours bool, err error)
}
