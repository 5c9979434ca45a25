package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/search"
)

const (
	// leastRows is how many rows may be due whatever is usual.
	leastRows = 10_000
	// leastRuns is how many runs have to tell what is usual.
	leastRuns = 3
	// shareFrom is the size of a table, in rows, from which on the share that is due counts.
	shareFrom = 100_000
	// mostCounted is how many rows are counted; of more, the planner's estimate is taken.
	mostCounted = 1_000_000
	// countTimeout limits the count. Of a longer one, too, the planner's estimate is taken.
	countTimeout = 5 * time.Second
)

// breaker refuses a run for which far more rows are due than usual. base is its start
// by the database's clock, as text. They are counted as far as it takes to tell or, to bind an
// approval to them, up to a number.
func (g *Gates) breaker(ctx context.Context, p *plan.Plan, base string, s *Verdict, upTo int64) error {
	b := p.Policy.Breaker
	if b.Times == 0 {
		return nil
	}
	pace, err := g.Ledger.Pace(ctx, g.Pool, s.Policy, s.digest, base)
	if err != nil || g.Rows == ByYes && !pace.Known {
		return err
	}
	limit := float64(leastRows)
	switch table := p.Root.Table.EstimatedRows; {
	case pace.Runs >= leastRuns:
		limit = max(limit, float64(b.Times)*pace.PerHour*pace.Hours)
	case table > shareFrom:
		limit = max(limit, table*b.Share)
	default:
		return nil
	}
	if s.due, err = g.due(ctx, p, base, max(int64(limit), pace.Approved, upTo)); err != nil || float64(s.due) <= limit || s.due <= pace.Approved {
		return err
	}
	s.Gates = append(s.Gates, Breaker)
	s.TooMany = fmt.Sprintf("more than %s rows of %s are due", humanize.Comma(int64(limit)), p.Root.Table.Name)
	if pace.Runs >= leastRuns {
		s.TooMany += fmt.Sprintf(", which is %d times the %s an hour that became due between the last %d complete runs (median), over the %.1f hours since the last one",
			b.Times, humanize.Comma(int64(pace.PerHour)), pace.Runs, pace.Hours)
	} else {
		s.TooMany += fmt.Sprintf(", which is %.0f %% of the table, and fewer than %d complete runs tell what is usual", b.Share*100, leastRuns)
	}
	return nil
}

// due counts the expired roots up to one more than a limit, or estimates them where that takes long.
func (g *Gates) due(ctx context.Context, p *plan.Plan, base string, limit int64) (n int64, err error) {
	if n, counted := g.Due[p.Policy.Name]; counted {
		return n, nil
	}
	rows := func(s *pg.Statement) string {
		return "SELECT FROM (" + search.ExpiredSQL(p, s, expiry.Scope{Base: base}) + ") reaper_x"
	}
	s := &pg.Statement{}
	inner := rows(s)
	s.Add("SELECT count(*) FROM (", inner, " LIMIT ", s.Cast(min(limit, mostCounted)+1, "bigint"), ") reaper_x")
	err = pg.ReadOne(ctx, g.Pool, p.ReadingPath(), countTimeout, s, pg.ScanOne(&n))
	if err == nil && n <= mostCounted {
		return n, nil
	}
	if database, ok := errors.AsType[*pgconn.PgError](err); err != nil && (!ok || strings.HasPrefix(database.Code, "08")) {
		return 0, fmt.Errorf("counting what is due: %w", err)
	}
	s = &pg.Statement{}
	inner = rows(s)
	s.Add("EXPLAIN (FORMAT JSON) ", inner)
	var text string
	if err := pg.ReadOne(ctx, g.Pool, p.ReadingPath(), countTimeout, s, pg.ScanOne(&text)); err != nil {
		return 0, fmt.Errorf("estimating what is due: %w", err)
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := json.Unmarshal([]byte(text), &plans); err != nil || len(plans) != 1 {
		return 0, fmt.Errorf("estimating what is due: %w", errors.Join(err, errors.New(text)))
	}
	return max(n, int64(plans[0].Plan.Rows)), nil
}
