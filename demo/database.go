package demo

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pgtemp"
)

//go:embed mail/schema.sql mail/fill.sql mail.yaml
var files embed.FS

const (
	mailDatabase = "mail"
	copyDatabase = "mail_copy" // where a single plain DELETE is tried
)

// mail is the throwaway server with the mail database.
type mail struct{ server *pgtemp.Server }

func start(ctx context.Context, o Options) (*mail, error) {
	// The settings of a small server, except for more room for WAL.
	server, err := pgtemp.Start(ctx, pgtemp.Options{BinDir: o.BinDir, Detach: o.Keep, Settings: map[string]string{"max_wal_size": "1GB"}})
	if err != nil {
		return nil, fmt.Errorf("starting the demo's server: %w", err)
	}
	return &mail{server: server}, nil
}

func (m *mail) dsn() string { return m.server.DSN(mailDatabase) }

// policyFile is in the server's directory and is removed with it.
func (m *mail) policyFile() string { return filepath.Join(m.server.Dir(), "reaper.yaml") }

func (m *mail) stop() error {
	if err := m.server.Stop(); err != nil {
		return fmt.Errorf("removing the demo's server: %w", err)
	}
	return nil
}

// fill creates the mail database, a copy of it, and the policy file.
func (m *mail) fill(ctx context.Context, mails int) error {
	schema, err := files.ReadFile("mail/schema.sql")
	if err != nil {
		return err
	}
	fill, err := files.ReadFile("mail/fill.sql")
	if err != nil {
		return err
	}
	policy, err := files.ReadFile("mail.yaml")
	if err != nil {
		return err
	}
	if err := m.exec(ctx, "postgres", "CREATE DATABASE "+mailDatabase); err != nil {
		return fmt.Errorf("creating the mail database: %w", err)
	}
	for _, sql := range []string{string(schema), strings.ReplaceAll(string(fill), "{{n}}", strconv.Itoa(mails)), "VACUUM ANALYZE"} {
		if err := m.exec(ctx, mailDatabase, sql); err != nil {
			return fmt.Errorf("filling the mail database: %w", err)
		}
	}
	if err := m.exec(ctx, "postgres", "CREATE DATABASE "+copyDatabase+" TEMPLATE "+mailDatabase); err != nil {
		return fmt.Errorf("copying the mail database: %w", err)
	}
	if err := os.WriteFile(m.policyFile(), policy, 0o644); err != nil { //nolint:gosec // meant to be read
		return fmt.Errorf("writing the policy file: %w", err)
	}
	return nil
}

func (m *mail) connect(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, m.server.DSN(database))
}

// exec runs SQL of one or more statements.
func (m *mail) exec(ctx context.Context, database, sql string) error {
	conn, err := m.connect(ctx, database)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	// Closed at once: a database can only be copied without open connections.
	return errors.Join(err, conn.Close(ctx))
}

// Table is the state of one table of the mail database.
type Table struct {
	Name  string
	Rows  int64
	Bytes int64 // with indexes and TOAST
}

func totals(tables []Table) (rows, bytes int64) {
	for _, t := range tables {
		rows, bytes = rows+t.Rows, bytes+t.Bytes
	}
	return rows, bytes
}

// tables counts the rows of every table, in the order in which schema.sql creates them.
func (m *mail) tables(ctx context.Context, database string) ([]Table, error) {
	conn, err := m.connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx) //nolint:errcheck // read-only
	rows, err := conn.Query(ctx, `SELECT relname::text, 0::bigint, pg_total_relation_size(oid) FROM pg_class
		WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY oid`)
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Table])
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	for i := range tables {
		t := &tables[i]
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM "+pgx.Identifier{t.Name}.Sanitize()).Scan(&t.Rows); err != nil {
			return nil, fmt.Errorf("counting %s: %w", t.Name, err)
		}
	}
	return tables, nil
}

// deletion is the result of one plain DELETE.
type deletion struct {
	took   time.Duration
	wal    int64
	tables []Table
}

// plainDelete expresses mail.yaml in plain SQL.
const plainDelete = `
	DELETE FROM outgoing_emails e USING domains d, organizations o
	 WHERE d.id = e.domain_id AND o.id = d.organization_id AND o.id <> 42
	   AND e.created_at < $1::timestamptz - greatest(coalesce(o.retention_days, 30), 1) * interval '1 day'`

// oneDelete runs plainDelete on the copy, in one transaction.
func (m *mail) oneDelete(ctx context.Context, at time.Time) (d deletion, err error) {
	conn, err := m.connect(ctx, copyDatabase)
	if err != nil {
		return d, err
	}
	defer conn.Close(ctx) //nolint:errcheck // the copy is thrown away
	var from, to string
	wal := func(lsn *string) error {
		return conn.QueryRow(ctx, `SELECT pg_current_wal_insert_lsn()::text`).Scan(lsn)
	}
	if err := wal(&from); err != nil {
		return d, fmt.Errorf("measuring one DELETE: %w", err)
	}
	started := time.Now()
	if _, err := conn.Exec(ctx, plainDelete, at); err != nil {
		return d, fmt.Errorf("measuring one DELETE: %w", err)
	}
	d.took = time.Since(started)
	if err := wal(&to); err != nil {
		return d, fmt.Errorf("measuring one DELETE: %w", err)
	}
	if err := conn.QueryRow(ctx, `SELECT pg_wal_lsn_diff($1::pg_lsn, $2::pg_lsn)::bigint`, to, from).Scan(&d.wal); err != nil {
		return d, fmt.Errorf("measuring one DELETE: %w", err)
	}
	if d.tables, err = m.tables(ctx, copyDatabase); err != nil {
		return d, err
	}
	return d, nil
}
