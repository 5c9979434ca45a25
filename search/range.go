package search

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// Range is all expired roots of a tenant within a part of the ages: nobody has read their keys.
type Range struct {
	From     Cursor // as in Window
	Until    string // as in Window
	PerGroup int    // more rows than were read of any group to count the roots
}

// HasRanges reports whether the roots of a tenant can be found by a range of ages alone.
func HasRanges(p *plan.Plan) bool {
	return !p.NoTenant && len(p.Lead()) == 1 && (len(p.Hops) == 0 || p.LeadPairs()[0].HasAny())
}

// CountStepSQL counts the expired rows of many tenants within a window, each with what it is about
// to delete: (ordinal of the tenant from 1, rows, their size, the most rows read of one of its
// groups, NULL, NULL). The row of ordinal 0 is (0, 1 if older rows may follow, NULL, NULL, the age
// that no row has reached, the same in microseconds since 1970).
func CountStepSQL(p *plan.Plan, tenants []*plan.TenantCutoff, w Window) *pg.Statement {
	s := &pg.Statement{}
	_, cutoffs := plan.TenantLists(tenants)
	groups, lead := groupsOf(p, "reaper_t.key::"+p.Tenants.Key.SQLType)
	s.Add("SELECT reaper_t.n::int, sum(reaper_x.meant)::bigint, coalesce(sum(reaper_x.size), 0)::bigint, max(reaper_x.read)::bigint, NULL, NULL",
		"\n    FROM ", plan.TenantRows(s, tenants), groups,
		"\n   CROSS JOIN LATERAL (SELECT count(*) AS read, count(*) FILTER (WHERE meant) AS meant, sum(size) FILTER (WHERE meant) AS size FROM (SELECT ",
		meantSQL(p, "reaper_t.cutoff"), " AS meant, ", sizeOf(p), " AS size\n    FROM ", schema.From(p.Root.Table), "\n   WHERE ",
		strings.Join(stepConditions(p, s, w, lead), "\n     AND "), "\n   ORDER BY ", schema.Col(p.Root.Table, p.Age.Column.Name), " LIMIT ", s.Cast(w.PerGroup, "bigint"), ") reaper_q) reaper_x\n   GROUP BY reaper_t.n")
	if w.Until == "" {
		return s.Add("\nUNION ALL SELECT 0, 0, NULL, NULL, NULL, NULL")
	}
	until := s.Cast(w.Until, "timestamptz")
	bound := p.Age.Bound(until)
	return s.Add("\nUNION ALL SELECT 0, (", until, " < max(c))::int, NULL, NULL, (", bound, ")::text, ", microseconds(p, "("+bound+")"), " FROM unnest(", s.Cast(cutoffs, "timestamptz[]"), ") c")
}

// DeleteRangeSQL deletes the roots of a range. s is a new statement.
func DeleteRangeSQL(p *plan.Plan, s *pg.Statement, sc expiry.Scope, w *plan.TenantCutoff, r *Range) *pg.Statement {
	return rangeSQL(p, s, sc, w, r, "DELETE FROM ")
}

// CountRangeSQL counts the roots of a range that are still expired.
func CountRangeSQL(p *plan.Plan, sc expiry.Scope, w *plan.TenantCutoff, r *Range) *pg.Statement {
	return rangeSQL(p, &pg.Statement{}, sc, w, r, "SELECT count(*) FROM ")
}

// rangeSQL repeats every condition, as rootsSQL does.
func rangeSQL(p *plan.Plan, s *pg.Statement, sc expiry.Scope, w *plan.TenantCutoff, r *Range, verb string) *pg.Statement {
	cut := ""
	if sc.Given == "" {
		s.Add("WITH ")
		p.CutoffCTE(s, sc, w)
		s.Add("\n")
		cut = p.AgeCondition("reaper_cut")
	} else {
		cut = p.OwnedBefore(sc.Given, s.Cast(*w.Key, p.Tenants.Key.SQLType))
	}
	conditions := append([]string{ofTenant(p, s, w)}, within(p, s, Window{From: r.From, Until: r.Until})...)
	conditions = append(conditions, schema.Col(p.Root.Table, p.Age.Column.Name)+" < "+p.Age.Bound(s.Cast(w.Cutoff, "timestamptz")))
	found := strings.Join(conditions, " AND ")
	return s.Add(verb, schema.From(p.Root.Table), "\n WHERE ", found, "\n   AND ", cut, p.WhereAfter(sc, found))
}

// OwnedRange selects, and locks, the expired roots of many tenants within a range (reaper_q), each
// with the ordinal of its tenant (reaper_t.n), by the cutoffs of CutoffsCTE.
func OwnedRange(p *plan.Plan, s *pg.Statement, sc expiry.Scope, tenants []*plan.TenantCutoff, r *Range, selected string) string {
	keys, _ := plan.TenantLists(tenants)
	t := p.Root.Table
	groups, lead := groupsOf(p, "reaper_t.key::"+p.Tenants.Key.SQLType)
	conditions := append(leadConditions(p, lead), within(p, s, Window{From: r.From, Until: r.Until})...)
	conditions = append(conditions, p.Age.Expired(schema.Col(t, p.Age.Column.Name), plan.CutoffOf("reaper_t.n")))
	found := strings.Join(conditions, "\n     AND ")
	return "unnest(" + s.Cast(keys, "text[]") + ") WITH ORDINALITY reaper_t(key, n)" + groups +
		"\n CROSS JOIN LATERAL (SELECT " + selected + "\n    FROM " + schema.From(t) + "\n   WHERE " + found + p.WhereAfter(sc, found) +
		"\n     FOR UPDATE OF " + pg.Ident(t.Name.Name) + " SKIP LOCKED) reaper_q"
}

// ofTenant finds the rows of a tenant by the index that leads to their ages.
func ofTenant(p *plan.Plan, s *pg.Statement, w *plan.TenantCutoff) string {
	key := p.Owner.Value(s, w.Key)
	if len(p.Hops) == 0 {
		return leadConditions(p, func(int) string { return key })[0]
	}
	joins, _, last := p.PathJoin("")
	return p.LeadPairs()[0].Any(schema.Col(p.Root.Table, p.Lead()[0]), "reaper_p1."+pg.Ident(p.Hops[0].To[0]), " FROM "+joins+" WHERE "+p.Owner.FindTheirs(key, last))
}

// within are the conditions that a row lies in a window.
func within(p *plan.Plan, s *pg.Statement, w Window) (conditions []string) {
	a := schema.Col(p.Root.Table, p.Age.Column.Name)
	if w.From.Set {
		from := s.Cast(w.From.Age, p.Age.Column.SQLType)
		conditions = append(conditions, a+" >= "+from)
		if w.From.Key != nil {
			place := []string{from}
			for i, k := range p.Key {
				place = append(place, s.Cast(w.From.Key[i], k.SQLType))
			}
			conditions = append(conditions, schema.After(append([]string{a}, schema.Cols(p.Root.Table, plan.ColumnNames(p.Key))...), append([]*schema.Order{nil}, p.KeyOrders...), place))
		}
	}
	if w.Until != "" {
		conditions = append(conditions, a+" < "+p.Age.Bound(s.Cast(w.Until, "timestamptz")))
	}
	return conditions
}

// microseconds is an age in microseconds since 1970, as text.
func microseconds(p *plan.Plan, age string) string {
	return fmt.Sprintf("(extract(epoch FROM %s) * 1000000)::bigint::text", p.Age.Instant(age))
}
