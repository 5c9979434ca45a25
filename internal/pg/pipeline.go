package pg

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// LocalSettings is an expression that applies the settings to the current transaction. It is part
// of every transaction's first statement; its value is meaningless.
func LocalSettings(s *Statement, path string, statementTimeout, lockTimeout time.Duration) string {
	ms := func(d time.Duration) string { return s.Cast(fmt.Sprintf("%dms", d.Milliseconds()), TextType) }
	return Settings(path, ms(statementTimeout), ms(lockTimeout))
}

// ErrWrites means that SQL of the policy file tried to write in a read-only transaction.
var ErrWrites = errors.New("SQL of the policy file writes")

// onlyReads recognizes a write in a read-only transaction. In a read-write transaction the same
// code means that the server has become a standby.
func onlyReads(err error) error {
	if HasCode(err, "25006") {
		return fmt.Errorf("%w: %s", ErrWrites, ErrorText(err))
	}
	return err
}

// A round trip costs as much as deleting some rows, and much more over a network. So statements
// whose results are not needed in between are sent together.

const (
	beginRead = "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY"
	// BeginWrite begins the transaction of a batch.
	BeginWrite = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
)

// Send sends statements together, and passes results to those that have a reader. After an error,
// PostgreSQL skips the remaining statements.
func Send(ctx context.Context, conn *pgxpool.Conn, b *pgx.Batch) error {
	return conn.SendBatch(ctx, b).Close()
}

// ReadOne runs one statement in a short read-only transaction with the settings of a batch, in one
// round trip.
func ReadOne(ctx context.Context, pool *pgxpool.Pool, path string, timeout time.Duration, s *Statement, scan func(pgx.Rows) error) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	b := &pgx.Batch{}
	b.Queue(beginRead)
	set := &Statement{}
	set.Add("SELECT ", LocalSettings(set, path, timeout, 10*time.Second))
	b.Queue(set.String(), set.Args...)
	b.Queue(s.String(), s.Args...).Query(scan)
	b.Queue("COMMIT")
	if err := Send(ctx, conn, b); err != nil {
		EndTx(conn)
		return onlyReads(err)
	}
	return nil
}

// ScanOne scans a result of one row.
func ScanOne(into ...any) func(pgx.Rows) error {
	return func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, into, func() error { return nil })
		return err
	}
}

// EndTx rolls back any open transaction. It uses its own context: the caller's may have been
// canceled. A closed connection has already rolled back.
func EndTx(conn *pgxpool.Conn) {
	pg := conn.Conn().PgConn()
	if pg.IsClosed() || pg.TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, _ = conn.Exec(ctx, "ROLLBACK")
}

// ScanColumns scans the result of Gathered.
func ScanColumns(columns []*Column) func(pgx.Rows) error {
	var n int
	into := []any{&n}
	for _, c := range columns {
		into = append(into, &c.array)
	}
	return func(rows pgx.Rows) error {
		_, err := pgx.ForEachRow(rows, into, func() error {
			for _, c := range columns {
				c.n = n
			}
			return nil
		})
		return err
	}
}

// ReadOnly runs fn in a short read-only transaction with the settings of a batch.
func ReadOnly(ctx context.Context, pool *pgxpool.Pool, path string, timeout time.Duration, fn func(pgx.Tx) error) error {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer Rollback(tx)
	s := &Statement{}
	s.Add("SELECT ", LocalSettings(s, path, timeout, 10*time.Second))
	var set int
	if err := tx.QueryRow(ctx, s.String(), s.Args...).Scan(&set); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return onlyReads(err)
	}
	return tx.Commit(ctx)
}

// Pointers returns scan targets for the values.
func Pointers[T any](values []T) []any {
	into := make([]any, len(values))
	for i := range values {
		into[i] = &values[i]
	}
	return into
}
