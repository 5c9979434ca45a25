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
	held
	// RootsHeldSQL is an SQL expression for the policies of which roots are held by row.
	RootsHeldSQL() string
	// OpenRun records the start of a policy's run.
	OpenRun(ctx context.Context, db *pgxpool.Pool, runID, policy, trigger, base string) error
	// FixCutoffs stores the cutoffs of a policy's run (a tenant's key and a cutoff, as text),
	// replacing earlier ones, and returns their number.
	FixCutoffs(ctx context.Context, db *pgxpool.Pool, runID, policy string, tenants pgx.CopyFromSource) (int64, error)
	// Cutoffs is the quoted name of their table: run_id, policy, rank (from 1), tenant, cutoff.
	Cutoffs() string
	// RecordedRetentions reads what is recorded of the retentions that a policy's runs have seen: its
	// version (0: nothing), the digest of all tenants (nil: not known), and whether some of it no
	// longer counts for a run that starts at base.
	RecordedRetentions(ctx context.Context, db *pgxpool.Pool, policy, base string) (version int64, digest *int64, ended bool, err error)
	// RecordRetentions records what a run has seen of tenants: a key, and the retention as text, or
	// nil if nothing of the tenant may go. What is no longer in force counts for the grace, an
	// interval as text, from base on. ours is false if something else is recorded than the version
	// that the run has read; then it records nothing. digest is called after the last tenant.
	RecordRetentions(ctx context.Context, db *pgxpool.Pool, policy string, version int64, base, grace string, digest func() *int64, tenants pgx.CopyFromSource) (ours bool, err error)
	// Retentions is the quoted name of the table of that.
	Retentions() string
	// RecordBatch queues the row that says what a batch deleted, for the batch's
	// own transaction.
	RecordBatch(in *pgx.Batch, runID, policy string, seq int64, tenants []*string, deleted, nullified []map[string]int64) error
	// RecordSegment queues, for the batch's own transaction, the row that says which object of the
	// archive has the copy of what it deletes, and the list of the roots, as JSON.
	RecordSegment(in *pgx.Batch, runID, policy string, seq int64, name string, list []byte)
	// UnlistedSegments returns some of the lists of a policy's segments, of any run, that are not known
	// to be in the store.
	UnlistedSegments(ctx context.Context, db *pgxpool.Pool, policy string, limit int) ([][]byte, error)
	// SegmentListed records that the store has the list of a segment.
	SegmentListed(ctx context.Context, db *pgxpool.Pool, name string) error
	// BatchCommitted reports whether that row is there.
	BatchCommitted(ctx context.Context, tx pgx.Tx, runID, policy string, seq int64) (bool, error)
	// RecordAdvice stores the guards' current advice for a policy's run; an empty state clears
	// it.
	RecordAdvice(ctx context.Context, db *pgxpool.Pool, runID, policy, state, guard, reason string) error
	// MovedSQL is an SQL condition for whether WAL is written in another timeline than the ledger
	// knows.
	MovedSQL() string
	// KeepAlive renews the run's lease. When it returns, everything the run has committed is on
	// disk.
	KeepAlive(ctx context.Context, db *pgxpool.Pool, runID string) error
	// DoneTenants counts the tenants that the run deleted rows of, except the given ones;
	// "null" stands for a policy without tenants.
	DoneTenants(ctx context.Context, db *pgxpool.Pool, runID, policy string, except []string) (int64, error)
	// Totals returns the rows deleted, by table, the rows nullified, and the batches of a
	// policy's run.
	Totals(ctx context.Context, db *pgxpool.Pool, runID, policy string) (rows map[string]int64, nullified, batches int64, err error)
	// CloseRun durably records how the policy's run ended. ours is false if another process
	// took this one for dead and closed the run.
	CloseRun(ctx context.Context, db *pgxpool.Pool, runID, policy, status, reason string, walBytes int64, success bool) (ours bool, err error)
	// NumberEmitted makes the events of this process visible to others. It logs errors.
	NumberEmitted(ctx context.Context, db *pgxpool.Pool)
}
