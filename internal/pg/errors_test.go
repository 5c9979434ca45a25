package pg_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
)

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
		want string
	}{
		{"none of the server's", errors.New("no route"), "no route"},
		{"interrupted", fmt.Errorf("reading: %w", context.Canceled), "interrupted"},
		{
			"a violation, whose detail holds values",
			fmt.Errorf("deleting: %w", &pgconn.PgError{
				Message: "update or delete violates a constraint", Code: "23503", Detail: "Key (mail)=(ann@example.org) is still referenced.",
				SchemaName: "public", TableName: "replies", ConstraintName: "replies_fkey",
			}),
			"update or delete violates a constraint (SQLSTATE 23503), constraint replies_fkey, table public.replies",
		},
		{
			"one raised in a function",
			&pgconn.PgError{Message: "no", Code: "P0001", Where: `PL/pgSQL function "odd (name"(integer) line 3 at RAISE`},
			`no (SQLSTATE P0001), in function "odd (name"`,
		},
	} {
		if got := pg.ErrorText(c.err); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestPassesAndAway(t *testing.T) {
	t.Parallel()
	refused := func(code string) error { return fmt.Errorf("doing: %w", &pgconn.PgError{Code: code}) }
	for _, c := range []struct {
		err          error
		passes, away bool
	}{
		{nil, false, false},
		{errors.New("connection reset"), false, true},
		{refused("55P03"), true, false},
		{refused("57014"), true, false},
		{refused("57P03"), false, true},
		{refused("08006"), false, true},
		{refused("53300"), false, true},
		{refused("57000"), false, false},
		{refused("XX001"), false, false},
		{refused("42501"), false, false},
	} {
		if passes, away := pg.Passes(c.err), pg.Away(c.err); passes != c.passes || away != c.away {
			t.Errorf("%v: passes %t, away %t", c.err, passes, away)
		}
	}
}

// What pgx tells of a host that cannot be reached is several lines, each a log record of
// its own for whoever reads lines.
func TestOneLine(t *testing.T) {
	t.Parallel()
	const several = "failed to connect to `user=app database=shop`:\n\t127.0.0.1:5432 (localhost): dial error: refused\n\t[::1]:5432 (localhost): dial error: refused\n\tdial error: refused\n"
	for text, want := range map[string]string{
		several: "failed to connect to `user=app database=shop`: 127.0.0.1:5432 (localhost): dial error: refused; [::1]:5432 (localhost): dial error: refused",
		"plain": "plain",
		" \n":   "no reason given",
	} {
		if got := pg.OneLine(errors.New(text)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
