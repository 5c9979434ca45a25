// Package partition drops whole partitions, and undoes a drop that was interrupted.
//
// The plan says which partitions may go, and the run looks first whether all rows of one
// are expired. Then Drop goes in these steps:
//
//  1. One connection takes the table's advisory lock among reapers, in a transaction
//     that does nothing else and holds no snapshot, because the detach itself can stand
//     in none.
//  2. Transactions that use the table, or one that it references, are waited for.
//     Everything that could rule out the drop is read again. Only then the detach is
//     noted in the ledger: OIDs, bound, CHECK constraints.
//  3. DETACH … CONCURRENTLY, a statement by itself. The client cancels it after two
//     seconds, and closes the connection that the cancel might meet late.
//  4. One transaction: take the note back, which is the point where two who settle the
//     same detach meet; lock the table; see in the catalog that it is detached; count its
//     rows by tenant into the ledger, if all of them are expired by what is true now; drop
//     it last, since foreign keys from it lock the tables they lead to.
//
// After any error, and at the start of any run for every note it finds (Recover), the
// detach is undone: take the note back, lock the table against attaching and detaching,
// read from the catalog how far it came, finish a pending one, attach with the noted
// bound, and take away the CHECK constraint that the detach has added, all in one
// transaction. A drop is never finished: the conditions of then need not be those of now.
// A detach that is not noted is a person's, and left alone. A COMMIT whose answer is lost
// is settled by the note: it is gone exactly if the drop is done.
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

// Ledger is what it needs of reaper's own tables.
type Ledger interface {
	// NoteDetach records that a partition is going to be detached, and what it
	// takes to attach it again.
	NoteDetach(ctx context.Context, db *pgxpool.Pool, runID, policy string, parent, partition uint32, name, bound string, checks []string) error
	// EachDetach gives every such note that was not taken back, of any policy.
	EachDetach(ctx context.Context, db *pgxpool.Pool, each func(policy string, parent, partition uint32, name, bound string, checks []string)) error
	// ForgetDetach takes a note back, and reports whether it was there.
	ForgetDetach(ctx context.Context, tx pgx.Tx, partition uint32) (bool, error)
	// RecordCounts writes what a query counts (tenant, rows) as batches of one
	// table, one a tenant, and gives their number and the sum of their rows. used
	// is how many the policy's run has recorded so before.
	RecordCounts(ctx context.Context, tx pgx.Tx, runID, policy string, used int64, table, counts string, args []any) (batches, rows int64, err error)
	// PausedSQL is a condition in SQL: whether a person has paused a policy. policy
	// is an expression of type text.
	PausedSQL(policy string) string
}

// Run is the run that drops. Its methods are called by one goroutine at a time.
type Run interface {
	// WithServer runs fn, and again while the server is away.
	WithServer(ctx context.Context, fn func() error) error
	// Backoff waits before another try, the longer the more tries there were; not at all
	// when the run is to end.
	Backoff(ctx context.Context, try int)
	// Retry is told why a drop is tried again.
	Retry(err error)
	// HeldUp reports whether the guards let nothing begin now.
	HeldUp() bool
	// Stays is told of a partition that is detached, and cannot be attached again yet.
	Stays(d Detached, err error)
}

// Table is a partitioned table of a policy, whose partitions a run may drop.
type Table struct {
	Run
	Pool   *pgxpool.Pool // of two connections at least
	Ledger Ledger
	Log    *slog.Logger
	RunID  string
	Policy string
	OID    uint32
	Name   schema.Name
	// LockTimeout bounds each wait for a lock.
	LockTimeout time.Duration
	// Path is the search_path of Counts.
	Path string
	// Counts is a query that counts the rows of a partition by tenant (text, or NULL), if
	// all of them are expired; else it gives nothing.
	Counts func(schema.Partition) (sql string, args []any)
	// Stopping is done when the run is to end.
	Stopping context.Context
	// Patience is how long the server is waited for, beside the attaching itself.
	Patience time.Duration
}

var (
	// ErrBusy is a table whose partitions another process drops.
	ErrBusy = errors.New("another process drops partitions of the table")
	// ErrPaused is a policy that a person has paused.
	ErrPaused = errors.New("paused by hand")
	// ErrHeldUp is a guard that stands against a drop, found before it has begun.
	ErrHeldUp = errors.New("a guard stands against it")
	// ErrStopping is a drop that was given up because the run is to end.
	ErrStopping = errors.New("the run is to end")

	// errInUse: a transaction has been using one of the tables for long, and would hold
	// up a detach halfway, or keep the partition from being dropped or attached again.
	errInUse = errors.New("another transaction has been using the table, or one that it references, for some time")
	// errNotExpired: not every row of the partition is expired.
	errNotExpired = errors.New("a row in it is not expired any more")
	// errSettled: somebody else has settled what became of the partition.
	errSettled = errors.New("its detach was settled by somebody else")
)

// endPatience is how long a run that is to end still waits for the server.
const endPatience = 5 * time.Second

// Dropped is what a drop has done.
type Dropped struct {
	Started       time.Time
	Batches, Rows int64    // of the ledger; of the partition
	WAL           [2]int64 // positions in the WAL, in bytes: where it began, where it ended

	committing bool // the server may have got the COMMIT
}

// Drop drops a partition, all of whose rows have been found to be expired. recorded is
// how many batches the policy's run has recorded for drops before. After an error the
// partition is attached as before, or Run was told that it stays detached.
func (t *Table) Drop(ctx context.Context, x schema.Partition, recorded int64) (*Dropped, error) {
	lock, err := t.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer pg.Rollback(lock)
	if err := t.awaitUnused(ctx); err != nil {
		return nil, err
	}
	if err := t.stillDroppable(ctx, x); err != nil {
		return nil, err
	}
	if t.HeldUp() { // it took its time
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

// stillDroppable checks again what rules out dropping a partition, at the last
// moment: since the first look others may have been waited for.
func (t *Table) stillDroppable(ctx context.Context, x schema.Partition) error {
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
		return fmt.Errorf("checking again what rules out the drop: %w", err)
	}
	return nil
}
