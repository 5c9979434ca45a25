package purge

import (
	"context"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// batchTx is the transaction of one batch, and what it has counted.
type batchTx struct {
	pgx.Tx
	rows, nullified map[string]int64
	before          []int64 // counters at the start
	wal             int64   // bytes written since
}

func (tx *batchTx) count(n *Node, rows int64) {
	if rows > 0 {
		tx.rows[n.Table.Name.String()] += rows
	}
}

func (tx *batchTx) countNullified(n *Node, rows int64) {
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

func (tx *batchTx) query(ctx context.Context, s *statement) (pgx.Rows, error) {
	return tx.Query(ctx, s.String(), s.args...)
}

func (tx *batchTx) exec(ctx context.Context, s *statement) (int64, error) {
	tag, err := tx.Exec(ctx, s.String(), s.args...)
	return tag.RowsAffected(), err
}

// inTransaction is the frame of every batch: begin, advisory lock and settings
// in one statement, the body, the ledger's row, commit.
func (b *batcher) inTransaction(ctx context.Context, t *who, w way, body func(*batchTx) (outcome, error)) (outcome, error) {
	started := time.Now()
	b.seq++
	var o outcome
	var tx *batchTx
	committing := false
	err := b.run.withServer(ctx, func() error {
		if committing {
			done, err := b.settled(ctx, t)
			if err != nil || done {
				return err
			}
			committing = false
		}
		var err error
		tx, err = b.begin(ctx, t, w)
		if err != nil {
			return err
		}
		defer rollback(tx)
		if o, err = body(tx); err != nil {
			return err
		}
		if err := b.finish(ctx, tx, t, w); err != nil {
			return err
		}
		committing = true
		if err := tx.Commit(ctx); err != nil {
			if classify(err) != faultDatabase {
				committing = false // the server refused: nothing happened
			}
			return fmt.Errorf("committing batch: %w", err)
		}
		committing = false
		return nil
	})
	if err != nil {
		return outcome{}, err
	}
	b.account(t, tx, &o, time.Since(started))
	return o, nil
}

func (b *batcher) begin(ctx context.Context, t *who, w way) (*batchTx, error) {
	raw, err := b.run.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return nil, fmt.Errorf("beginning batch: %w", err)
	}
	tx := &batchTx{Tx: raw, rows: map[string]int64{}, nullified: map[string]int64{}}
	s := &statement{}
	s.add("SELECT pg_try_advisory_xact_lock(", s.cast(strconv.FormatInt(b.lockKey(t.Key), 10), "bigint"), "), ",
		settings(s, b.statementTimeout(w), b.lockTimeout()), ", ", strings.Join(counters(s, b.plan.leaves, w.mode), ", "))
	var got bool
	var set int
	tx.before = make([]int64, w.mode.counters())
	if err := tx.QueryRow(ctx, s.String(), s.args...).Scan(append([]any{&got, &set}, pointers(tx.before)...)...); err != nil {
		rollback(tx)
		return nil, fmt.Errorf("locking tenant: %w", err)
	}
	if !got {
		rollback(tx)
		return nil, errBusy
	}
	return tx, nil
}

func pointers(numbers []int64) []any {
	into := make([]any, len(numbers))
	for i := range numbers {
		into[i] = &numbers[i]
	}
	return into
}

// counters is how many numbers the counters of this mode are: the WAL position
// first.
func (m *mode) counters() int { return 1 + len(m.counted) + len(m.countedUp) }

// finish adds what ON DELETE did, refuses a batch over its limits, and writes
// the ledger's row.
func (b *batcher) finish(ctx context.Context, tx *batchTx, t *who, w way) error {
	s := &statement{}
	s.add("SELECT ", strings.Join(counters(s, b.plan.leaves, w.mode), ", "))
	after := make([]int64, w.mode.counters())
	if err := tx.QueryRow(ctx, s.String(), s.args...).Scan(pointers(after)...); err != nil {
		return fmt.Errorf("reading counters: %w", err)
	}
	// The counters also hold what an earlier transaction of the session did:
	// only differences count.
	for i := range after {
		after[i] -= tx.before[i]
	}
	tx.wal = after[0]
	for i, n := range w.mode.counted {
		tx.rows[n.Table.Name.String()] = after[1+i] // what reaper deleted of it itself is part of it
	}
	for i, n := range w.mode.countedUp {
		tx.nullified[n.Table.Name.String()] = after[1+len(w.mode.counted)+i]
	}
	maps.DeleteFunc(tx.rows, func(_ string, n int64) bool { return n == 0 })
	maps.DeleteFunc(tx.nullified, func(_ string, n int64) bool { return n == 0 })
	if !w.mode.full && (tx.total() > int64(b.plan.Policy.Limits.TotalRows) || b.bytes(tx) > b.plan.Policy.Limits.Bytes) &&
		tx.total() > 1 {
		return errOverflow
	}
	if tx.total() == 0 {
		return nil
	}
	if err := b.run.ledger.RecordBatch(ctx, tx.Tx, b.run.id, b.plan.Policy.Name, b.seq, t.Key, tx.rows, tx.nullified); err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	return nil
}

// bytes estimates what a batch deleted, by the mean row of each table.
func (b *batcher) bytes(tx *batchTx) int64 {
	var sum float64
	for _, n := range b.plan.Nodes {
		if rows := tx.rows[n.Table.Name.String()]; rows > 0 && n != b.plan.Root {
			sum += float64(rows) * n.meanBytes()
		}
	}
	return int64(sum)
}

// meanBytes is the mean size of a stored row, TOAST included; 0 when unknown.
func (n *Node) meanBytes() float64 {
	if n.Table.EstimatedRows < 1 {
		return 0
	}
	return float64(n.Table.Bytes) / n.Table.EstimatedRows
}

// settled tells, after a connection was lost in COMMIT, whether the batch is
// in the ledger. The tenant's lock is waited for first: the lost transaction
// holds it until it has ended.
func (b *batcher) settled(ctx context.Context, t *who) (bool, error) {
	tx, err := b.run.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return false, fmt.Errorf("resolving a lost commit: %w", err)
	}
	defer rollback(tx)
	if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', '10s', true)`); err != nil {
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
func (b *batcher) account(t *who, tx *batchTx, o *outcome, took time.Duration) {
	var wal int64
	if tx.total() > 0 {
		b.report.Batches++
		b.times.add(took)
		wal = tx.wal
	}
	for table, n := range tx.rows {
		b.report.Rows[table] += n
		b.report.RowsTotal += n
		o.rows += n
	}
	for _, n := range tx.nullified {
		b.report.RowsNullified += n
	}
	b.report.Roots += o.roots
	b.report.WALBytes += wal
	b.run.deleted += o.rows + int64(len(tx.nullified))
	b.adapt(o.roots, took)
	if tx.total() > 0 {
		b.run.observer.Batch(BatchEvent{Policy: b.plan.Policy.Name, Tenant: t.Key, Roots: o.roots, Rows: o.rows, Duration: took, WALBytes: wal})
		b.run.log.Debug("batch", "policy", b.plan.Policy.Name, "roots", o.roots, "rows", o.rows, "duration", took.Round(time.Millisecond))
	}
}
