package expiry

import (
	"fmt"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
)

// OriginSQL returns where the retention and the hold of a tenant come from, by its key (nil: a policy
// without tenants): the ordinal, from 1, of its override in Overrides (NULL: it has none), that of the
// first of Sources with a value (NULL: none has), and for each of Holds whether it is true.
func (t *Tenants) OriginSQL(key *string) *pg.Statement {
	s := &pg.Statement{}
	all := *t // the relation gives sources one by one, but holds as one
	all.Sources, all.Holds = append([]Source{}, t.Sources...), nil
	for _, h := range t.Holds {
		all.Sources = append(all.Sources, Source{SQL: h})
	}
	var extra func(string) string
	override := "NULL::bigint"
	if key != nil {
		extra = t.only(s, []string{*key})
		override = t.overrideOrdinal(s)
	}
	held := pg.List(len(t.Holds), func(i int) string { return fmt.Sprintf("coalesce(t.r%d, false)", len(t.Sources)+i) })
	return s.Add("SELECT ", override, ", ", t.sourceOrdinal(), ", ARRAY[", held, "]::bool[] FROM (", all.Relation(extra), ") t")
}

// overrideOrdinal is the ordinal of the override of a tenant t.
func (t *Tenants) overrideOrdinal(s *pg.Statement) string {
	if len(t.Overrides) == 0 {
		return "NULL::bigint"
	}
	keys := make([]string, len(t.Overrides))
	for i, o := range t.Overrides {
		keys[i] = o.Key
	}
	return "(SELECT o.n FROM unnest(" + s.Cast(keys, pg.TextType+"[]") + ") WITH ORDINALITY o(key, n) WHERE " +
		t.Same.FindTheirs("o.key::"+t.Key.SQLType, "t.key") + " ORDER BY o.n LIMIT 1)"
}

// sourceOrdinal is the ordinal of the first source with a value for a tenant t.
func (t *Tenants) sourceOrdinal() string {
	var b strings.Builder
	for i, s := range t.Sources {
		if s.Constant != nil {
			fmt.Fprintf(&b, " WHEN true THEN %d", i+1)
			break
		}
		fmt.Fprintf(&b, " WHEN t.r%d IS NOT NULL THEN %d", i, i+1)
	}
	if b.Len() == 0 {
		return "NULL::int"
	}
	return "CASE" + b.String() + " END"
}

// DueBy is the instant from which on a row is older than a retention: the first before which the
// retention, taken from the time by PostgreSQL's calendar in UTC, does not lie behind the row's. at
// is SQL of type timestamptz, length of type interval, which must not be infinite; NULL gives NULL.
//
// Days and times add up as they are taken off. Months do not: a month before the last days of March
// is the last day of February, so that a row of January 31 is older than a month on March 1, and not
// on February 28.
func DueBy(at, length string) string {
	return "(SELECT CASE WHEN reaper_b - reaper_m = reaper_t THEN reaper_b ELSE date_trunc('month', reaper_b) + interval '1 month' END" +
		" FROM (SELECT reaper_t, reaper_m, reaper_t + reaper_m AS reaper_b" +
		" FROM (SELECT " + at + " + (reaper_l - reaper_m) AS reaper_t, reaper_m" +
		" FROM (SELECT reaper_l, make_interval(months => (12 * date_part('year', reaper_l) + date_part('month', reaper_l))::int) AS reaper_m" +
		" FROM (SELECT " + length + " AS reaper_l) reaper_d0) reaper_d1) reaper_d2) reaper_d3)"
}

// GraceDue is the instant from which on grace no longer keeps a row of a tenant, by SQL expressions
// of the tenant's key, the row's time (timestamptz) and the run's start. What was not seen by a run
// yet is taken as if one saw it then. There must be a Grace.
func (t *Tenants) GraceDue(key, at, base string) string {
	ends := "CASE reaper_g.ends_at WHEN 'infinity' THEN " + base + " + " + Interval(t.Grace.Length) + " ELSE reaper_g.ends_at END"
	return fmt.Sprintf("(SELECT CASE WHEN count(*) = 0 THEN %s + %s ELSE max(least(%s, %s)) END FROM %s reaper_g WHERE %s AND reaper_g.ends_at > %s)",
		base, Interval(t.Grace.Length), ends, DueBy(at, "reaper_g.had"), t.Grace.Table, t.recorded(key), base)
}
