package plan

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// Window is the part of the ages that one step of a cohort reads.
type Window struct {
	From     string // the age, as text, at which it begins; empty: at the oldest row
	Until    string // timestamptz as text: it ends there at the latest; empty: at the cutoffs
	PerGroup int    // rows of each group
	Roots    int    // over all
	Bytes    int64  // of them
}

// StepSQL reads the oldest expired rows of many tenants, all within one window of ages. The
// window ends earlier where a group has more rows than are read of it, or all together are
// too many. The first row is (0, end of the window as text, or NULL where nothing is
// beyond it; the same and the oldest age read, in microseconds since 1970; NULL…), the
// others (ordinal of the tenant from 1, size, NULL, NULL, key…).
func (p *Plan) StepSQL(tenants []*TenantCutoff, w Window) *pg.Statement {
	s := &pg.Statement{}
	var keys, cutoffs []*string
	for _, t := range tenants {
		keys, cutoffs = append(keys, t.Key), append(cutoffs, &t.Cutoff)
	}
	groups, lead := p.groupsOf("reaper_t.key::" + p.Tenants.Key.SQLType)
	s.Add("WITH reaper_x AS MATERIALIZED (\n  SELECT reaper_t.n, reaper_x.*\n    FROM unnest(", s.Cast(keys, "text[]"), ", ", s.Cast(cutoffs, "timestamptz[]"), ") WITH ORDINALITY reaper_t(key, cutoff, n)", groups)
	s.Add("\n   CROSS JOIN LATERAL (SELECT row_number() OVER () AS i, reaper_q.* FROM (", p.stepRows(s, w, lead), ") reaper_q) reaper_x),",
		"\nreaper_y AS (SELECT *, row_number() OVER (ORDER BY age) AS r, sum(size) OVER (ORDER BY age) AS bytes FROM reaper_x),",
		"\nreaper_u AS (SELECT ", p.stepEnd(s, w, cutoffs), " AS until, min(age) AS first FROM reaper_y)")
	micros := func(age string) string {
		return "(extract(epoch FROM " + p.Age.Instant(age) + ") * 1000000)::bigint::text"
	}
	names := func(format string) string {
		return pg.List(len(p.Key), func(i int) string { return fmt.Sprintf(format, i) })
	}
	return s.Add("\nSELECT 0, until::text, ", micros("until"), ", ", micros("first"), ", ", pg.List(len(p.Key), func(int) string { return "NULL" }), " FROM reaper_u",
		"\nUNION ALL SELECT n, size::text, NULL, NULL, ", names("k%d::text"), " FROM reaper_y WHERE meant AND coalesce(age < (SELECT until FROM reaper_u), true)")
}

// stepRows reads the rows of one group.
func (p *Plan) stepRows(s *pg.Statement, w Window, lead func(int) string) string {
	t := p.Root.Table
	a := schema.Col(t, p.Age.Column.Name)
	var conditions []string
	for i, x := range p.leadPairs() {
		conditions = append(conditions, x.FindTheirs(lead(i), schema.Col(t, p.Lead()[i])))
	}
	conditions = append(conditions, p.Age.Valid(a), a+" < "+p.Age.Bound("reaper_t.cutoff"))
	if w.From != "" {
		conditions = append(conditions, a+" >= "+s.Cast(w.From, p.Age.Column.SQLType))
	}
	if w.Until != "" {
		conditions = append(conditions, a+" < "+p.Age.Bound(s.Cast(w.Until, "timestamptz")))
	}
	if p.whereLeads && p.Where != "" {
		conditions = append(conditions, "("+p.Where+"\n)")
	}
	var columns strings.Builder
	for i, c := range schema.Cols(t, ColumnNames(p.Key)) {
		fmt.Fprintf(&columns, ", %s AS k%d", c, i)
	}
	return "SELECT " + a + " AS age, " + p.meantSQL("reaper_t.cutoff") + " AS meant, " + p.sizeOf() + " AS size" + columns.String() +
		"\n    FROM " + schema.From(t) + "\n   WHERE " + strings.Join(conditions, "\n     AND ") + "\n   ORDER BY " + a + " LIMIT " + s.Cast(w.PerGroup, "bigint")
}

// stepEnd is where the window ends; NULL: every expired row is in it.
func (p *Plan) stepEnd(s *pg.Statement, w Window, cutoffs []*string) string {
	end := "min(age) FILTER (WHERE i = " + s.Cast(w.PerGroup, "bigint") + " OR r > " + s.Cast(w.Roots, "bigint") + " OR bytes > " + s.Cast(w.Bytes, "bigint") + ")"
	if w.Until == "" {
		return end
	}
	until := s.Cast(w.Until, "timestamptz")
	return "least(" + end + ", CASE WHEN " + until + " < (SELECT max(c) FROM unnest(" + s.Cast(cutoffs, "timestamptz[]") + ") c) THEN " + p.Age.Bound(until) + " END)"
}
