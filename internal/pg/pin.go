// Package pg talks to PostgreSQL safely where others may create objects: every statement of
// reaper's own runs under a search_path that contains only pg_catalog.
//
// A function or operator with exactly the argument types, in any schema of the search_path,
// beats a polymorphic or coercing one of pg_catalog, even if pg_catalog comes first
// (CVE-2018-1058). With "pg_catalog, pg_temp" there is no such schema: functions and
// operators are never resolved in pg_temp, and types
// and tables of pg_temp come last
// (https://www.postgresql.org/docs/current/sql-createfunction.html#SQL-CREATEFUNCTION-SECURITY).
//
// The setting is local to a transaction: behind a pooler in transaction mode, session state
// is not reliable.
package pg

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Path is the search_path of reaper's own statements.
const Path = "pg_catalog, pg_temp"

// Pin is the statement that pins the search_path for the rest of its transaction, together
// with the settings that change how values are read and printed. It also turns JIT off:
// compiling a catalog query takes 200 ms, running it a few. The statement itself is qualified,
// because it runs under a path that others control.
const Pin = `SELECT pg_catalog.num_nonnulls(pg_catalog.set_config('search_path', '` + Path + `', true), ` +
	`pg_catalog.set_config('TimeZone', 'UTC', true), pg_catalog.set_config('DateStyle', 'ISO, YMD', true), ` +
	`pg_catalog.set_config('IntervalStyle', 'postgres', true), pg_catalog.set_config('standard_conforming_strings', 'on', true), ` +
	`pg_catalog.set_config('quote_all_identifiers', 'off', true), pg_catalog.set_config('jit', 'off', true))`

// Timeouts is the statement that bounds the following ones in its transaction: each wait for a
// lock, and each statement as a whole. 0 means no bound, as in PostgreSQL.
func Timeouts(lock, statement time.Duration) string {
	return fmt.Sprintf(`SELECT pg_catalog.num_nonnulls(pg_catalog.set_config('lock_timeout', '%dms', true), pg_catalog.set_config('statement_timeout', '%dms', true))`,
		lock.Milliseconds(), statement.Milliseconds())
}

// Sender sends statements as one batch: a pool, a connection or a transaction of pgx.
type Sender interface {
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Querier runs queries: a *DB, or a transaction started by Begin.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// DB runs single statements, each in its own implicit transaction that begins with Pin. This
// costs no extra round trip, because both are sent together. The connection must use
// pgx.QueryExecModeExec or pgx.QueryExecModeSimpleProtocol, which need no answer in between.
type DB struct {
	Sender
	// Before are statements sent after Pin and before each statement, such as Timeouts; may be
	// nil.
	Before []string
}

// Pinned runs single statements on a pool, a connection or a transaction. In a transaction
// the settings last until its end.
func Pinned(s Sender) *DB { return &DB{Sender: s} }

func (db *DB) send(ctx context.Context, sql string, args []any) (pgx.BatchResults, error) {
	b := &pgx.Batch{}
	b.Queue(Pin)
	for _, before := range db.Before {
		b.Queue(before)
	}
	b.Queue(sql, args...)
	results := db.SendBatch(ctx, b)
	for range 1 + len(db.Before) {
		if _, err := results.Exec(); err != nil {
			_ = results.Close() // returns the same error
			return nil, err
		}
	}
	return results, nil
}

// Exec runs a statement.
func (db *DB) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	results, err := db.send(ctx, sql, args)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := results.Exec()
	if closed := results.Close(); err == nil {
		err = closed
	}
	return tag, err
}

// Query runs a statement that returns rows. The connection is busy until they are closed.
func (db *DB) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	results, err := db.send(ctx, sql, args)
	if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		_ = results.Close() // returns the same error
		return nil, err
	}
	return &pinnedRows{Rows: rows, results: results}, nil
}

// QueryRow runs a statement that returns one row. Scan returns its error.
func (db *DB) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := db.Query(ctx, sql, args...)
	return &row{rows: rows, err: err}
}

// pinnedRows are the rows of the last statement of a batch; closing them ends the batch.
type pinnedRows struct {
	pgx.Rows
	results pgx.BatchResults
	ended   bool
	err     error // of the batch's end
}

// Close implements pgx.Rows.
func (r *pinnedRows) Close() {
	r.Rows.Close()
	if !r.ended {
		r.ended, r.err = true, r.results.Close()
	}
}

// Next implements pgx.Rows.
func (r *pinnedRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Err implements pgx.Rows.
func (r *pinnedRows) Err() error {
	if err := r.Rows.Err(); err != nil {
		return err
	}
	return r.err
}

type row struct {
	rows pgx.Rows
	err  error
}

// Scan implements pgx.Row.
func (r *row) Scan(into ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(into...); err != nil {
		return err
	}
	r.rows.Close()
	return r.rows.Err()
}

// Beginner starts transactions: a pool or a connection of pgx.
type Beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// Begin starts a READ COMMITTED transaction with Pin, in one round trip.
func Begin(ctx context.Context, db Beginner, mode pgx.TxAccessMode) (pgx.Tx, error) {
	return db.BeginTx(ctx, pgx.TxOptions{BeginQuery: "BEGIN ISOLATION LEVEL READ COMMITTED " + string(mode) + "; " + Pin})
}

// InTx runs fn in a transaction started by Begin, and commits it.
func InTx(ctx context.Context, db Beginner, mode pgx.TxAccessMode, fn func(pgx.Tx) error) error {
	tx, err := Begin(ctx, db, mode)
	if err != nil {
		return err
	}
	defer Rollback(tx)
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// Rollback ends a transaction that was not committed. It uses its own context, because the
// caller's may be the reason for the rollback. A lost connection has already rolled back.
func Rollback(tx pgx.Tx) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = tx.Rollback(ctx)
}
