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
	// verifyTimeout bounds the check of a table that nobody else can use.
	verifyTimeout = time.Minute
	dropTries     = 3
)

// dropDetached verifies and drops a detached partition. It retries on lock timeouts,
// because dropping its foreign keys locks the tables they reference.
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
	// Not pg.Begin: the counts evaluate SQL of the policy file, so pg.Settings decides
	// whether the search_path is pinned.
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
	if err := t.verifyDetached(ctx, tx, x); err != nil {
		return err
	}
	counts, args := t.Counts(x)
	done.Batches, done.Rows, err = t.Ledger.RecordCounts(ctx, tx, t.RunID, t.Policy, recorded, t.Name.String(), counts, args)
	if err != nil || done.Rows == 0 {
		return orElse(err, errNotExpired, "verifying and counting")
	}
	// Last, because it may lock the tables that its foreign keys reference until commit.
	if _, err := tx.Exec(ctx, DropSQL(x)); err != nil {
		return fmt.Errorf("dropping: %w", err)
	}
	if err := tx.QueryRow(ctx, "SELECT "+pg.WALPosition).Scan(&done.WAL[1]); err != nil {
		return fmt.Errorf("dropping: %w", err)
	}
	done.committing = true
	if err := tx.Commit(ctx); err != nil {
		done.committing = pg.Away(err) // otherwise the server refused and nothing happened
		return fmt.Errorf("committing the drop: %w", err)
	}
	return nil
}

// verifyDetached removes the note, locks the partition, and checks that it is still the one
// that was detached, and on its own.
func (t *Table) verifyDetached(ctx context.Context, tx pgx.Tx, x schema.Partition) error {
	if noted, err := t.Ledger.ForgetDetach(ctx, tx, x.OID); err != nil || !noted {
		return orElse(err, errSettled, "removing the note")
	}
	if _, err := tx.Exec(ctx, LockSQL(x)); err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	var standalone bool
	if err := tx.QueryRow(ctx, standaloneSQL, x.Name.SQL(), int64(x.OID)).Scan(&standalone); err != nil || !standalone {
		return orElse(err, errSettled, "checking the catalog")
	}
	return nil
}

// standaloneSQL reports whether the name still belongs to this table and it is no partition.
const standaloneSQL = `SELECT to_regclass($1)::oid = $2::bigint::oid AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = $2::bigint::oid)`

// LockSQL locks a detached partition.
func LockSQL(x schema.Partition) string {
	return "LOCK TABLE ONLY " + x.Name.SQL() + " IN ACCESS EXCLUSIVE MODE"
}

// DropSQL drops a detached partition.
func DropSQL(x schema.Partition) string { return "DROP TABLE " + x.Name.SQL() }

// orElse wraps err with what was being done, or returns or if err is nil.
func orElse(err, or error, doing string) error {
	if err == nil {
		return or
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// milliseconds formats a duration as an SQL literal of type text.
func milliseconds(d time.Duration) string { return fmt.Sprintf("'%dms'", d.Milliseconds()) }
