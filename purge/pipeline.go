package purge

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// batchTx is the transaction of one batch, and what it has counted.
type batchTx struct {
	conn            *pgxpool.Conn
	began           time.Time
	lockDependents  bool // dependents are locked when they are collected
	rows, nullified map[string]int64
	before          []int64        // counters at the start
	after           []int64        // the same at the end; nil: not read yet
	due             []plan.DueRows // rows whose age emptying could renew
	wal             [2]int64       // positions in the WAL, in bytes: where it began, where it ended
}

// close gives the connection back, after rolling back what was not committed.
func (tx *batchTx) close() {
	pg.EndTx(tx.conn)
	tx.conn.Release()
}

func (tx *batchTx) query(ctx context.Context, s *pg.Statement) (pgx.Rows, error) {
	return tx.conn.Query(ctx, s.String(), s.Args...)
}

// read runs one statement and reads its answer.
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
