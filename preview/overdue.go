package preview

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/search"
)

// worstTenants is how many of the most overdue tenants are listed.
const worstTenants = 5

// Overdue is what is due under a policy now. It excludes rows that are held, skipped, kept by a
// reference, or kept forever.
type Overdue struct {
	At      time.Time  // time of the measurement, by the database's clock
	Lag     float64    // seconds that the most overdue row has been due; 0: nothing is due
	Oldest  *time.Time // age of the oldest expired row; nil: nothing is due
	Tenants int64      // number that have anything due
	Rows    *int64     // expired roots; nil: counting took too long
	Worst   []OverdueTenant
}

// OverdueTenant is one of the most overdue tenants. Key is nil if the policy has no tenants.
type OverdueTenant struct {
	Key *string `json:"key"`
	Lag float64 `json:"lag_seconds"`
}

// Measure measures what is due. If an index leads to each tenant's oldest row, it reads only those,
// and counts the rows under a separate timeout. Otherwise it reads all expired rows. A timeout is
// an error.
func Measure(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, timeout, counting time.Duration) (o Overdue, err error) {
	sc := expiry.Scope{}
	var now int64
	err = pg.ReadOne(ctx, pool, p.ReadingPath(), timeout, (&pg.Statement{}).Add(pg.ClockSQL), pg.ScanOne(&now, &sc.Base))
	if err != nil {
		return o, fmt.Errorf("measuring policy %s: %s", p.Policy.Name, pg.ErrorText(err))
	}
	o.At = time.UnixMicro(now)
	var oldest *int64
	var worst string
	quick := !p.Sweeps() && !p.Keeps()
	if err := pg.ReadOne(ctx, pool, p.ReadingPath(), timeout, measureSQL(p, sc, quick), pg.ScanOne(&o.Tenants, &o.Rows, &o.Lag, &oldest, &worst)); err != nil {
		return o, fmt.Errorf("measuring policy %s: %s", p.Policy.Name, pg.ErrorText(err))
	}
	if err := json.Unmarshal([]byte(worst), &o.Worst); err != nil {
		return o, fmt.Errorf("measuring policy %s: %w", p.Policy.Name, err)
	}
	if oldest != nil {
		t := time.UnixMicro(*oldest)
		o.Oldest = &t
	}
	if quick {
		o.Rows = nil
		var rows, tenants int64
		var lag float64
		if o.Tenants == 0 {
			o.Rows = &rows
		} else if err := pg.ReadOne(ctx, pool, p.ReadingPath(), counting, search.BacklogSQL(p, sc, ""), pg.ScanOne(&rows, &lag, &tenants)); err == nil {
			o.Rows = &rows
		} else if !pg.HasCode(err, "57014") {
			return o, fmt.Errorf("counting what is due under policy %s: %s", p.Policy.Name, pg.ErrorText(err))
		}
	}
	return o, nil
}

// measureSQL returns the number of tenants with due rows, the number of those rows, the greatest
// lag in seconds, the age of the oldest row in microseconds, and the most overdue tenants as JSON.
// quick reads only the oldest row of each group of a tenant; then the number of rows is
// meaningless.
func measureSQL(p *plan.Plan, sc expiry.Scope, quick bool) *pg.Statement {
	s := &pg.Statement{}
	s.Add("WITH reaper_o AS MATERIALIZED (\n  ")
	if quick {
		sc.Whole = true
		s.Add("SELECT reaper_s.key::text AS tenant, 1 AS n, max(reaper_s.cutoff - ", p.Age.Instant("reaper_x.at"), ") AS lag, min(", p.Age.Instant("reaper_x.at"),
			") AS at\n    FROM ", search.Owing(p, s, sc), " reaper_s")
		search.Probes(p, s, "reaper_s.cutoff")
		s.Add("\n   WHERE reaper_s.state = 'active'\n   GROUP BY reaper_s.key")
	} else {
		s.Add("SELECT reaper_x.tenant::text, count(*) AS n, max(reaper_x.lag) AS lag, min(reaper_x.at) AS at FROM (", search.ExpiredSQL(p, s, sc), ") reaper_x GROUP BY reaper_x.tenant")
	}
	return s.Add(")\nSELECT count(*), coalesce(sum(n), 0)::bigint, coalesce(extract(epoch FROM max(lag)), 0)::float8, (extract(epoch FROM min(at)) * 1000000)::bigint,",
		"\n       coalesce((SELECT json_agg(json_build_object('key', w.tenant, 'lag_seconds', extract(epoch FROM w.lag)::float8) ORDER BY w.lag DESC, w.tenant)",
		" FROM (SELECT tenant, lag FROM reaper_o ORDER BY lag DESC, tenant LIMIT ", strconv.Itoa(worstTenants), ") w), '[]')::text\n  FROM reaper_o")
}
