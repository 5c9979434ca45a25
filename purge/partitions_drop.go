package purge

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
)

// dropTx is what the transaction of a drop has counted, as far as it came.
type dropTx struct {
	started       time.Time
	committing    bool // the server may have got the COMMIT
	batches, rows int64
	wal           [2]int64 // positions in the WAL, in bytes: where it began, where it ended
}

// dropDetached verifies and drops a detached partition, again when it could not
// get a lock: foreign keys from it to other tables go with it, and lock those.
func (w *work) dropDetached(ctx context.Context, x partition, tx *dropTx) (err error) {
	for try := 0; ; try++ {
		if err = w.dropOnce(ctx, x, tx); err == nil || decideDrop(err, try) != retryBatch {
			return err
		}
		w.run.tell(func(o Observer) { o.Retry(w.plan.Policy.Name, reasonOf(err)) })
		w.run.sleep(ctx, w.run.backoff(try+1))
	}
}

func (w *work) dropOnce(ctx context.Context, x partition, t *dropTx) error {
	// Not pg.Begin: whether the path is pinned is for settings to say, since the counts
	// evaluate SQL of the policy file.
	tx, err := w.run.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return fmt.Errorf("beginning the drop: %w", err)
	}
	defer rollback(tx)
	s := &statement{}
	s.add("SELECT ", settings(s, w.plan.readingPath(), verifyTimeout, w.plan.lockTimeout()), ", ", pg.WALPosition, ", ", w.run.ledger.PausedSQL(s.cast(w.plan.Policy.Name, textType)))
	var set int
	var paused bool
	var before, after int64
	if err := tx.QueryRow(ctx, s.String(), s.args...).Scan(&set, &before, &paused); err != nil {
		return fmt.Errorf("beginning the drop: %w", err)
	}
	if paused {
		return errHandPaused
	}
	if noted, err := w.run.ledger.ForgetDetach(ctx, tx, x.oid); err != nil || !noted {
		return cmpError(err, errSettled, "taking the note back")
	}
	if _, err := tx.Exec(ctx, lockPartition(x)); err != nil {
		return fmt.Errorf("locking: %w", err)
	}
	var alone bool
	if err := tx.QueryRow(ctx, aloneSQL, x.ident(), int64(x.oid)).Scan(&alone); err != nil || !alone {
		return cmpError(err, errSettled, "looking at the catalog")
	}
	counts := w.plan.expiredCountsSQL(w.scope(), x)
	t.batches, t.rows, err = w.run.ledger.RecordCounts(ctx, tx, w.run.id, w.plan.Policy.Name, w.state.recordedDrops(), w.plan.Root.Table.Name.String(), counts.String(), counts.args)
	if err != nil || t.rows == 0 {
		return cmpError(err, errNotExpired, "verifying and counting")
	}
	// Last, for it may lock tables that its foreign keys lead to, until the end.
	if _, err := tx.Exec(ctx, "DROP TABLE "+x.ident()); err != nil {
		return fmt.Errorf("dropping: %w", err)
	}
	if err := tx.QueryRow(ctx, "SELECT "+pg.WALPosition).Scan(&after); err != nil {
		return fmt.Errorf("dropping: %w", err)
	}
	t.wal = [2]int64{before, after}
	t.committing = true
	if err := tx.Commit(ctx); err != nil {
		t.committing = decideCommit(err) == resolveCommit // else the server refused: nothing happened
		return fmt.Errorf("committing the drop: %w", err)
	}
	return nil
}

// aloneSQL reports whether a name is still that of a table, which is no partition.
const aloneSQL = `SELECT to_regclass($1)::oid = $2::bigint::oid AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = $2::bigint::oid)`

// cmpError is an error with what was being done, or else another one.
func cmpError(err, or error, doing string) error {
	if err == nil {
		return or
	}
	return fmt.Errorf("%s: %w", doing, err)
}

// accountDrop adds a dropped partition to the report.
func (w *work) accountDrop(x partition, t *dropTx) {
	took := time.Since(t.started)
	name, table := w.plan.Policy.Name, w.plan.Root.Table.Name.String()
	wal := w.state.addDrop(table, x.name.String(), t, took)
	w.run.tell(func(o Observer) {
		o.Batch(BatchEvent{Policy: name, Roots: t.rows, Rows: t.rows, Duration: took, WALBytes: wal, Deleted: map[string]int64{table: t.rows}})
	})
	w.run.log.Info("partition dropped", "policy", name, "partition", x.name.String(), "rows", t.rows, "duration", took.Round(time.Millisecond))
}
