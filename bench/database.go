package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// serverSettings hold for both sides. No autovacuum, so that dead rows stay and
// a walk that reads them again would show; no checkpoint but the one before
// each timing. fsync stays on.
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

func text(ctx context.Context, dsn, sql string) (value string, err error) {
	err = onDatabase(ctx, dsn, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, sql).Scan(&value) })
	return value, err
}

// fill makes a database with the mail workload of the demo.
func (b *bench) fill(ctx context.Context, name string, mails int) error {
	var scripts []string
	for _, file := range []string{"schema.sql", "fill.sql"} {
		sql, err := os.ReadFile(filepath.Join(b.root, "demo", "mail", file))
		if err != nil {
			return fmt.Errorf("reading the workload: %w", err)
		}
		scripts = append(scripts, strings.ReplaceAll(string(sql), "{{n}}", strconv.Itoa(mails)))
	}
	return b.create(ctx, name, fmt.Sprintf("%d mails", mails), scripts...)
}

// create makes a database that has been filled and vacuumed.
func (b *bench) create(ctx context.Context, name, what string, scripts ...string) error {
	b.say("filling %s", what)
	if err := execute(ctx, b.server.DSN("postgres"), "CREATE DATABASE "+name); err != nil {
		return err
	}
	return execute(ctx, b.server.DSN(name), append(scripts, "VACUUM ANALYZE")...)
}

// fresh makes a copy of the database mail and flushes it to disk, so that each
// side starts from the same.
func (b *bench) fresh(ctx context.Context, name string) (dsn string, err error) {
	return b.server.DSN(name), execute(ctx, b.server.DSN("postgres"), "CREATE DATABASE "+name+" TEMPLATE mail", "CHECKPOINT")
}

func (b *bench) drop(ctx context.Context, names ...string) error {
	for _, n := range names {
		if err := execute(ctx, b.server.DSN("postgres"), "DROP DATABASE IF EXISTS "+n+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}

// content is what a table holds: the number of its rows, and the sum of their
// ids.
type content struct {
	rows int64
	ids  string
}

// contents reads all tables of the schema public.
func contents(ctx context.Context, dsn string) (map[string]content, error) {
	all := map[string]content{}
	err := onDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`)
		if err != nil {
			return err
		}
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, t := range tables {
			var c content
			if err := conn.QueryRow(ctx, `SELECT count(*), coalesce(sum(id), 0)::text FROM `+pgx.Identifier{t}.Sanitize()).Scan(&c.rows, &c.ids); err != nil {
				return err
			}
			all[t] = c
		}
		return nil
	})
	return all, err
}

// difference names the tables that are not alike; empty: none.
func difference(x, y map[string]content) string {
	var found []string
	for t := range x {
		if x[t] != y[t] {
			found = append(found, fmt.Sprintf("%s: %d and %d rows stay", t, x[t].rows, y[t].rows))
		}
	}
	slices.Sort(found)
	return strings.Join(found, "; ")
}

// gone is the number of rows that a deletion took, over all tables.
func gone(before, after map[string]content) (rows int64) {
	for t := range before {
		rows += before[t].rows - after[t].rows
	}
	return rows
}

// median of some values, at least one.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// spread prints the median of some values, and the least and the greatest.
func spread(values []float64, format string) string {
	if len(values) == 1 {
		return fmt.Sprintf(format, values[0])
	}
	return fmt.Sprintf(format+" ("+format+" to "+format+")", median(values), slices.Min(values), slices.Max(values))
}

// rate is a number a second.
func rate(n int64, took time.Duration) float64 { return float64(n) / took.Seconds() }
