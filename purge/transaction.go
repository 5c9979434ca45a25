package purge

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

func (tx *batchTx) countDeleted(n *plan.Node, rows int64) {
	if rows > 0 {
		tx.rows[n.Table.Name.String()] += rows
	}
}

func (tx *batchTx) countNullified(n *plan.Node, rows int64) {
	if rows > 0 {
		tx.nullified[n.Table.Name.String()] += rows
	}
}

func (tx *batchTx) total() (rows int64) {
	for _, n := range tx.rows {
		rows += n
	}
	for _, n := range tx.nullified {
		rows += n
	}
	return rows
}

// inTransaction is the frame of every batch: begin, advisory lock, settings and a
// look for a person's pause in one statement, the body, the ledger's row, commit.
func (b *batcher) inTransaction(ctx context.Context, t *plan.TenantCutoff, opts attemptOptions, body func(*batchTx) (outcome, error)) (outcome, error) {
	started := time.Now()
	b.seq = b.policy.state.nextBatch()
	var o outcome
	var tx *batchTx
	committing := false
	tries := 0
	err := b.run.withServer(ctx, func() error {
		if committing {
			done, err := b.settled(ctx, t)
			if err != nil || done {
				return err
			}
			committing = false
		}
		// The server was away, or had no room: the guards are asked anew.
		if tries++; tries > 1 && b.run.heldUp(b.plan.Policy.Name) {
			return errGuarded
		}
		var err error
		tx, err = b.begin(ctx, t, opts)
		if err != nil {
			return err
		}
		defer tx.close()
		if o, err = body(tx); err != nil {
			return err
		}
		if err := b.settleCounts(ctx, tx, opts); err != nil {
			return err
		}
		committing = true
		err = b.commit(ctx, tx, t)
		committing = err != nil && decideCommit(err) == resolveCommit // else the server refused, and nothing happened
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	took := time.Since(started)
	b.account(t, tx, &o, took)
	b.pause(ctx, tx.total(), took)
	return o, nil
}

func (b *batcher) begin(ctx context.Context, t *plan.TenantCutoff, opts attemptOptions) (*batchTx, error) {
	conn, err := b.run.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("beginning batch: %w", err)
	}
	tx := &batchTx{conn: conn, began: time.Now(), lockDependents: opts.lockDependents || opts.proven, rows: map[string]int64{}, nullified: map[string]int64{}}
	s := b.plan.BeginSQL(b.lockKey(t.Key), b.statementTimeout(opts), b.run.ledger.PausedSQL, opts.traversal)
	var got, paused bool
	var set, write int
	tx.before = make([]int64, opts.traversal.Counters())
	batch := &pgx.Batch{}
	batch.Queue(pg.BeginWrite)
	batch.Queue(s.String(), s.Args...).Query(pg.ScanOne(append([]any{&got, &set, &write, &paused}, pg.Pointers(tx.before)...)...))
	batch.Queue(b.plan.LockTables())
	facts := b.plan.CatalogPrintSQL()
	var role, found string
	batch.Queue(facts.String(), facts.Args...).Query(pg.ScanOne(&role, &found))
	err = pg.Send(ctx, conn, batch)
	switch {
	case err != nil:
		err = fmt.Errorf("beginning batch: %w", err)
	case !got:
		err = errBusy
	case paused:
		err = errHandPaused
	case role != "origin":
		err = plan.ErrReplicaRole
	case found != b.plan.CatalogPrint:
		err = plan.ErrSchemaChanged
	}
	if err != nil {
		tx.close()
		return nil, err
	}
	return tx, nil
}

// queueCounters has the counters read behind other statements.
func (b *batcher) queueCounters(batch *pgx.Batch, tx *batchTx, opts attemptOptions) {
	s := b.plan.CountersSQL(opts.traversal)
	tx.after = make([]int64, opts.traversal.Counters())
	batch.Queue(s.String(), s.Args...).Query(pg.ScanOne(pg.Pointers(tx.after)...))
}

// settleCounts adds what ON DELETE did, and refuses a batch over its limits.
func (b *batcher) settleCounts(ctx context.Context, tx *batchTx, opts attemptOptions) error {
	if tx.after == nil {
		batch := &pgx.Batch{}
		b.queueCounters(batch, tx, opts)
		if err := pg.Send(ctx, tx.conn, batch); err != nil {
			return fmt.Errorf("reading counters: %w", err)
		}
	}
	tx.wal = [2]int64{tx.before[0], tx.after[0]}
	// The counters also hold what an earlier transaction of the session did:
	// only differences count.
	for i, n := range opts.traversal.Counted {
		at := 1 + i
		tx.rows[n.Table.Name.String()] = tx.after[at] - tx.before[at] // what reaper deleted of it itself is part of it
	}
	for i, n := range opts.traversal.CountedUp {
		at := 1 + len(opts.traversal.Counted) + i
		tx.nullified[n.Table.Name.String()] = tx.after[at] - tx.before[at]
	}
	maps.DeleteFunc(tx.rows, func(_ string, n int64) bool { return n == 0 })
	maps.DeleteFunc(tx.nullified, func(_ string, n int64) bool { return n == 0 })
	if !opts.traversal.Full && (tx.total() > int64(b.plan.Policy.Limits.TotalRows) || b.bytes(tx) > b.plan.Policy.Limits.Bytes) &&
		tx.total() > 1 {
		return errOverflow
	}
	return nil
}

// commit writes the ledger's row and commits.
func (b *batcher) commit(ctx context.Context, tx *batchTx, t *plan.TenantCutoff) error {
	batch := &pgx.Batch{}
	if tx.total() > 0 {
		if err := b.run.ledger.RecordBatch(batch, b.run.id, b.plan.Policy.Name, b.seq, t.Key, tx.rows, tx.nullified); err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
	}
	batch.Queue("COMMIT")
	if err := pg.Send(ctx, tx.conn, batch); err != nil {
		return fmt.Errorf("committing batch: %w", err)
	}
	return nil
}

// bytes estimates what a batch deleted, by the mean row of each table.
func (b *batcher) bytes(tx *batchTx) int64 {
	var sum float64
	for _, n := range b.plan.Nodes {
		if rows := tx.rows[n.Table.Name.String()]; rows > 0 && n != b.plan.Root {
			sum += float64(rows) * preview.MeanBytes(n)
		}
	}
	return int64(sum)
}

// settled tells, after a connection was lost in COMMIT, whether the batch is
// in the ledger. The tenant's lock is waited for first: the lost transaction
// holds it until it has ended.
func (b *batcher) settled(ctx context.Context, t *plan.TenantCutoff) (bool, error) {
	tx, err := b.run.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return false, fmt.Errorf("resolving a lost commit: %w", err)
	}
	defer pg.Rollback(tx)
	if err := pg.ExecAll(ctx, tx, pg.Pin, pg.Timeouts(0, 10*time.Second)); err != nil {
		return false, fmt.Errorf("resolving a lost commit: %w", err)
	}
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, strconv.FormatInt(b.lockKey(t.Key), 10)); err != nil {
		return false, fmt.Errorf("waiting for a lost commit: %w", err)
	}
	done, err := b.run.ledger.BatchCommitted(ctx, tx, b.run.id, b.plan.Policy.Name, b.seq)
	if err != nil {
		return false, fmt.Errorf("resolving a lost commit: %w", err)
	}
	return done, nil
}

// account adds a committed batch to the report.
func (b *batcher) account(t *plan.TenantCutoff, tx *batchTx, o *outcome, took time.Duration) {
	for _, n := range tx.rows {
		o.rows += n
	}
	b.adapt(*o, took)
	wal := b.policy.state.addBatch(tx, *o, took)
	if b.run.guard != nil {
		b.run.guard.Wrote(wal)
	}
	if tx.total() > 0 {
		b.run.tell(func(w Observer) {
			w.Batch(BatchEvent{Policy: b.plan.Policy.Name, Tenant: t.Key, Roots: o.roots, Rows: o.rows, Duration: took, WALBytes: wal, Deleted: tx.rows})
		})
		b.run.log.Debug("batch", "policy", b.plan.Policy.Name, "roots", o.roots, "rows", o.rows, "duration", took.Round(time.Millisecond))
	}
}
