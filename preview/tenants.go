package preview

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/search"
)

// firstTenants is how many tenants a preview has in memory, unless it is narrowed to more.
const firstTenants = 1000

// TenantPreview is one tenant under a policy. Cutoff is null if there is none, ExpiredRows if not
// counted.
type TenantPreview struct {
	Key         *string    `json:"key"`
	Retention   *string    `json:"retention"`
	Cutoff      *time.Time `json:"cutoff"`
	State       string     `json:"state"` // due, clear, held, forever, skipped
	Floored     bool       `json:"floored"`
	ExpiredRows *int64     `json:"expired_rows"`
}

// EachTenant calls visit with every tenant, ordered by key, and holds no more than Tenants in memory. If
// there are more, it counts again, for the same cutoffs: in between, rows may have come or gone. It
// visits none if Look has counted nothing.
func (v *Preview) EachTenant(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, visit func(TenantPreview) error) error {
	var tenants int64
	for _, n := range v.TenantStates {
		tenants += n
	}
	if int64(len(v.Tenants)) == tenants {
		for _, t := range v.Tenants {
			if err := visit(t); err != nil {
				return err
			}
		}
		return nil
	}
	l := &previewer{plan: p, view: v, estimate: v.Estimated, scope: v.scope}
	s := l.eachSQL()
	err := pg.ReadOnly(ctx, pool, p.ReadingPath(), 0, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, s.String(), s.Args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var t TenantPreview
			if err := rows.Scan(&t.Key, &t.Retention, &t.Cutoff, &t.State, &t.Floored, &t.ExpiredRows, nil); err != nil {
				return err
			}
			if err := visit(t); err != nil {
				return err
			}
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("listing the tenants of policy %s: %w", p.Policy.Name, err)
	}
	return nil
}

// probes reports whether the preview only learns which tenants have anything due, and not how much.
func (l *previewer) probes() bool { return l.estimate && !l.plan.Sweeps() }

// tenants counts the tenants of each state and their expired roots, and lists the first of them.
func (l *previewer) tenants(ctx context.Context) error {
	s := l.tenantsSQL()
	var states, tenants, cutoffs []byte
	if err := l.tx.QueryRow(ctx, s.String(), s.Args...).Scan(&states, &l.view.ExpiredRows, &l.latest, &cutoffs, &tenants); err != nil {
		return fmt.Errorf("counting expired rows: %w", err)
	}
	for from, to := range map[*[]byte]any{&states: &l.view.TenantStates, &cutoffs: &l.cutoffs, &tenants: &l.view.Tenants} {
		if err := json.Unmarshal(*from, to); err != nil {
			return fmt.Errorf("counting expired rows: %w", err)
		}
	}
	maps.DeleteFunc(l.view.TenantStates, func(_ string, n int64) bool { return n == 0 })
	return nil
}

// tenantsSQL returns the number of tenants of each state as JSON, their expired roots, the latest
// cutoff, the cutoffs of an estimate as JSON, and the first tenants as JSON. It reads the tenants
// twice, which takes less than keeping them.
func (l *previewer) tenantsSQL() *pg.Statement {
	p, s := l.plan, &pg.Statement{}
	limit := strconv.Itoa(max(firstTenants, len(l.scope.Only))) // all that a person has named
	s.Add("WITH reaper_d AS MATERIALIZED (\n  ", l.dueSQL(s), "),\nreaper_c AS (\n  SELECT count(*) FILTER (WHERE state = 'active') AS active, count(*) FILTER (WHERE state = 'held') AS held",
		", count(*) FILTER (WHERE state = 'forever') AS forever, count(*) FILTER (WHERE state = 'skipped') AS skipped, max(cutoff) FILTER (WHERE state = 'active') AS latest",
		"\n    FROM ", p.Tenants.Write(s, l.whole()), " reaper_s),\nreaper_m AS MATERIALIZED (SELECT * FROM reaper_d ORDER BY n DESC, key LIMIT ", limit,
		"),\nreaper_f AS (\n  ", l.listSQL(s, "reaper_m"))
	// A list can be hashed, and leaves few tenants to join.
	return s.Add("\n   WHERE reaper_s.state <> 'active' OR reaper_s.key::text IN (SELECT key FROM reaper_m) OR (SELECT active + held + forever + skipped FROM reaper_c) <= ", limit,
		"\n   ORDER BY CASE WHEN reaper_s.state = 'skipped' THEN 1 WHEN reaper_d.due THEN 2 WHEN reaper_s.state = 'held' THEN 3 WHEN reaper_s.state = 'forever' THEN 4 ELSE 5 END",
		", reaper_d.n DESC, reaper_s.key LIMIT ", limit, ")",
		"\nSELECT json_build_object('due', due, 'clear', active - due, 'held', held, 'forever', forever, 'skipped', skipped)::text, expired, latest, ", l.cutoffsSQL(),
		",\n       (SELECT coalesce(json_agg(json_build_object('key', key, 'retention', retention, 'cutoff', cutoff, 'state', state, 'floored', floored, 'expired_rows', expired_rows) ORDER BY own), '[]')",
		" FROM reaper_f)::text",
		"\n  FROM reaper_c, (SELECT count(*) AS due, coalesce(sum(n), 0)::bigint AS expired FROM reaper_d) reaper_x")
}

// dueSQL returns the tenants that have anything due, by the text of their key, and how much: NULL if
// that is not counted; then their cutoff stands there.
func (l *previewer) dueSQL(s *pg.Statement) string {
	if l.probes() {
		return "SELECT x.key, NULL::bigint AS n, true AS due, x.cutoff FROM (" + search.Due(l.plan, s.Inner(), l.scope).String() + ") x(key, cutoff)"
	}
	return "SELECT reaper_x.tenant::text AS key, count(*) AS n, true AS due FROM (" + search.ExpiredSQL(l.plan, s.Inner(), l.scope) + ") reaper_x GROUP BY reaper_x.tenant"
}

// cutoffsSQL returns the most frequent cutoffs that an estimate asks the planner about, and how many
// tenants with anything due have each.
func (l *previewer) cutoffsSQL() string {
	if !l.probes() {
		return "'[]'"
	}
	return "(SELECT coalesce(json_agg(x), '[]') FROM (SELECT cutoff, count(*) AS tenants FROM reaper_d GROUP BY cutoff ORDER BY 2 DESC, 1 LIMIT " + strconv.Itoa(estimatedCutoffs) + ") x)::text"
}

// eachSQL lists every tenant.
func (l *previewer) eachSQL() *pg.Statement {
	s := &pg.Statement{}
	return s.Add(l.listSQL(s, "("+l.dueSQL(s)+")"), "\n ORDER BY own")
}

// listSQL lists tenants beside what is due of them, and last their keys as they are.
func (l *previewer) listSQL(s *pg.Statement, due string) string {
	p, none := l.plan, "0"
	if l.probes() {
		none = "NULL"
	}
	same := "reaper_d.key = reaper_s.key::text"
	if p.NoTenant {
		same = "true"
	}
	cutoff := "CASE reaper_s.state WHEN 'active' THEN reaper_s.cutoff END"
	if p.Tenants.Grace != nil { // an earlier cutoff stands for none: all that is due is in its grace
		cutoff = "CASE WHEN reaper_s.state = 'active' AND reaper_s.cutoff >= '1900-01-01 00:00:00+00' THEN reaper_s.cutoff END"
	}
	return "SELECT reaper_s.key::text, CASE reaper_s.state WHEN 'forever' THEN 'forever' ELSE reaper_s.retention END AS retention" +
		", " + cutoff + " AS cutoff" +
		", CASE WHEN reaper_s.state <> 'active' THEN reaper_s.state WHEN reaper_d.due THEN 'due' ELSE 'clear' END AS state" +
		", reaper_s.floored, coalesce(reaper_d.n, " + none + ") AS expired_rows, reaper_s.key AS own" +
		"\n    FROM " + p.Tenants.Write(s, l.whole()) + " reaper_s LEFT JOIN " + due + " reaper_d ON " + same
}

// whole is the scope of a statement that reads the tenants and not their rows.
func (l *previewer) whole() expiry.Scope {
	sc := l.scope
	sc.Whole = len(sc.Only) == 0
	return sc
}
