package search

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// Window is the part of the rows, in the order of age and key, that one step of a cohort reads.
type Window struct {
	From     Cursor // it begins there; the zero Cursor: at the oldest row. Key is of p.Key
	Until    string // timestamptz as text: no row is younger; empty: the cutoffs bound it
	PerGroup int    // rows of each group at most
	Roots    int    // over all
	Bytes    int64  // of them
}

// StepSQL reads the oldest expired rows of many tenants within a window. It stops at the row
// behind which a group was not read on, or which fills the window. The first row is (0, age,
// the same and the oldest age read in microseconds since 1970, key…): where it stopped. NULL
// for the key: at that age; for the age too: every expired row was read. The others are
// (ordinal of the tenant from 1, size, NULL, NULL, key…).
func StepSQL(p *plan.Plan, tenants []*plan.TenantCutoff, w Window) *pg.Statement {
	s := &pg.Statement{}
	_, cutoffs := plan.TenantLists(tenants)
	names := func(format string) string {
		return pg.List(len(p.Key), func(i int) string { return fmt.Sprintf(format, i) })
	}
	groups, lead := groupsOf(p, "reaper_t.key::"+p.Tenants.Key.SQLType)
	s.Add("WITH reaper_x AS MATERIALIZED (\n  SELECT reaper_t.n, reaper_x.*\n    FROM ", plan.TenantRows(s, tenants), groups,
		"\n   CROSS JOIN LATERAL (SELECT row_number() OVER () AS i, reaper_q.* FROM (", stepRows(p, s, w, lead), ") reaper_q) reaper_x),",
		"\nreaper_y AS (SELECT *, row_number() OVER reaper_o AS r, sum(size) OVER (reaper_o ROWS UNBOUNDED PRECEDING) + lead(size) OVER reaper_o AS bytes FROM reaper_x WINDOW reaper_o AS (ORDER BY age, ", names("k%d"), ")),",
		"\nreaper_u AS (SELECT min(r) FILTER (WHERE i = ", s.Cast(w.PerGroup, "bigint"), " OR r = ", s.Cast(w.Roots, "bigint"), " OR bytes > ", s.Cast(w.Bytes, "bigint"), ") AS stop, min(age) AS first FROM reaper_y)")
	return s.Add("\nSELECT 0, e.age::text, ", microseconds(p, "e.age"), ", ", microseconds(p, "first"), ", ", names("e.k%d::text"), "\n  FROM reaper_u LEFT JOIN (SELECT r, age, ", names("k%d"), " FROM reaper_y", stepEnd(p, s, w, cutoffs), ") e ON e.r IS NOT DISTINCT FROM stop",
		"\nUNION ALL SELECT n, size::text, NULL, NULL, ", names("k%d::text"), " FROM reaper_y WHERE meant AND r <= coalesce((SELECT stop FROM reaper_u), r)")
}

// stepRows reads the rows of one group.
func stepRows(p *plan.Plan, s *pg.Statement, w Window, lead func(int) string) string {
	t := p.Root.Table
	a := schema.Col(t, p.Age.Column.Name)
	keys := schema.Cols(t, plan.ColumnNames(p.Key))
	var columns strings.Builder
	for i, c := range keys {
		fmt.Fprintf(&columns, ", %s AS k%d", c, i)
	}
	return "SELECT " + a + " AS age, " + meantSQL(p, "reaper_t.cutoff") + " AS meant, " + sizeOf(p) + " AS size" + columns.String() +
		"\n    FROM " + schema.From(t) + "\n   WHERE " + strings.Join(stepConditions(p, s, w, lead), "\n     AND ") + "\n   ORDER BY " + strings.Join(append([]string{a}, keys...), ", ") + " LIMIT " + s.Cast(w.PerGroup, "bigint")
}

// stepConditions are those of the rows of one group.
func stepConditions(p *plan.Plan, s *pg.Statement, w Window, lead func(int) string) []string {
	a := schema.Col(p.Root.Table, p.Age.Column.Name)
	conditions := append(leadConditions(p, lead), p.Age.Valid(a), a+" < "+p.Age.Bound("reaper_t.cutoff"))
	conditions = append(conditions, within(p, s, w)...)
	if p.WhereLeads && p.Where != "" {
		conditions = append(conditions, "("+p.Where+"\n)")
	}
	return conditions
}

// stepEnd is the end of a window that nothing has filled: the age that no row is younger
// than, unless the cutoffs come before it.
func stepEnd(p *plan.Plan, s *pg.Statement, w Window, cutoffs []*string) string {
	if w.Until == "" {
		return ""
	}
	until := s.Cast(w.Until, "timestamptz")
	return " UNION ALL SELECT NULL, " + p.Age.Bound(until) + ", " + pg.List(len(p.Key), func(i int) string { return "NULL::" + p.Key[i].SQLType }) +
		" WHERE " + until + " < (SELECT max(c) FROM unnest(" + s.Cast(cutoffs, "timestamptz[]") + ") c)"
}
