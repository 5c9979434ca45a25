package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

// How long measuring one policy may take: to plan it, to find the most overdue rows,
// and to count all that are due.
const (
	compileTimeout = 2 * time.Minute
	scanTimeout    = 30 * time.Second
	countTimeout   = 10 * time.Second
)

// survey measures what is due, over the connections that delete.
type survey struct {
	pool *pgxpool.Pool
	held purge.Holds
	find time.Duration // how long finding the most overdue rows may take
}

func (s survey) compile(ctx context.Context, e entry) (*plan.Plan, error) {
	plans, err := compile(ctx, s.pool, s.held, e.file, e.name(), forMeasuring)
	if err != nil {
		return nil, err
	}
	return plans[0], nil
}

func (s survey) measure(ctx context.Context, p *plan.Plan) (*ledger.Scan, error) {
	o, err := preview.Measure(ctx, s.pool, p, s.find, countTimeout)
	if err != nil {
		return nil, err
	}
	return scanned(o), nil
}

func (s survey) unowned(ctx context.Context, p *plan.Plan) (*ledger.Unowned, error) {
	u, err := preview.SampleUnowned(ctx, s.pool, p)
	return (*ledger.Unowned)(u), err
}

// scanned is what was measured, as the ledger keeps it.
func scanned(o preview.Overdue) *ledger.Scan {
	scan := &ledger.Scan{At: o.At, Lag: o.Lag, Oldest: o.Oldest, Tenants: o.Tenants, Rows: o.Rows}
	for _, w := range o.Worst {
		scan.Worst = append(scan.Worst, ledger.Overdue(w))
	}
	return scan
}

// compile plans one policy anew, since the schema may have changed. Its error lists every problem
// that matters.
func compile(ctx context.Context, pool *pgxpool.Pool, held purge.Holds, file *policy.File, name string, matters func(plan.Problem) bool) ([]*plan.Plan, error) {
	plans, server, err := compileAll(ctx, pool, held, file, []string{name})
	if err != nil {
		return nil, err
	}
	return plans, usable(plans, server, matters)
}

// compileAll plans policies, all on one connection.
func compileAll(ctx context.Context, pool *pgxpool.Pool, held purge.Holds, file *policy.File, names []string) (plans []*plan.Plan, server plan.Server, err error) {
	ctx, cancel := context.WithTimeout(ctx, compileTimeout)
	defer cancel()
	err = pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if server, err = plan.ReadServer(ctx, c.Conn()); err != nil {
			return err
		}
		if plans, err = plan.Compile(ctx, c.Conn(), file, server, names); err != nil {
			return err
		}
		_, err := purge.ApplyHolds(ctx, c.Conn(), held, plans)
		return err
	})
	if err != nil {
		return nil, server, fmt.Errorf("looking at the database: %w", err)
	}
	return plans, server, nil
}

// usable is an error that lists every problem that matters of the one policy of plans.
func usable(plans []*plan.Plan, server plan.Server, matters func(plan.Problem) bool) error {
	problems := server.Problems()
	if len(plans) > 0 {
		if err := plans[0].Unplanned(); err != nil {
			return err
		}
		problems = append(problems, plans[0].Problems...)
	}
	if errs := against(plans, slices.DeleteFunc(problems, func(p plan.Problem) bool { return !matters(p) }), server); len(errs) > 0 {
		return fmt.Errorf("nothing was touched: %s (reaper check tells more)", strings.Join(errs, "; "))
	}
	return nil
}

// forMeasuring: what only deleting needs does not matter.
func forMeasuring(p plan.Problem) bool { return !p.OnlyDeleting }

// all: every problem matters to a run.
func all(plan.Problem) bool { return true }

// against lists the reasons not to run a plan.
func against(plans []*plan.Plan, problems []plan.Problem, server plan.Server) (errs []string) {
	for _, p := range problems {
		if p.Level == plan.LevelError {
			errs = append(errs, p.Text)
		}
	}
	switch {
	case server.ClockSkew > plan.MaxClockSkew:
		errs = append(errs, fmt.Sprintf("the clocks of the database and of this machine are %s apart", server.ClockSkew.Round(time.Minute)))
	case len(plans) != 1:
		errs = append(errs, "the policy is not in the policy file")
	}
	return errs
}

// passing reports whether an error says that the database was not reached, or had no
// connection left.
func passing(err error) bool {
	var pg *pgconn.PgError
	var connect *pgconn.ConnectError
	switch {
	case err == nil:
		return false
	case errors.As(err, &pg):
		return strings.HasPrefix(pg.Code, "53") || strings.HasPrefix(pg.Code, "57P") || strings.HasPrefix(pg.Code, "08")
	}
	return errors.As(err, &connect) || pgconn.SafeToRetry(err) || errors.Is(err, context.DeadlineExceeded)
}
