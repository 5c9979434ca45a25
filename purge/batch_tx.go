package purge

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// batchTx is the transaction of one batch and its counts.
type batchTx struct {
	conn     *pgxpool.Conn
	began    time.Time
	plan     *plan.Plan
	scope    expiry.Scope
	tenant   *plan.TenantCutoff
	keys     pg.Values // of the candidates
	opts     attemptOptions
	deleter  deleter
	limit    int  // rows it may delete, over all tables
	stepwise bool // delete table by table

	rows, nullified map[string]int64
	before          []int64        // counters at the start
	after           []int64        // the same at the end; nil: not read yet
	due             []plan.DueRows // due rows whose age could change when their reference is cleared
	wal             [2]int64       // WAL positions in bytes, start and end
}

// close rolls back what was not committed and releases the connection.
func (tx *batchTx) close() {
	pg.EndTx(tx.conn)
	tx.conn.Release()
}

func (tx *batchTx) query(ctx context.Context, s *pg.Statement) (pgx.Rows, error) {
	return tx.conn.Query(ctx, s.String(), s.Args...)
}

// read runs one statement and scans its result.
func (tx *batchTx) read(ctx context.Context, s *pg.Statement, scan func(pgx.Rows) error) error {
	rows, err := tx.query(ctx, s)
	if err != nil {
		return err
	}
	return scan(rows)
}

func (tx *batchTx) exec(ctx context.Context, s *pg.Statement) (int64, error) {
	tag, err := tx.conn.Exec(ctx, s.String(), s.Args...)
	return tag.RowsAffected(), err
}

func (tx *batchTx) row(ctx context.Context, s *pg.Statement) pgx.Row {
	return tx.conn.QueryRow(ctx, s.String(), s.Args...)
}

// delete deletes the candidates and counts those still expired.
func (tx *batchTx) delete(ctx context.Context) (outcome, error) {
	o, err := tx.deleter.delete(ctx, tx)
	if err != nil || o.more {
		return o, err
	}
	return tx.stillDue(ctx, o)
}

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

// bytes estimates the size of the deleted rows from the mean row size of each table.
func (tx *batchTx) bytes() int64 {
	var sum float64
	for _, n := range tx.plan.Nodes {
		if rows := tx.rows[n.Table.Name.String()]; rows > 0 && n != tx.plan.Root {
			sum += float64(rows) * preview.MeanBytes(n)
		}
	}
	return int64(sum)
}

// settleCounts adds what ON DELETE did and refuses a batch over its limits.
func (tx *batchTx) settleCounts(ctx context.Context) error {
	traversal := tx.deleter.traversal(tx.plan)
	if tx.after == nil {
		batch := &pgx.Batch{}
		tx.queueCounters(batch)
		if err := pg.Send(ctx, tx.conn, batch); err != nil {
			return fmt.Errorf("reading counters: %w", err)
		}
	}
	tx.wal = [2]int64{tx.before[0], tx.after[0]}
	// The counters include earlier transactions of the session; only differences count.
	for i, n := range traversal.Counted {
		at := 1 + i
		tx.rows[n.Table.Name.String()] = tx.after[at] - tx.before[at] // includes the rows reaper deleted itself
	}
	for i, n := range traversal.CountedUp {
		at := 1 + len(traversal.Counted) + i
		tx.nullified[n.Table.Name.String()] = tx.after[at] - tx.before[at]
	}
	maps.DeleteFunc(tx.rows, func(_ string, n int64) bool { return n == 0 })
	maps.DeleteFunc(tx.nullified, func(_ string, n int64) bool { return n == 0 })
	if !tx.deleter.checksLimits() && (tx.total() > int64(tx.plan.Policy.Limits.TotalRows) || tx.bytes() > tx.plan.Policy.Limits.Bytes) &&
		tx.total() > 1 {
		return errOverflow
	}
	return nil
}

// queueCounters queues a read of the counters behind other statements.
func (tx *batchTx) queueCounters(batch *pgx.Batch) {
	traversal := tx.deleter.traversal(tx.plan)
	s := tx.plan.CountersSQL(traversal)
	tx.after = make([]int64, traversal.Counters())
	batch.Queue(s.String(), s.Args...).Query(pg.ScanOne(pg.Pointers(tx.after)...))
}
