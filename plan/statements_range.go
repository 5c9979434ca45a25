package plan

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// Range is all expired roots of a tenant within a part of the ages: nobody has read their keys.
type Range struct {
	From     Cursor // as in Window
	Until    string // as in Window
	PerGroup int    // more rows than were read of any group to count the roots
}

// HasRanges reports whether the roots of a tenant can be found by a range of ages alone.
func (p *Plan) HasRanges() bool {
	return !p.NoTenant && len(p.Lead()) == 1 && (len(p.Hops) == 0 || p.leadPairs()[0].HasAny())
}

// CountStepSQL counts the expired rows of many tenants within a window, each with what it is about
// to delete: (ordinal of the tenant from 1, rows, their size, the most rows read of one of its
// groups, NULL, NULL). The row of ordinal 0 is (0, 1 if older rows may follow, NULL, NULL, the age
// that no row has reached, the same in microseconds since 1970).
func (p *Plan) CountStepSQL(tenants []*TenantCutoff, w Window) *pg.Statement {
	s := &pg.Statement{}
	_, cutoffs := tenantLists(tenants)
	groups, lead := p.groupsOf("reaper_t.key::" + p.Tenants.Key.SQLType)
	s.Add("SELECT reaper_t.n::int, sum(reaper_x.meant)::bigint, coalesce(sum(reaper_x.size), 0)::bigint, max(reaper_x.read)::bigint, NULL, NULL",
		"\n    FROM ", tenantRows(s, tenants), groups,
		"\n   CROSS JOIN LATERAL (SELECT count(*) AS read, count(*) FILTER (WHERE meant) AS meant, sum(size) FILTER (WHERE meant) AS size FROM (SELECT ",
		p.meantSQL("reaper_t.cutoff"), " AS meant, ", p.sizeOf(), " AS size\n    FROM ", schema.From(p.Root.Table), "\n   WHERE ",
		strings.Join(p.stepConditions(s, w, lead), "\n     AND "), "\n   ORDER BY ", schema.Col(p.Root.Table, p.Age.Column.Name), " LIMIT ", s.Cast(w.PerGroup, "bigint"), ") reaper_q) reaper_x\n   GROUP BY reaper_t.n")
	if w.Until == "" {
		return s.Add("\nUNION ALL SELECT 0, 0, NULL, NULL, NULL, NULL")
	}
	until := s.Cast(w.Until, "timestamptz")
	bound := p.Age.Bound(until)
	return s.Add("\nUNION ALL SELECT 0, (", until, " < max(c))::int, NULL, NULL, (", bound, ")::text, ", p.microseconds("("+bound+")"), " FROM unnest(", s.Cast(cutoffs, "timestamptz[]"), ") c")
}

// DeleteRangeSQL deletes the roots of a range. s is a new statement.
func (p *Plan) DeleteRangeSQL(s *pg.Statement, sc expiry.Scope, w *TenantCutoff, r *Range) *pg.Statement {
	return p.rangeSQL(s, sc, w, r, "DELETE FROM ")
}

// CountRangeSQL counts the roots of a range that are still expired.
func (p *Plan) CountRangeSQL(sc expiry.Scope, w *TenantCutoff, r *Range) *pg.Statement {
	return p.rangeSQL(&pg.Statement{}, sc, w, r, "SELECT count(*) FROM ")
}

// rangeSQL repeats every condition, as rootsSQL does.
func (p *Plan) rangeSQL(s *pg.Statement, sc expiry.Scope, w *TenantCutoff, r *Range, verb string) *pg.Statement {
	s.Add("WITH ")
	p.CutoffCTE(s, sc, w)
	conditions := append([]string{p.ofTenant(s, w)}, p.within(s, Window{From: r.From, Until: r.Until})...)
	conditions = append(conditions, schema.Col(p.Root.Table, p.Age.Column.Name)+" < "+p.Age.Bound(s.Cast(w.Cutoff, "timestamptz")))
	found := strings.Join(conditions, " AND ")
	return s.Add("\n", verb, schema.From(p.Root.Table), "\n WHERE ", found, "\n   AND ", p.ageCondition("reaper_cut"), p.whereAfter(sc, found))
}

// OwnedRange selects, and locks, the expired roots of many tenants within a range (reaper_q), each
// with the ordinal of its tenant (reaper_t.n), by the cutoffs of CutoffsCTE.
func (p *Plan) OwnedRange(s *pg.Statement, sc expiry.Scope, tenants []*TenantCutoff, r *Range, selected string) string {
	keys, _ := tenantLists(tenants)
	t := p.Root.Table
	groups, lead := p.groupsOf("reaper_t.key::" + p.Tenants.Key.SQLType)
	conditions := append(p.leadConditions(lead), p.within(s, Window{From: r.From, Until: r.Until})...)
	conditions = append(conditions, p.Age.Expired(schema.Col(t, p.Age.Column.Name), CutoffOf("reaper_t.n")))
	found := strings.Join(conditions, "\n     AND ")
	return "unnest(" + s.Cast(keys, "text[]") + ") WITH ORDINALITY reaper_t(key, n)" + groups +
		"\n CROSS JOIN LATERAL (SELECT " + selected + "\n    FROM " + schema.From(t) + "\n   WHERE " + found + p.whereAfter(sc, found) +
		"\n     FOR UPDATE OF " + pg.Ident(t.Name.Name) + " SKIP LOCKED) reaper_q"
}

// whereAfter is Qualifies for rows that satisfy another condition: where it has raised an error,
// it is evaluated only for those.
func (p *Plan) whereAfter(sc expiry.Scope, found string) string {
	if !sc.WhereFailed || p.Where == "" {
		return p.Qualifies()
	}
	return " AND CASE WHEN " + found + " THEN (" + p.Where + "\n) ELSE false END" + p.unlessRootHeld()
}

// ofTenant finds the rows of a tenant by the index that leads to their ages.
func (p *Plan) ofTenant(s *pg.Statement, w *TenantCutoff) string {
	key := p.Owner.Value(s, w.Key)
	if len(p.Hops) == 0 {
		return p.leadConditions(func(int) string { return key })[0]
	}
	joins, _, last := p.PathJoin("")
	return p.leadPairs()[0].Any(schema.Col(p.Root.Table, p.Lead()[0]), "reaper_p1."+pg.Ident(p.Hops[0].To[0]), " FROM "+joins+" WHERE "+p.Owner.FindTheirs(key, last))
}

// within are the conditions that a row lies in a window.
func (p *Plan) within(s *pg.Statement, w Window) (conditions []string) {
	a := schema.Col(p.Root.Table, p.Age.Column.Name)
	if w.From.Set {
		from := s.Cast(w.From.Age, p.Age.Column.SQLType)
		conditions = append(conditions, a+" >= "+from)
		if w.From.Key != nil {
			place := []string{from}
			for i, k := range p.Key {
				place = append(place, s.Cast(w.From.Key[i], k.SQLType))
			}
			conditions = append(conditions, schema.After(append([]string{a}, schema.Cols(p.Root.Table, ColumnNames(p.Key))...), append([]*schema.Order{nil}, p.KeyOrders...), place))
		}
	}
	if w.Until != "" {
		conditions = append(conditions, a+" < "+p.Age.Bound(s.Cast(w.Until, "timestamptz")))
	}
	return conditions
}

// microseconds is an age in microseconds since 1970, as text.
func (p *Plan) microseconds(age string) string {
	return fmt.Sprintf("(extract(epoch FROM %s) * 1000000)::bigint::text", p.Age.Instant(age))
}

// tenantRows is a relation of tenants with their cutoffs and ordinals, from 1.
func tenantRows(s *pg.Statement, tenants []*TenantCutoff) string {
	keys, cutoffs := tenantLists(tenants)
	return "unnest(" + s.Cast(keys, "text[]") + ", " + s.Cast(cutoffs, "timestamptz[]") + ") WITH ORDINALITY reaper_t(key, cutoff, n)"
}

// tenantKeys are the keys of tenants that have one.
func tenantKeys(tenants []*TenantCutoff) (keys []string) {
	for _, t := range tenants {
		keys = append(keys, *t.Key)
	}
	return keys
}

// tenantLists are the keys and the cutoffs of tenants.
func tenantLists(tenants []*TenantCutoff) (keys, cutoffs []*string) {
	for _, t := range tenants {
		keys, cutoffs = append(keys, t.Key), append(cutoffs, &t.Cutoff)
	}
	return keys, cutoffs
}
