package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

// serverSettings apply to all sides. Autovacuum is off, so that dead rows stay and repeated
// reads of them show; the only checkpoint is the one before each turn. fsync stays on.
var serverSettings = map[string]string{
	"autovacuum":         "off",
	"shared_buffers":     "512MB",
	"max_wal_size":       "16GB",
	"checkpoint_timeout": "1h",
	"log_line_prefix":    logPrefix,
}

// create creates, fills and vacuums a database.
func (b *bench) create(ctx context.Context, name, what string, scripts ...string) error {
	b.Say("filling %s", what)
	if err := lab.Execute(ctx, b.server.DSN("postgres"), "CREATE DATABASE "+name); err != nil {
		return err
	}
	return lab.Execute(ctx, b.server.DSN(name), append(scripts, "VACUUM ANALYZE")...)
}

// variant creates a database with the mail workload and a changed schema.
func (b *bench) variant(ctx context.Context, name string, changes ...string) error {
	dsn, err := b.fresh(ctx, name, cascading)
	if err != nil {
		return err
	}
	return lab.Execute(ctx, dsn, append(changes, "VACUUM ANALYZE")...)
}

// fresh copies a database and flushes it to disk, so that each side starts from the same
// state.
func (b *bench) fresh(ctx context.Context, name, template string) (dsn string, err error) {
	return b.server.DSN(name), lab.Execute(ctx, b.server.DSN("postgres"), "CREATE DATABASE "+name+" TEMPLATE "+template, "CHECKPOINT")
}

func (b *bench) drop(ctx context.Context, names ...string) error {
	for _, n := range names {
		if err := lab.Execute(ctx, b.server.DSN("postgres"), "DROP DATABASE IF EXISTS "+n+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}

// walWritten returns the bytes of WAL that the server writes while fn runs. Pages that change for
// the first time after a checkpoint are written in full, so a checkpoint during a turn would
// distort the result and is an error.
func walWritten(ctx context.Context, dsn string, fn func() error) (bytes int64, err error) {
	const sql = `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint, redo_lsn::text FROM pg_control_checkpoint()`
	var before, after int64
	var redo, redoAfter string
	err = lab.OnDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		if err := conn.QueryRow(ctx, sql).Scan(&before, &redo); err != nil {
			return err
		}
		if err := fn(); err != nil {
			return err
		}
		return conn.QueryRow(ctx, sql).Scan(&after, &redoAfter)
	})
	if err == nil && redo != redoAfter {
		err = errors.New("the server ran a checkpoint during a turn")
	}
	return after - before, err
}
