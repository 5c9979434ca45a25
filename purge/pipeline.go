package purge

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A round trip to the server costs as much as deleting some rows, and much more
// over a network. So what needs no answer in between is sent at once.

const (
	beginRead  = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
	beginWrite = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
)

// send sends statements at once, and reads the answers of those that have a
// reader. After an error the rest has not been carried out.
func send(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch) error {
	return conn.SendBatch(ctx, b).Close()
}

// readOne runs one statement in a short read-only transaction with the settings
// of a batch, in one round trip.
func readOne(ctx context.Context, pool *pgxpool.Pool, path string, timeout time.Duration, s *statement, scan func(pgx.Rows) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	b := &pgx.Batch{}
	b.Queue(beginRead)
	set := &statement{}
	set.add("SELECT ", settings(set, path, timeout, 10*time.Second))
	b.Queue(set.String(), set.args...)
	b.Queue(s.String(), s.args...).Query(scan)
	b.Queue("COMMIT")
	if err := send(ctx, conn, b); err != nil {
		end(conn)
		return onlyReads(err)
	}
	return nil
}

// scanOne reads the one row of an answer.
func scanOne(into ...any) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, into, func() error { return nil })
		return err
	}
}

// end rolls back whatever transaction is open. Its own context: the one at hand
// may be the reason for rolling back. A connection that is gone has rolled back
// already.
func end(conn *pgxpool.Conn) {
	pg := conn.Conn().PgConn()
	if pg.IsClosed() || pg.TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = conn.Exec(ctx, "ROLLBACK")
}

// batchTx is the transaction of one batch, and what it has counted.
type batchTx struct {
	conn            *pgxpool.Conn
	began           time.Time
	lockDependents  bool // dependents are locked when they are collected
	rows, nullified map[string]int64
	before          []int64   // counters at the start
	after           []int64   // the same at the end; nil: not read yet
	due             []dueRows // rows whose age emptying could renew
	wal             [2]int64  // positions in the WAL, in bytes: where it began, where it ended
}

// close gives the connection back, after rolling back what was not committed.
func (tx *batchTx) close() {
	end(tx.conn)
	tx.conn.Release()
}

func (tx *batchTx) query(ctx context.Context, s *statement) (pgx.Rows, error) {
	return tx.conn.Query(ctx, s.String(), s.args...)
}

// read runs one statement and reads its answer.
func (tx *batchTx) read(ctx context.Context, s *statement, scan func(pgx.Rows) error) error {
	rows, err := tx.query(ctx, s)
	if err != nil {
		return err
	}
	return scan(rows)
}

func (tx *batchTx) exec(ctx context.Context, s *statement) (int64, error) {
	tag, err := tx.conn.Exec(ctx, s.String(), s.args...)
	return tag.RowsAffected(), err
}

func (tx *batchTx) row(ctx context.Context, s *statement) pgx.Row {
	return tx.conn.QueryRow(ctx, s.String(), s.args...)
}
