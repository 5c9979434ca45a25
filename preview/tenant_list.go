package preview

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/plan"
)

// ErrTenants is an invalid table or query of tenants.
var ErrTenants = errors.New("tenants")

var (
	// ErrNoTenants is an empty list.
	ErrNoTenants = fmt.Errorf("%w: the list of tenants is empty; refusing to delete", ErrTenants)
	// ErrKeyTwice is a list with a duplicate key.
	ErrKeyTwice = fmt.Errorf("%w: the list of tenants has the same key twice; its retention is ambiguous", ErrTenants)
	// ErrLongKey is a list with an implausibly long key.
	ErrLongKey = fmt.Errorf("%w: the list of tenants has a key of more than %d bytes", ErrTenants, longestKey)
)

// longestKey is the maximum length of a tenant's key as text, in bytes: more than an index entry
// can hold, but little enough to keep a list of keys in memory.
const longestKey = 8192

// ListTimeout limits how long reading all tenants may take.
const ListTimeout = 10 * time.Minute

// ValidateTenantList checks the number of rows and distinct keys, and the longest key.
func ValidateTenantList(p *plan.Plan, rows, keys, longest int64) error {
	switch {
	case p.NoTenant:
		return nil
	case rows == 0:
		return ErrNoTenants
	case longest > longestKey:
		return ErrLongKey
	case keys != rows:
		return ErrKeyTwice
	}
	return nil
}

// CheckTenantLists reads the tenants of each plan as a purge would, and adds a problem if a purge
// would refuse them: an error or, if there are no tenants at all, as in a database without data, a
// warning. Compile does not: the list may change before a purge starts, which then fails.
func CheckTenantLists(ctx context.Context, pool *pgxpool.Pool, plans []*plan.Plan) error {
	for _, p := range plans {
		if p.HasErrors() || p.Unplanned() != nil {
			continue
		}
		problem, err := listProblem(ctx, pool, p, expiry.Scope{}, plan.LevelWarning)
		if err != nil {
			return fmt.Errorf("reading tenants of policy %s: %w", p.Policy.Name, err)
		}
		if problem != nil {
			p.Problems = append(p.Problems, *problem)
		}
	}
	return nil
}

// listProblem is why a purge of this scope would refuse the tenants; nil if it would not. empty is
// the level of the problem of an empty list.
func listProblem(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, sc expiry.Scope, empty plan.Level) (*plan.Problem, error) {
	if p.NoTenant {
		return nil, nil
	}
	var rows, keys, longest, states int64
	err := pg.ReadOnly(ctx, pool, p.ReadingPath(), ListTimeout, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT now()::text`).Scan(&sc.Base); err != nil {
			return err
		}
		s := &pg.Statement{}
		sc.Whole, sc.Graced = true, true
		// Counting the states evaluates every hold and retention.
		s.Add("SELECT count(*), ", p.Tenants.CountKeys(), ", ", plan.LongestSQL, ", count(state) FROM ", p.Tenants.Write(s, sc), " s")
		return tx.QueryRow(ctx, s.String(), s.Args...).Scan(&rows, &keys, &longest, &states)
	})
	problem := &plan.Problem{Policy: p.Policy.Name, Level: plan.LevelError}
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, pg.ErrWrites), errors.As(err, &refused) && (pg.Passes(err) || !pg.Away(err)):
		problem.Text = "reading tenants: " + pg.ErrorText(err)
		problem.Fix = "correct the query, retention or hold of the tenants: it has to work for each of them"
		if refused != nil {
			problem.Fix = usersql.QueryFix(refused, p.Server.Role, problem.Fix)
		}
		return problem, nil
	case err != nil:
		return nil, err
	}
	switch err := ValidateTenantList(p, rows, keys, longest); {
	case err == nil:
		return nil, nil
	case errors.Is(err, ErrKeyTwice):
		problem.Text, problem.Fix = err.Error(), "let every key stand there once"
	case errors.Is(err, ErrLongKey):
		problem.Text, problem.Fix = err.Error(), "use another column as the key"
	default:
		problem.Level, problem.Text, problem.Fix = empty, err.Error(), "see where the tenants are: the table or the query under tenants has to give every tenant there is"
	}
	return problem, nil
}
