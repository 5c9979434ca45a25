package lab

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// OnDatabase runs fn with a new connection.
func OnDatabase(ctx context.Context, dsn string, fn func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	return errors.Join(fn(conn), conn.Close(context.WithoutCancel(ctx)))
}

// Execute runs each SQL script, of one or more statements.
func Execute(ctx context.Context, dsn string, statements ...string) error {
	return OnDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		for _, s := range statements {
			if _, err := conn.Exec(ctx, s); err != nil {
				return fmt.Errorf("%.60s…: %w", s, err)
			}
		}
		return nil
	})
}

// Ask returns the single value of a query.
func Ask[T any](ctx context.Context, dsn, sql string, args ...any) (value T, err error) {
	err = OnDatabase(ctx, dsn, func(conn *pgx.Conn) error { return conn.QueryRow(ctx, sql, args...).Scan(&value) })
	return value, err
}

// Version returns the server's version as shown with the figures.
func Version(ctx context.Context, dsn string) (string, error) {
	return Ask[string](ctx, dsn, `SELECT 'PostgreSQL ' || current_setting('server_version')`)
}
