// Package partition drops whole partitions and undoes interrupted drops.
//
// A policy's partitions are its first turn in a run, after its cutoffs are fixed. The plan says
// whether the table allows it. One statement reads from the catalog which partitions end below
// the latest cutoff; the run then reads each of them up to the first row that stays. Whatever
// rules out a drop leaves the rows to the batches. Drop proceeds in these steps:
//
//  1. One connection takes reaper's advisory lock for the table, in a transaction that does
//     nothing else and holds no snapshot, because the detach itself cannot run in one.
//  2. It waits for transactions that use the table, or one that it references, and then
//     checks again everything that could rule out the drop. Only then is the detach noted
//     in the ledger: OIDs, bound, CHECK constraints.
//  3. DETACH … CONCURRENTLY, outside a transaction. The client cancels it after two seconds
//     and closes the connection, which a late cancel could still hit.
//  4. One transaction removes the note, which serializes everyone who settles the same
//     detach; locks the table; checks in the catalog that it is detached; counts its rows by
//     tenant into the ledger, if all are expired at this moment; and finally drops it, last
//     because foreign keys lock the tables they reference.
//
// After any error, and at the start of any run for every note it finds (Recover), the detach
// is undone in one transaction: remove the note, lock the table against attaching and
// detaching, read from the catalog how far the detach came, finish a pending one, attach with
// the noted bound, and drop the CHECK constraint that the detach added. A drop is never
// completed later, because its conditions may have changed. A detach without a note was done
// by a person and is left alone. After a lost COMMIT, the note says whether the drop took
// place: it is gone exactly if it did.
package partition

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// Ledger is the part of the ledger that this package needs.
type Ledger interface {
	// NoteDetach records that a partition is about to be detached, and what it takes to
	// attach it again.
	NoteDetach(ctx context.Context, db *pgxpool.Pool, runID, policy string, parent, partition uint32, name, bound string, checks []string) error
	// EachDetach passes every remaining note, of any policy.
	EachDetach(ctx context.Context, db *pgxpool.Pool, each func(policy string, parent, partition uint32, name, bound string, checks []string)) error
	// ForgetDetach removes a note and reports whether it existed.
	ForgetDetach(ctx context.Context, tx pgx.Tx, partition uint32) (bool, error)
	// RecordCounts records the result of a query (tenant, rows) as batches on one table, one
	// per tenant, and returns their number and the sum of their rows. used is how many the
	// policy's run has recorded this way before.
	RecordCounts(ctx context.Context, tx pgx.Tx, runID, policy string, used int64, table, counts string, args []any) (batches, rows int64, err error)
	// PausedSQL returns an SQL condition for whether a policy is paused manually. policy is
	// an expression of type text.
	PausedSQL(policy string) string
}

// Run is the run that drops partitions. Its methods are called by one goroutine at a time.
type Run interface {
	// WithServer runs fn, and repeats it while the server is unavailable.
	WithServer(ctx context.Context, fn func() error) error
	// Backoff waits before another try, longer after more tries, and not at all when the
	// run is stopping.
	Backoff(ctx context.Context, try int)
	// Retry reports why a drop is retried.
	Retry(err error)
	// HeldUp reports whether the guards forbid beginning anything now.
	HeldUp() bool
	// Stays reports a partition that is detached and cannot be attached again yet.
	Stays(d Detached, err error)
}

// Table is a partitioned table of a policy whose partitions a run may drop.
type Table struct {
	Run
	Pool   *pgxpool.Pool // with at least two connections
	Ledger Ledger
	Log    *slog.Logger
	RunID  string
	Policy string
	OID    uint32
	Name   schema.Name
	// LockTimeout bounds each wait for a lock.
	LockTimeout time.Duration
	// Path is the search_path for Counts.
	Path string
	// Counts returns a query that counts the rows of a partition by tenant (text, or NULL)
	// if all of them are expired, and returns no rows otherwise.
	Counts func(schema.Partition) (sql string, args []any)
	// Stopping is done when the run has to stop.
	Stopping context.Context
	// Patience is how long to wait for the server, in addition to the attach itself.
	Patience time.Duration
}

var (
	// ErrBusy means that another process is dropping partitions of the table.
	ErrBusy = errors.New("another process is dropping partitions of the table")
	// ErrPaused means that a person has paused the policy.
	ErrPaused = errors.New("paused by hand")
	// ErrHeldUp means that a guard forbids the drop before it has begun.
	ErrHeldUp = errors.New("a guard forbids it")
	// ErrStopping means that the drop was given up because the run is stopping.
	ErrStopping = errors.New("the run is stopping")

	// errInUse: a long transaction uses one of the tables and would leave a detach halfway, or
	// block dropping or attaching the partition.
	errInUse = errors.New("another transaction has been using the table, or one that it references, for some time")
	// errNotExpired: not every row of the partition is expired.
	errNotExpired = errors.New("a row in it is no longer expired")
	// errSettled: another process has settled the partition's detach.
	errSettled = errors.New("another process settled its detach")
)

// endPatience is how long a stopping run still waits for the server.
const endPatience = 5 * time.Second

// Dropped is the result of a drop.
type Dropped struct {
	Started       time.Time
	Batches, Rows int64    // of the ledger; of the partition
	WAL           [2]int64 // WAL positions in bytes at the start and at the end

	committing bool // the server may have received the COMMIT
}

// Drop drops a partition whose rows have all been found expired. recorded is how many
// batches the policy's run has already recorded for drops. After an error the partition is
// attached as before, or Run.Stays was called.
func (t *Table) Drop(ctx context.Context, x schema.Partition, recorded int64) (*Dropped, error) {
	lock, err := t.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer pg.Rollback(lock)
	if err := t.awaitUnused(ctx); err != nil {
		return nil, err
	}
	if err := t.checkDroppable(ctx, x); err != nil {
		return nil, err
	}
	if t.HeldUp() { // this may have taken a while
		return nil, ErrHeldUp
	}
	d := Detached{policy: t.Policy, parent: t.OID, partition: x.OID, Name: x.Name.String(), bound: x.Bound, checks: x.Checks}
	err = t.WithServer(ctx, func() error {
		return t.Ledger.NoteDetach(ctx, t.Pool, t.RunID, d.policy, d.parent, d.partition, d.Name, d.bound, d.checks)
	})
	if err != nil {
		return nil, fmt.Errorf("noting the detach in the ledger: %w", err)
	}
	done := &Dropped{Started: time.Now()}
	if err = t.detach(ctx, x); err == nil {
		err = t.dropDetached(ctx, x, recorded, done)
	}
	if err != nil && (!t.undo(ctx, d) || !done.committing) {
		return nil, err
	}
	return done, nil
}

// checkDroppable checks again, at the last moment, what rules out a drop: it may have waited
// for others since the first check.
func (t *Table) checkDroppable(ctx context.Context, x schema.Partition) error {
	sql := "SELECT " + schema.DropObstacle("$1::bigint::oid") + `
  FROM (SELECT c.oid, c.relkind, c.relpersistence, c.relowner,
               EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = $1::bigint::oid AND i.inhdetachpending) AS pending
          FROM pg_class c WHERE c.oid = $2::bigint::oid) x`
	var obstacle string
	err := t.WithServer(ctx, func() error {
		return pg.Pinned(t.Pool).QueryRow(ctx, sql, int64(t.OID), int64(x.OID)).Scan(&obstacle)
	})
	if err == nil && obstacle != "" {
		return errors.New(obstacle)
	}
	if err != nil {
		return fmt.Errorf("checking again whether the drop is possible: %w", err)
	}
	return nil
}
