package purge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// transaction is one batch: begin, with the tenants' locks, the settings and a check for a
// person's pause in one statement; delete; the ledger's row; commit. It waits for a server
// that went away. A connection that is lost while committing is looked up in the ledger.
// Tenants whose lock another worker has are left.
func (b *batcher) transaction(ctx context.Context, parts []*deletion.Part, opts deletion.Options) (more bool, err error) {
	started := time.Now()
	b.seq = b.policy.state.nextBatch()
	var tx *deletion.Tx
	committing := false
	tries := 0
	err = b.run.withServer(ctx, func() error {
		if committing {
			done, err := b.wasCommitted(ctx, tx.Parts)
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
		if tx, err = b.begin(ctx, parts, opts); errors.Is(err, errMoved) {
			err = b.policy.passAgain(ctx)
		}
		if err != nil {
			return err
		}
		defer tx.Close()
		if err = tx.Delete(ctx); err == nil {
			err = tx.CheckTotals()
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
	b.pause(ctx, tx.Touched(), took)
	return tx.Parts[0].Now.More, nil
}

// crowded is what a batch of many tenants makes of a server whose lock table is full: a
// smaller one fits.
func crowded(err error, parts []*deletion.Part) error {
	if len(parts) > 1 && pg.HasCode(err, "53200") {
		return fmt.Errorf("%w: %w", errCrowded, err)
	}
	return err
}

func (b *batcher) begin(ctx context.Context, parts []*deletion.Part, opts deletion.Options) (*deletion.Tx, error) {
	conn, err := b.run.pool.Acquire(ctx)
	if err != nil {
		return nil, fmt.Errorf("beginning batch: %w", err)
	}
	tx := b.newTx(conn, opts)
	traversal := tx.Traversal()
	timeout := tx.StatementTimeout()
	keys := b.lockKeys(parts)
	s := b.plan.BeginSQL(keys, timeout, b.stopsSQL, traversal)
	var locked []int64
	var paused, moved bool
	var set, write int
	tx.Before = make([]int64, traversal.Counters())
	batch := &pgx.Batch{}
	batch.Queue(pg.BeginWrite)
	batch.Queue(s.String(), s.Args...).Query(pg.ScanOne(append([]any{&locked, &set, &write, &paused, &moved}, pg.Pointers(tx.Before)...)...))
	batch.Queue(b.plan.LockTables())
	facts := b.plan.CatalogPrintSQL()
	var role, found string
	batch.Queue(facts.String(), facts.Args...).Query(pg.ScanOne(&role, &found))
	err = pg.Send(ctx, conn, batch)
	switch {
	case err != nil:
		err = fmt.Errorf("beginning batch: %w", crowded(err, parts))
	case moved:
		err = errMoved
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
		tx.Close()
		return nil, err
	}
	tx.WAL[0] = tx.Before[0]
	if tx.Take(parts, keys, locked); tx.Copied != nil && len(tx.Parts) < len(parts) {
		leaveUnlocked(parts, tx.Parts)
		tx.Close()
		return nil, errGuarded // the others are copied again
	}
	return tx, nil
}

// stopsSQL are the conditions under which a batch does not begin: its policy is paused by hand; the
// server was promoted or restored.
func (b *batcher) stopsSQL(policy string) string {
	moved := "false"
	if b.policy.passage != nil {
		moved = b.run.ledger.MovedSQL()
	}
	return b.run.ledger.PausedSQL(policy) + ", " + moved
}

func (b *batcher) newTx(conn *pgxpool.Conn, opts deletion.Options) *deletion.Tx {
	limit := b.plan.Policy.Limits.TotalRows
	if opts.Method == deletion.Drain && b.drainSize > 0 {
		limit = b.drainSize
	}
	tx := deletion.New(conn, b.plan, b.policy.scope(), opts, limit, b.policy.state.deletesStepwise())
	if b.copied != nil {
		tx.Copied = b.copied.Copy
	}
	return tx
}

// commit writes the ledger's row and commits.
func (b *batcher) commit(ctx context.Context, tx *deletion.Tx) error {
	batch := &pgx.Batch{}
	if tx.Touched() > 0 {
		tenants, deleted, nullified := recorded(tx)
		if err := b.run.ledger.RecordBatch(batch, b.run.id, b.plan.Policy.Name, b.seq, tenants, deleted, nullified); err != nil {
			return fmt.Errorf("writing the ledger: %w", err)
		}
		if err := b.queueSegment(batch, tx); err != nil {
			return err
		}
	}
	batch.Queue("COMMIT")
	if err := pg.Send(ctx, tx.Conn, batch); err != nil {
		return fmt.Errorf("committing batch: %w", err)
	}
	return nil
}

// recorded is what the ledger is told of each tenant: its key, and rows by table.
func recorded(tx *deletion.Tx) (tenants []*string, deleted, nullified []map[string]int64) {
	for _, p := range tx.Parts {
		if p.Total() > 0 {
			tenants, deleted, nullified = append(tenants, p.Tenant.Key), append(deleted, p.Rows), append(nullified, p.Nullified)
		}
	}
	return tenants, deleted, nullified
}

// wasCommitted reports, after a connection was lost in COMMIT, whether the batch is in the
// ledger. The tenants' locks are waited for first: the lost transaction holds them until it
// has ended.
func (b *batcher) wasCommitted(ctx context.Context, parts []*deletion.Share) (bool, error) {
	tx, err := b.run.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return false, fmt.Errorf("resolving a lost commit: %w", err)
	}
	defer pg.Rollback(tx)
	if err := pg.ExecAll(ctx, tx, pg.Pin, pg.Timeouts(0, 10*time.Second)); err != nil {
		return false, fmt.Errorf("resolving a lost commit: %w", err)
	}
	// One lock is enough: a transaction gives all of its locks back at once.
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, strconv.FormatInt(b.lockKey(parts[0].Tenant.Key), 10)); err != nil {
		return false, fmt.Errorf("waiting for a lost commit: %w", err)
	}
	done, err := b.run.ledger.BatchCommitted(ctx, tx, b.run.id, b.plan.Policy.Name, b.seq)
	if err != nil {
		return false, fmt.Errorf("resolving a lost commit: %w", err)
	}
	return done, nil
}

// leaveUnlocked leaves those parts whose tenant's lock another worker has.
func leaveUnlocked(parts []*deletion.Part, locked []*deletion.Share) {
	taken := map[*deletion.Part]bool{}
	for _, p := range locked {
		taken[p.Part] = true
	}
	deletion.LeaveElsewhere(slices.DeleteFunc(slices.Clone(parts), func(p *deletion.Part) bool { return taken[p] }))
}

// account adds a committed batch to the report, and to what became of its parts. Those
// whose lock another worker has are left.
func (b *batcher) account(tx *deletion.Tx, parts []*deletion.Part, took time.Duration) {
	var sum deletion.Outcome
	for _, p := range tx.Parts {
		for _, n := range p.Rows {
			p.Now.Rows += n
		}
		p.Outcome.Add(p.Now)
		sum.Add(p.Now)
	}
	leaveUnlocked(parts, tx.Parts)
	if b.adapt(sum, took); tx.Opts.Method == deletion.Drain {
		b.adaptDrain(tx.Limit, took)
	}
	if tx.Opts.Piecewise && b.drainSize > 0 { // segments were too large
		b.drainSize = min(b.drainSize+b.drainSize/4, b.plan.Policy.Limits.TotalRows)
	}
	rows, nullified := tx.Totals()
	wal := b.policy.state.addBatch(committed{rows: rows, nullified: nullified, wal: tx.WAL, outcome: sum, took: took})
	if b.run.guard != nil {
		b.run.guard.Wrote(wal)
	}
	if tx.Touched() == 0 {
		return
	}
	e := BatchEvent{Policy: b.plan.Policy.Name, Roots: sum.Roots, Rows: sum.Rows, Tenants: len(tx.Parts), Duration: took, WALBytes: wal, Deleted: rows}
	if len(tx.Parts) == 1 {
		e.Tenant = tx.Tenant.Key
	}
	b.run.notify(func(w Observer) { w.Batch(e) })
	b.run.log.Debug("batch", "policy", b.plan.Policy.Name, "tenants", len(tx.Parts), "roots", sum.Roots, "rows", sum.Rows, "duration_seconds", took.Seconds())
}
