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
	opts     attemptOptions
	deleter  deleter
	limit    int  // rows it may delete, over all tables
	stepwise bool // delete table by table

	*partTx                // the one that is being deleted
	parts   []*partTx      // those whose tenant's lock it has
	before  []int64        // counters before the part
	after   []int64        // the same behind it; nil: not read yet
	due     []plan.DueRows // rows whose age emptying could renew
	wal     [2]int64       // positions in the WAL, in bytes: where it began, where it ended
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

// delete deletes the candidates of one part after the other, each with its own counts. An
// error names the tenant where there are others.
func (tx *batchTx) delete(ctx context.Context) error {
	if len(tx.parts) > 1 && tx.opts.method == cascade && !tx.opts.lockRoots {
		return tx.deletePipelined(ctx)
	}
	for _, p := range tx.parts {
		tx.partTx = p
		if err := tx.deletePart(ctx); err != nil {
			return tx.named(err)
		}
	}
	return nil
}

// named is an error of the current part.
func (tx *batchTx) named(err error) error {
	if len(tx.parts) == 1 {
		return err
	}
	return &tenantError{tx.tenant, err}
}

// deletePart deletes the candidates of a part, and counts those that are still expired.
func (tx *batchTx) deletePart(ctx context.Context) (err error) {
	if tx.now, err = tx.deleter.delete(ctx, tx); err != nil {
		return err
	}
	if !tx.now.more {
		if tx.now, err = tx.stillDue(ctx, tx.now); err != nil {
			return err
		}
	}
	return tx.settleCounts(ctx)
}

// totals are the rows that all parts have deleted and emptied, by table.
func (tx *batchTx) totals() (rows, nullified map[string]int64) {
	rows, nullified = map[string]int64{}, map[string]int64{}
	for _, p := range tx.parts {
		for table, n := range p.rows {
			rows[table] += n
		}
		for table, n := range p.nullified {
			nullified[table] += n
		}
	}
	return rows, nullified
}

// touched is how many rows all parts have deleted or emptied.
func (tx *batchTx) touched() (rows int64) {
	for _, p := range tx.parts {
		rows += p.total()
	}
	return rows
}

// bytes estimates the size of the deleted rows from the mean row size of each table.
func (tx *batchTx) bytes() int64 {
	rows, _ := tx.totals()
	var sum float64
	for _, n := range tx.plan.Nodes {
		if n != tx.plan.Root {
			sum += float64(rows[n.Table.Name.String()]) * preview.MeanBytes(n)
		}
	}
	return int64(sum)
}

// settleCounts adds to the current part what ON DELETE did. The counters also hold what
// came before in the session: only differences count.
func (tx *batchTx) settleCounts(ctx context.Context) error {
	traversal := tx.deleter.traversal(tx.plan)
	if tx.after == nil {
		batch := &pgx.Batch{}
		tx.queueCounters(batch)
		if err := pg.Send(ctx, tx.conn, batch); err != nil {
			return fmt.Errorf("reading counters: %w", err)
		}
	}
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
	tx.wal[1] = tx.after[0]
	tx.before, tx.after = tx.after, nil
	return nil
}

// checkTotals refuses a batch over its limits, where the deleter has not held them.
func (tx *batchTx) checkTotals() error {
	if tx.deleter.checksLimits() && len(tx.parts) == 1 || tx.touched() <= 1 {
		return nil
	}
	if limits := tx.plan.Policy.Limits; tx.touched() > int64(limits.TotalRows) || tx.bytes() > limits.Bytes {
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
