package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// serverSettings hold for all sides. No autovacuum, so that dead rows stay and
// a walk that reads them again would show; no checkpoint but the one before
// each turn. fsync stays on.
var serverSettings = map[string]string{
	"autovacuum":         "off",
	"shared_buffers":     "512MB",
	"max_wal_size":       "16GB",
	"checkpoint_timeout": "1h",
	"log_line_prefix":    logPrefix,
}

// onDatabase runs fn on a connection of its own.
func onDatabase(ctx context.Context, dsn string, fn func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	return errors.Join(fn(conn), conn.Close(context.WithoutCancel(ctx)))
}

// execute runs SQL, each a statement or more of its own.
func execute(ctx context.Context, dsn string, statements ...string) error {
	return onDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				return fmt.Errorf("%.60s…: %w", s, err)
			}
		}
		return nil
	})
}

func text(ctx context.Context, dsn, sql string, args ...any) (value string, err error) {
	err = onDatabase(ctx, dsn, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, sql, args...).Scan(&value) })
	return value, err
}

// create makes a database that has been filled and vacuumed.
func (b *bench) create(ctx context.Context, name, what string, scripts ...string) error {
	b.say("filling %s", what)
	if err := execute(ctx, b.server.DSN("postgres"), "CREATE DATABASE "+name); err != nil {
		return err
	}
	return execute(ctx, b.server.DSN(name), append(scripts, "VACUUM ANALYZE")...)
}

// variant makes a database with the mail workload, and changes its schema.
func (b *bench) variant(ctx context.Context, name string, changes ...string) error {
	dsn, err := b.fresh(ctx, name, cascading)
	if err != nil {
		return err
	}
	return execute(ctx, dsn, append(changes, "VACUUM ANALYZE")...)
}

// fresh makes a copy of a database and flushes it to disk, so that each side
// starts from the same.
func (b *bench) fresh(ctx context.Context, name, template string) (dsn string, err error) {
	return b.server.DSN(name), execute(ctx, b.server.DSN("postgres"), "CREATE DATABASE "+name+" TEMPLATE "+template, "CHECKPOINT")
}

func (b *bench) drop(ctx context.Context, names ...string) error {
	for _, n := range names {
		if err := execute(ctx, b.server.DSN("postgres"), "DROP DATABASE IF EXISTS "+n+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}

// written gives the bytes of WAL that the server writes while fn runs. Pages
// that change for the first time after a checkpoint are written whole, so a
// checkpoint in the middle would make one side's rows dearer: an error.
func written(ctx context.Context, dsn string, fn func() error) (bytes int64, err error) {
	const sql = `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, redo_lsn::text FROM pg_control_checkpoint()`
	var before, after int64
	var redo, redoAfter string
	err = onDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		if err := conn.QueryRow(ctx, sql).Scan(&before, &redo); err != nil {
			return err
		}
		if err := fn(); err != nil {
			return err
		}
		return conn.QueryRow(ctx, sql).Scan(&after, &redoAfter)
	})
	if err == nil && redo != redoAfter {
		err = errors.New("the server made a checkpoint in the middle of a turn")
	}
	return after - before, err
}
