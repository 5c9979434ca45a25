package partition

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

const (
	// verifyTimeout bounds a look at a table that nobody else needs.
	verifyTimeout = time.Minute
	dropTries     = 3
)

// dropDetached verifies and drops a detached partition, again when it could not
// get a lock: foreign keys from it to other tables go with it, and lock those.
func (t *Table) dropDetached(ctx context.Context, x schema.Partition, recorded int64, done *Dropped) (err error) {
	for try := range dropTries {
		if try > 0 {
			t.Retry(err)
			t.Backoff(ctx, try)
		}
		if err = t.dropOnce(ctx, x, recorded, done); !pg.Passes(err) {
			return err
		}
	}
	return err
}

func (t *Table) dropOnce(ctx context.Context, x schema.Partition, recorded int64, done *Dropped) error {
	// Not pg.Begin: whether the path is pinned is for the settings to say, since the
	// counts evaluate SQL of the policy file.
	tx, err := t.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return fmt.Errorf("beginning the drop: %w", err)
	}
	defer pg.Rollback(tx)
	var paused bool
	err = tx.QueryRow(ctx, "SELECT "+pg.Settings(t.Path, milliseconds(verifyTimeout), milliseconds(t.LockTimeout))+", "+pg.WALPosition+", "+t.Ledger.PausedSQL("$1::text"),
		t.Policy).Scan(new(int), &done.WAL[0], &paused)
	if err != nil {
		return fmt.Errorf("beginning the drop: %w", err)
	}
	if paused {
		return ErrPaused
	}
	if err := t.settleDetached(ctx, tx, x); err != nil {
		return err
	}
	counts, args := t.Counts(x)
	done.Batches, done.Rows, err = t.Ledger.RecordCounts(ctx, tx, t.RunID, t.Policy, recorded, t.Name.String(), counts, args)
	if err != nil || done.Rows == 0 {
		return errorOr(err, errNotExpired, "verifying and counting")
	}
	// Last, for it may lock tables that its foreign keys lead to, until the end.
	if _, err := tx.Exec(ctx, DropSQL(x)); err != nil {
		return fmt.Errorf("dropping: %w", err)
	}
	if err := tx.QueryRow(ctx, "SELECT "+pg.WALPosition).Scan(&done.WAL[1]); err != nil {
		return fmt.Errorf("dropping: %w", err)
	}
	done.committing = true
	if err := tx.Commit(ctx); err != nil {
		done.committing = pg.Away(err) // else the server refused: nothing happened
		return fmt.Errorf("committing the drop: %w", err)
	}
	return nil
}

// settleDetached takes the note back, locks the partition, and sees that it is still
// the one that was detached, and by itself.
func (t *Table) settleDetached(ctx context.Context, tx pgx.Tx, x schema.Partition) error {
	if noted, err := t.Ledger.ForgetDetach(ctx, tx, x.OID); err != nil || !noted {
		return errorOr(err, errSettled, "taking the note back")
	}
	if _, err := tx.Exec(ctx, LockSQL(x)); err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	var byItself bool
	if err := tx.QueryRow(ctx, byItselfSQL, x.Name.SQL(), int64(x.OID)).Scan(&byItself); err != nil || !byItself {
		return errorOr(err, errSettled, "looking at the catalog")
	}
	return nil
}

// byItselfSQL reports whether a name is still that of a table, which is no partition.
const byItselfSQL = `SELECT to_regclass($1)::oid = $2::bigint::oid AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = $2::bigint::oid)`

// LockSQL locks a detached partition.
func LockSQL(x schema.Partition) string {
	return "LOCK TABLE ONLY " + x.Name.SQL() + " IN ACCESS EXCLUSIVE MODE"
}

// DropSQL drops a detached partition.
func DropSQL(x schema.Partition) string { return "DROP TABLE " + x.Name.SQL() }

// errorOr is an error with what was being done, or else another one.
func errorOr(err, or error, doing string) error {
	if err == nil {
		return or
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// milliseconds is a duration as SQL has it, of type text.
func milliseconds(d time.Duration) string { return fmt.Sprintf("'%dms'", d.Milliseconds()) }
