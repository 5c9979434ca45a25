package deletion

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// Tx is the transaction of one batch and its counts.
type Tx struct {
	Conn     *pgxpool.Conn
	began    time.Time
	plan     *plan.Plan
	scope    expiry.Scope
	Opts     Options
	deleter  deleter
	Limit    int  // rows it may delete, over all tables
	stepwise bool // delete table by table
	snapshot bool // it reads a snapshot, and locks nothing
	// Copied is what was copied, if the policy has an archive. Its snapshot has ended.
	Copied    *Copy
	deletedAt time.Time // when Copied was compared, by the database's clock

	*Share                     // the one that is being deleted
	Parts  []*Share            // those whose tenant's lock it has
	Before []int64             // counters before the part
	after  []int64             // the same behind it; nil: not read yet
	due    []collected.DueRows // rows whose age emptying could renew
	WAL    [2]int64            // positions in the WAL, in bytes: where it began, where it ended
}

// New is the transaction of a batch on a connection, before it has begun. limit is how
// many rows a drain may delete.
func New(conn *pgxpool.Conn, p *plan.Plan, scope expiry.Scope, opts Options, limit int, stepwise bool) *Tx {
	opts.LockDependents = opts.LockDependents || opts.Method == Proven
	return &Tx{Conn: conn, began: time.Now(), plan: p, scope: scope, Opts: opts, deleter: deleters[opts.Method], Limit: limit, stepwise: stepwise}
}

// Take takes the parts whose tenant's lock it has.
func (tx *Tx) Take(parts []*Part, keys, locked []int64) {
	for i, p := range parts {
		if slices.Contains(locked, keys[i]) {
			tx.Parts = append(tx.Parts, &Share{Part: p, keys: keysOf(p.Candidates, len(tx.plan.Key)), Rows: map[string]int64{}, Nullified: map[string]int64{}})
		}
	}
	tx.Share = tx.Parts[0]
}

// Traversal is which edges the batch walks itself.
func (tx *Tx) Traversal() *plan.Traversal {
	if tx.Opts.Together && tx.Opts.LockRoots {
		return tx.plan.Full // what ON DELETE does cannot be counted for each tenant
	}
	return tx.deleter.traversal(tx.plan)
}

// StatementTimeout bounds each statement of the batch.
func (tx *Tx) StatementTimeout() time.Duration {
	return tx.deleter.statementTimeout(tx.plan.Policy.Limits, tx.Opts.SingleRoot)
}

// Close rolls back what was not committed and releases the connection.
func (tx *Tx) Close() {
	pg.EndTx(tx.Conn)
	tx.Conn.Release()
}

func (tx *Tx) query(ctx context.Context, s *pg.Statement) (pgx.Rows, error) {
	return tx.Conn.Query(ctx, s.String(), s.Args...)
}

// read runs one statement and scans its result.
func (tx *Tx) read(ctx context.Context, s *pg.Statement, scan func(pgx.Rows) error) error {
	rows, err := tx.query(ctx, s)
	if err != nil {
		return err
	}
	return scan(rows)
}

func (tx *Tx) exec(ctx context.Context, s *pg.Statement) (int64, error) {
	tag, err := tx.Conn.Exec(ctx, s.String(), s.Args...)
	return tag.RowsAffected(), err
}

func (tx *Tx) row(ctx context.Context, s *pg.Statement) pgx.Row {
	return tx.Conn.QueryRow(ctx, s.String(), s.Args...)
}

// Delete deletes the candidates of one part after the other, each with its own counts. An
// error names the tenant where there are others.
func (tx *Tx) Delete(ctx context.Context) error {
	if archived := tx.Opts.Method == Archived; archived != (tx.plan.Whole != nil) || archived != (tx.Copied != nil) {
		return errUncopied
	}
	if tx.Opts.Method == Archived {
		return tx.deleteArchived(ctx)
	}
	if tx.Opts.Together && tx.Opts.LockRoots {
		return tx.deleteTogether(ctx)
	}
	if tx.Opts.Together && len(tx.Parts) > 1 {
		return tx.deleteInLoop(ctx)
	}
	for _, p := range tx.Parts {
		tx.Share = p
		if err := tx.deletePart(ctx); err != nil {
			return tx.named(err)
		}
	}
	return nil
}

// named is an error of the current part.
func (tx *Tx) named(err error) error {
	if len(tx.Parts) == 1 {
		return err
	}
	return &TenantError{Tenant: tx.Tenant, Err: err}
}

// deletePart deletes the candidates of a part, and counts those that are still expired.
func (tx *Tx) deletePart(ctx context.Context) (err error) {
	if tx.Now, err = tx.deleter.delete(ctx, tx); err != nil {
		return err
	}
	if !tx.Now.More {
		if tx.Now, err = tx.stillDue(ctx, tx.Now); err != nil {
			return err
		}
	}
	return tx.settleCounts(ctx)
}

// Totals are the rows that all parts have deleted and emptied, by table.
func (tx *Tx) Totals() (rows, nullified map[string]int64) {
	rows, nullified = map[string]int64{}, map[string]int64{}
	for _, p := range tx.Parts {
		for table, n := range p.Rows {
			rows[table] += n
		}
		for table, n := range p.Nullified {
			nullified[table] += n
		}
	}
	return rows, nullified
}

// Touched is how many rows all parts have deleted or emptied.
func (tx *Tx) Touched() (rows int64) {
	for _, p := range tx.Parts {
		rows += p.Total()
	}
	return rows
}

// bytes estimates the size of the deleted dependents.
func (tx *Tx) bytes() int64 {
	rows, _ := tx.Totals()
	return dependentBytes(tx.plan, func(n *plan.Node) int64 { return rows[n.Table.Name.String()] })
}

// dependentBytes estimates the size of rows behind the roots from the mean row size of each table.
func dependentBytes(p *plan.Plan, rows func(*plan.Node) int64) int64 {
	var sum float64
	for _, n := range p.Nodes {
		if n != p.Root {
			sum += float64(rows(n)) * preview.MeanBytes(n)
		}
	}
	return int64(sum)
}

// settleCounts adds to the current part what ON DELETE did. The counters also hold what
// came before in the session: only differences count.
func (tx *Tx) settleCounts(ctx context.Context) error {
	traversal := tx.Traversal()
	if tx.after == nil {
		if traversal.Counters() == 1 && tx.Share != tx.Parts[len(tx.Parts)-1] {
			return nil // of the position in the WAL only the last counts
		}
		batch := &pgx.Batch{}
		tx.queueCounters(batch)
		if err := pg.Send(ctx, tx.Conn, batch); err != nil {
			return fmt.Errorf("reading counters: %w", err)
		}
	}
	if tx.Opts.Method != Archived { // which deletes all by itself
		rows, nullified := tx.counted()
		maps.Copy(tx.Rows, rows) // the rows that reaper deleted itself are among them
		maps.Copy(tx.Nullified, nullified)
	}
	maps.DeleteFunc(tx.Rows, func(_ string, n int64) bool { return n == 0 })
	maps.DeleteFunc(tx.Nullified, func(_ string, n int64) bool { return n == 0 })
	tx.passCounters()
	return nil
}

// counted are the rows that were deleted and emptied between the two readings of the counters, by
// table.
func (tx *Tx) counted() (rows, nullified map[string]int64) {
	traversal := tx.Traversal()
	rows, nullified = map[string]int64{}, map[string]int64{}
	for i, n := range traversal.Counted {
		at := 1 + i
		rows[n.Table.Name.String()] = tx.after[at] - tx.Before[at]
	}
	for i, n := range traversal.CountedUp {
		at := 1 + len(traversal.Counted) + i
		nullified[n.Table.Name.String()] = tx.after[at] - tx.Before[at]
	}
	return rows, nullified
}

// passCounters makes the later reading of the counters the earlier one.
func (tx *Tx) passCounters() {
	tx.WAL[1] = tx.after[0]
	tx.Before, tx.after = tx.after, nil
}

// CheckTotals refuses a batch over its limits, where the deleter has not held them.
func (tx *Tx) CheckTotals() error {
	if tx.deleter.checksLimits() && len(tx.Parts) == 1 && !tx.Opts.Together || tx.Touched() <= 1 {
		return nil
	}
	limits := tx.plan.Policy.Limits
	var roots int64
	for _, p := range tx.Parts {
		roots += p.Now.Roots
	}
	// Some may have come in since a range was counted.
	if roots > int64(limits.Rows) || tx.Touched() > int64(limits.TotalRows) || tx.bytes() > limits.Bytes {
		return ErrOverflow
	}
	return nil
}

// queueCounters queues a read of the counters behind other statements.
func (tx *Tx) queueCounters(batch *pgx.Batch) {
	traversal := tx.Traversal()
	s := tx.plan.CountersSQL(traversal)
	tx.after = make([]int64, traversal.Counters())
	batch.Queue(s.String(), s.Args...).Query(pg.ScanOne(pg.Pointers(tx.after)...))
}
