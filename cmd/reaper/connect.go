package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/mistake"
	"github.com/reaperdb/reaper/internal/pg"
)

// A connection string contains a password, and the invalid part may be the password: no message
// repeats any part of the string.

// connect opens the pool and waits until the database answers, for at most REAPER_PATIENCE.
func (a *app) connect(ctx context.Context) (*pgxpool.Pool, error) {
	pool, err := a.pool(ctx, max(a.Connections, 1)+1)
	if err != nil {
		return nil, err
	}
	if err := a.patiently(ctx, func() error { return pool.Ping(ctx) }); err != nil {
		pool.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		text := fmt.Sprintf("the database cannot be reached: %s; check %s", oneLine(err), source(a.DatabaseURL))
		return nil, coded(err, errors.New(text))
	}
	return pool, nil
}

// patiently runs fn, and retries while the server is away, for at most REAPER_PATIENCE; 0: no
// retries.
func (a *app) patiently(ctx context.Context, fn func() error) error {
	logged := false
	return pg.Patience{For: a.Patience, Passes: away, Again: func(err error) {
		if !logged { // the last error is reported too
			a.log.Warn("database does not answer; waiting for it", "patience_seconds", a.Patience.Seconds(), "error", oneLine(err))
		}
		logged = true
	}}.Wait(ctx, fn)
}

// away reports whether err means that no server answered, or none accepts connections yet: waiting
// may help, other settings would not. A refusal of the user, the database or a statement does not
// count.
func away(err error) bool {
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return slices.ContainsFunc([]string{"08", "53", "57P", "58030", "25P03"}, func(code string) bool { return strings.HasPrefix(refused.Code, code) })
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return false
	}
	return pg.Lost(err)
}

// coded gives an error the exit code of its cause: failed if the server is away, otherwise usage.
func coded(cause, err error) error {
	if away(cause) {
		return failed(err)
	}
	return usage(err)
}

// pool makes a pool of at most size connections without connecting.
func (a *app) pool(ctx context.Context, size int) (*pgxpool.Pool, error) {
	if err := unescaped(a.DatabaseURL); err != nil {
		return nil, usage(fmt.Errorf("DATABASE_URL: %w", err))
	}
	config, err := pg.PoolConfig(a.DatabaseURL)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %s", source(a.DatabaseURL), mistake.Connection(err)))
	}
	config.MaxConns = int32(size)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, usage(fmt.Errorf("connecting: %w", err))
	}
	return pool, nil
}

func source(dsn string) string {
	if dsn == "" {
		return "the PG* variables (DATABASE_URL is not set)"
	}
	return "DATABASE_URL"
}

// unescaped refuses a URL whose user or password contains an unescaped delimiter: the rest of the
// password would be parsed, and printed, as a host or database.
func unescaped(dsn string) error {
	_, rest, ok := strings.Cut(dsn, "://")
	if !ok {
		return nil
	}
	authority, path := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, path = rest[:i], rest[i:]
	}
	path, _, _ = strings.Cut(path, "?")
	if strings.Count(authority, "@") > 1 || strings.Contains(path, "@") {
		return errors.New("in a URL, write @ / ? # and : within the user and the password as %40 %2F %3F %23 %3A")
	}
	return nil
}

// lined joins the lines of pgx's connection errors.
func lined(err error) error {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return errors.New(oneLine(err))
	}
	return err
}

// oneLine is an error on one line.
func oneLine(err error) string { return pg.OneLine(err) }
