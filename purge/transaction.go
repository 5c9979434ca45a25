package purge

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// transaction runs one batch: begin (tenant lock, settings and the check for a manual pause in
// one statement), delete, ledger row, COMMIT. It waits for an unavailable server. If the
// connection is lost during COMMIT, the ledger tells whether the batch was committed.
func (b *batcher) transaction(ctx context.Context, t *plan.TenantCutoff, cands []candidate, opts attemptOptions) (outcome, error) {
	started := time.Now()
	b.seq = b.policy.state.nextBatch()
	var o outcome
	var tx *batchTx
	committing := false
	tries := 0
	err := b.run.withServer(ctx, func() error {
		if committing {
			done, err := b.wasCommitted(ctx, t)
			if err != nil || done {
				return err
			}
			committing = false
		}
		// The server was unavailable: ask the guards again.
		if tries++; tries > 1 && b.run.guardsForbid(b.plan.Policy.Name) {
			return errGuarded
		}
		var err error
		tx, err = b.begin(ctx, t, cands, opts)
		if err != nil {
			return err
		}
		defer tx.close()
		if o, err = tx.delete(ctx); err != nil {
			return err
		}
		if err := tx.settleCounts(ctx); err != nil {
			return err
		}
		committing = true
		err = b.commit(ctx, tx)
		committing = err != nil && decideCommit(err) == resolveCommit // otherwise the server refused and nothing was committed
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	took := time.Since(started)
	b.account(tx, &o, took)
	b.pause(ctx, tx.total(), took)
	return o, nil
}

func (b *batcher) begin(ctx context.Context, t *plan.TenantCutoff, cands []candidate, opts attemptOptions) (*batchTx, error) {
	conn, err := b.run.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("beginning batch: %w", err)
	}
	tx := b.newTx(conn, t, cands, opts)
	traversal := tx.deleter.traversal(b.plan)
	timeout := tx.deleter.statementTimeout(b.plan.Policy.Limits, opts.singleRoot)
	s := b.plan.BeginSQL(b.lockKey(t.Key), timeout, b.run.ledger.PausedSQL, traversal)
	var got, paused bool
	var set, write int
	tx.before = make([]int64, traversal.Counters())
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
		err = errPausedByHand
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

func (b *batcher) newTx(conn *pgxpool.Conn, t *plan.TenantCutoff, cands []candidate, opts attemptOptions) *batchTx {
	limit := b.plan.Policy.Limits.TotalRows
	if opts.method == drain && b.drainSize > 0 {
		limit = b.drainSize
	}
	opts.lockDependents = opts.lockDependents || opts.method == proven
	return &batchTx{
		conn: conn, began: time.Now(), plan: b.plan, scope: b.policy.scope(), tenant: t, keys: keysOf(cands, len(b.plan.Key)),
		opts: opts, deleter: deleters[opts.method], limit: limit, stepwise: b.policy.state.deletesStepwise(),
		rows: map[string]int64{}, nullified: map[string]int64{},
	}
}

// commit writes the ledger's row and commits.
func (b *batcher) commit(ctx context.Context, tx *batchTx) error {
	batch := &pgx.Batch{}
	if tx.total() > 0 {
		if err := b.run.ledger.RecordBatch(batch, b.run.id, b.plan.Policy.Name, b.seq, tx.tenant.Key, tx.rows, tx.nullified); err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
	}
	batch.Queue("COMMIT")
	if err := pg.Send(ctx, tx.conn, batch); err != nil {
		return fmt.Errorf("committing batch: %w", err)
	}
	return nil
}

// wasCommitted reports, after a connection was lost during COMMIT, whether the batch is in the
// ledger. It first waits for the tenant's lock, which the lost transaction holds until it ends.
func (b *batcher) wasCommitted(ctx context.Context, t *plan.TenantCutoff) (bool, error) {
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
func (b *batcher) account(tx *batchTx, o *outcome, took time.Duration) {
	for _, n := range tx.rows {
		o.rows += n
	}
	if b.adapt(*o, took); tx.opts.method == drain {
		b.adaptDrain(tx.limit, took)
	}
	wal := b.policy.state.addBatch(tx, *o, took)
	if b.run.guard != nil {
		b.run.guard.Wrote(wal)
	}
	if tx.total() > 0 {
		b.run.notify(func(w Observer) {
			w.Batch(BatchEvent{Policy: b.plan.Policy.Name, Tenant: tx.tenant.Key, Roots: o.roots, Rows: o.rows, Duration: took, WALBytes: wal, Deleted: tx.rows})
		})
		b.run.log.Debug("batch", "policy", b.plan.Policy.Name, "roots", o.roots, "rows", o.rows, "duration", took.Round(time.Millisecond))
	}
}
