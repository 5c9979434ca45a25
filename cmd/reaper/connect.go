package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/purge"
)

// A connection string holds a password, and what is wrong with it may well be
// the password: no message repeats any part of the string.

// connect opens the pool and proves that the database answers.
func (a *app) connect(ctx context.Context) (*pgxpool.Pool, error) {
	pool, err := a.pool(ctx, max(a.Connections, 1)+1)
	if err != nil {
		return nil, err
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, usage(fmt.Errorf("the database cannot be reached: %s; check %s", oneLine(err), source(a.DatabaseURL)))
	}
	return pool, nil
}

// pool makes a pool of so many connections at most, and connects to nothing yet.
func (a *app) pool(ctx context.Context, size int) (*pgxpool.Pool, error) {
	if err := unescaped(a.DatabaseURL); err != nil {
		return nil, usage(fmt.Errorf("DATABASE_URL: %w", err))
	}
	config, err := purge.Config(a.DatabaseURL)
	if err != nil {
		return nil, usage(fmt.Errorf("%s: %s", source(a.DatabaseURL), unquoted(err)))
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

// unescaped refuses a URL whose user or password holds a character that ends
// them: the rest of the password would be taken for a host or a database, and
// be printed as one.
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

// unquoted is pgx's reason for not reading a connection string, without the
// string.
func unquoted(err error) string {
	text := err.Error()
	var parse *pgconn.ParseConfigError
	if errors.As(err, &parse) {
		if i := strings.LastIndex(text, "`: "); i >= 0 {
			return text[i+len("`: "):]
		}
		return "it cannot be read"
	}
	return text
}

// oneLine is pgx's list of what it tried, each thing once.
func oneLine(err error) string {
	var lines []string
	for line := range strings.Lines(err.Error()) {
		line = strings.TrimSpace(line)
		if line != "" && !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, line) }) {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return "no reason given"
	}
	first := lines[0]
	if len(lines) > 1 {
		first += " "
	}
	return first + strings.Join(lines[1:], "; ")
}
