package purge

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// transaction is one batch: begin, with the tenants' locks, the settings and a check for a
// person's pause in one statement; delete; the ledger's row; commit. It waits for a server
// that went away. A connection that is lost while committing is looked up in the ledger.
// Tenants whose lock another worker has are left.
func (b *batcher) transaction(ctx context.Context, parts []*part, opts attemptOptions) (more bool, err error) {
	started := time.Now()
	b.seq = b.policy.state.nextBatch()
	var tx *batchTx
	committing := false
	tries := 0
	err = b.run.withServer(ctx, func() error {
		if committing {
			done, err := b.wasCommitted(ctx, tx.parts)
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
		tx, err = b.begin(ctx, parts, opts)
		if err != nil {
			return err
		}
		defer tx.close()
		if err = tx.delete(ctx); err == nil {
			err = tx.checkTotals()
		}
		if err != nil {
			return crowded(err, parts)
		}
		committing = true
		err = b.commit(ctx, tx)
		committing = err != nil && decideCommit(err) == resolveCommit // otherwise the server refused and nothing was committed
		return err
	})
	if err != nil {
		return false, err
	}
	took := time.Since(started)
	b.account(tx, parts, took)
	b.pause(ctx, tx.touched(), took)
	return tx.parts[0].now.more, nil
}

// crowded is what a batch of many tenants makes of a server whose lock table is full: a
// smaller one fits.
func crowded(err error, parts []*part) error {
	if len(parts) > 1 && pg.HasCode(err, "53200") {
		return fmt.Errorf("%w: %w", errCrowded, err)
	}
	return err
}

func (b *batcher) begin(ctx context.Context, parts []*part, opts attemptOptions) (*batchTx, error) {
	conn, err := b.run.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("beginning batch: %w", err)
	}
	tx := b.newTx(conn, opts)
	traversal := tx.deleter.traversal(b.plan)
	timeout := tx.deleter.statementTimeout(b.plan.Policy.Limits, opts.singleRoot)
	s := b.plan.BeginSQL(b.lockKeys(parts), timeout, b.run.ledger.PausedSQL, traversal)
	var locked []int64
	var paused bool
	var set, write int
	tx.before = make([]int64, traversal.Counters())
	batch := &pgx.Batch{}
	batch.Queue(pg.BeginWrite)
	batch.Queue(s.String(), s.Args...).Query(pg.ScanOne(append([]any{&locked, &set, &write, &paused}, pg.Pointers(tx.before)...)...))
	batch.Queue(b.plan.LockTables())
	facts := b.plan.CatalogPrintSQL()
	var role, found string
	batch.Queue(facts.String(), facts.Args...).Query(pg.ScanOne(&role, &found))
	err = pg.Send(ctx, conn, batch)
	switch {
	case err != nil:
		err = fmt.Errorf("beginning batch: %w", crowded(err, parts))
	case len(locked) == 0:
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
	tx.wal[0] = tx.before[0]
	tx.take(parts, b.lockKeys(parts), locked)
	return tx, nil
}

func (b *batcher) newTx(conn *pgxpool.Conn, opts attemptOptions) *batchTx {
	limit := b.plan.Policy.Limits.TotalRows
	if opts.method == drain && b.drainSize > 0 {
		limit = b.drainSize
	}
	opts.lockDependents = opts.lockDependents || opts.method == proven
	return &batchTx{
		conn: conn, began: time.Now(), plan: b.plan, scope: b.policy.scope(),
		opts: opts, deleter: deleters[opts.method], limit: limit, stepwise: b.policy.state.deletesStepwise(),
	}
}

// take takes the parts whose tenant's lock it has.
func (tx *batchTx) take(parts []*part, keys, locked []int64) {
	for i, p := range parts {
		if slices.Contains(locked, keys[i]) {
			tx.parts = append(tx.parts, &partTx{part: p, keys: keysOf(p.cands, len(tx.plan.Key)), rows: map[string]int64{}, nullified: map[string]int64{}})
		}
	}
	tx.partTx = tx.parts[0]
}

// commit writes the ledger's row and commits.
func (b *batcher) commit(ctx context.Context, tx *batchTx) error {
	batch := &pgx.Batch{}
	if tx.touched() > 0 {
		tenants, deleted, nullified := tx.recorded()
		if err := b.run.ledger.RecordBatch(batch, b.run.id, b.plan.Policy.Name, b.seq, tenants, deleted, nullified); err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
	}
	batch.Queue("COMMIT")
	if err := pg.Send(ctx, tx.conn, batch); err != nil {
		return fmt.Errorf("committing batch: %w", err)
	}
	return nil
}

// recorded is what the ledger is told of each tenant: its key, and rows by table.
func (tx *batchTx) recorded() (tenants []*string, deleted, nullified []map[string]int64) {
	for _, p := range tx.parts {
		if p.total() > 0 {
			tenants, deleted, nullified = append(tenants, p.tenant.Key), append(deleted, p.rows), append(nullified, p.nullified)
		}
	}
	return tenants, deleted, nullified
}

// wasCommitted reports, after a connection was lost in COMMIT, whether the batch is in the
// ledger. The tenants' locks are waited for first: the lost transaction holds them until it
// has ended.
func (b *batcher) wasCommitted(ctx context.Context, parts []*partTx) (bool, error) {
	tx, err := b.run.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return false, fmt.Errorf("resolving a lost commit: %w", err)
	}
	defer pg.Rollback(tx)
	if err := pg.ExecAll(ctx, tx, pg.Pin, pg.Timeouts(0, 10*time.Second)); err != nil {
		return false, fmt.Errorf("resolving a lost commit: %w", err)
	}
	// One lock is enough: a transaction gives all of its locks back at once.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, strconv.FormatInt(b.lockKey(parts[0].tenant.Key), 10)); err != nil {
		return false, fmt.Errorf("waiting for a lost commit: %w", err)
	}
	done, err := b.run.ledger.BatchCommitted(ctx, tx, b.run.id, b.plan.Policy.Name, b.seq)
	if err != nil {
		return false, fmt.Errorf("resolving a lost commit: %w", err)
	}
	return done, nil
}

// account adds a committed batch to the report, and to what became of its parts. Those
// whose lock another worker has are left.
func (b *batcher) account(tx *batchTx, parts []*part, took time.Duration) {
	var sum outcome
	taken := map[*part]bool{}
	for _, p := range tx.parts {
		for _, n := range p.rows {
			p.now.rows += n
		}
		p.outcome.add(p.now)
		sum.add(p.now)
		taken[p.part] = true
	}
	for _, p := range parts {
		if !taken[p] {
			leave([]*part{p}, true)
		}
	}
	if b.adapt(sum, took); tx.opts.method == drain {
		b.adaptDrain(tx.limit, took)
	}
	rows, nullified := tx.totals()
	wal := b.policy.state.addBatch(committed{rows: rows, nullified: nullified, wal: tx.wal, outcome: sum, took: took})
	if b.run.guard != nil {
		b.run.guard.Wrote(wal)
	}
	if tx.touched() == 0 {
		return
	}
	e := BatchEvent{Policy: b.plan.Policy.Name, Roots: sum.roots, Rows: sum.rows, Tenants: len(tx.parts), Duration: took, WALBytes: wal, Deleted: rows}
	if len(tx.parts) == 1 {
		e.Tenant = tx.tenant.Key
	}
	b.run.notify(func(w Observer) { w.Batch(e) })
	b.run.log.Debug("batch", "policy", b.plan.Policy.Name, "tenants", len(tx.parts), "roots", sum.roots, "rows", sum.rows, "duration_seconds", took.Seconds())
}
