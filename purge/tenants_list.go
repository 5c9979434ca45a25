package purge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
)

var (
	errNoTenants = fmt.Errorf("%w: the list of tenants is empty; refusing to delete", ErrTenants)
	errKeyTwice  = fmt.Errorf("%w: the list of tenants gives a key twice; which retention counts is unclear", ErrTenants)
	errLongKey   = fmt.Errorf("%w: the list of tenants gives a key of more than %d bytes", ErrTenants, longestKey)
)

// longestKey is how long the text of a tenant's key may be, in bytes: more than any index
// over it can hold, and still little enough to keep a list of them in memory.
const longestKey = 8192

// listTimeout bounds a reading of all tenants.
const listTimeout = 10 * time.Minute

// trust judges a list of tenants by the number of its rows and of their keys, and by the
// longest key.
func (p *Plan) trust(rows, keys, longest int64) error {
	switch {
	case p.noTenant:
		return nil
	case rows == 0:
		return errNoTenants
	case longest > longestKey:
		return errLongKey
	case keys != rows:
		return errKeyTwice
	}
	return nil
}

// CheckTenantLists reads the tenants of each plan as a purge would, and adds a
// problem where a purge would delete nothing for their sake: a warning where there are no
// tenants at all, as in a database that has only its schema, and else an error. It is no
// matter of Compile: what the list says now may be otherwise when a purge begins, which
// then fails.
func CheckTenantLists(ctx context.Context, pool *pgxpool.Pool, plans []*Plan) error {
	for _, p := range plans {
		if p.HasErrors() || p.unplanned != nil {
			continue
		}
		problem, err := p.listProblem(ctx, pool, scope{}, LevelWarning)
		if err != nil {
			return fmt.Errorf("reading tenants of policy %s: %w", p.Policy.Name, err)
		}
		if problem != nil {
			p.Problems = append(p.Problems, *problem)
		}
	}
	return nil
}

// listProblem is why a purge of this scope would not trust the tenants; nil: it
// would. empty is the level of a list without any.
func (p *Plan) listProblem(ctx context.Context, pool *pgxpool.Pool, sc scope, empty Level) (*Problem, error) {
	if p.noTenant {
		return nil, nil
	}
	var rows, keys, longest, states int64
	err := readOnly(ctx, pool, p.readingPath(), listTimeout, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT now()::text`).Scan(&sc.base); err != nil {
			return err
		}
		s := &statement{}
		sc.whole = true
		// The states are asked for so that every hold and retention is worked out.
		s.add("SELECT count(*), ", p.tenants.countKeys(), ", ", longestSQL, ", count(state) FROM ", p.tenants.write(s, sc), " s")
		return tx.QueryRow(ctx, s.String(), s.args...).Scan(&rows, &keys, &longest, &states)
	})
	problem := &Problem{Policy: p.Policy.Name, Level: LevelError}
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, errWrites), errors.As(err, &refused) && (pg.Passes(err) || !pg.Away(err)):
		problem.Text = "reading tenants: " + pg.ErrorText(err)
		problem.Fix = "correct the query, retention or hold of the tenants: it has to work for each of them"
		if refused != nil {
			problem.Fix = queryFix(refused, p.server.Role, problem.Fix)
		}
		return problem, nil
	case err != nil:
		return nil, err
	}
	switch err := p.trust(rows, keys, longest); {
	case err == nil:
		return nil, nil
	case errors.Is(err, errKeyTwice):
		problem.Text, problem.Fix = err.Error(), "let every key stand there once"
	case errors.Is(err, errLongKey):
		problem.Text, problem.Fix = err.Error(), "let another column be the key"
	default:
		problem.Level, problem.Text, problem.Fix = empty, err.Error(), "see where the tenants are: the table or the query under tenants has to give every tenant there is"
	}
	return problem, nil
}

// queryFix is the remedy of an error of a user's SQL: grants where a privilege is missing, or
// else another one. An error names the schema in its text alone, which may be translated.
func queryFix(wrong *pgconn.PgError, role, other string) string {
	if wrong.Code != "42501" {
		return other
	}
	if name, ok := strings.CutPrefix(wrong.Message, "permission denied for schema "); ok {
		return fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;", ident(name), ident(role))
	}
	return "run what reaper grants --role " + ident(role) + " prints, as the owner of what the SQL reads"
}
