package search

import (
	"fmt"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// ExpiredSQL returns the roots that a purge would delete now, without kept ones: those listed in
// the scope, or else all that a keeping edge protects now.
func ExpiredSQL(p *plan.Plan, s *pg.Statement, sc expiry.Scope) string {
	all := PastCutoffSQL(p, s, sc)
	switch {
	case !p.Keeps():
		return all
	case sc.Kept != nil:
		return "SELECT reaper_e.* FROM (" + all + ") reaper_e WHERE NOT EXISTS (SELECT FROM unnest(" + s.Array(sc.Kept.Tables, "text") + ", " + s.Array(sc.Kept.CTIDs, "text") +
			") reaper_k(tab, tid) WHERE reaper_k.tab = reaper_e.tab AND reaper_k.tid = reaper_e.tid)"
	}
	return "WITH RECURSIVE reaper_e AS MATERIALIZED (" + all + ")" + keptSQL(p, "reaper_e") +
		"\nSELECT * FROM reaper_e WHERE NOT EXISTS (SELECT FROM reaper_k WHERE reaper_k.node = 0 AND reaper_k.tab = reaper_e.tab AND reaper_k.tid = reaper_e.tid)"
}

// PastCutoffSQL returns all expired roots: tenant (its key), lag (an interval), tab and tid (the
// location), r0, r1, … (referenced columns), at (the age).
func PastCutoffSQL(p *plan.Plan, s *pg.Statement, sc expiry.Scope) string {
	inner := s.Inner()
	t := p.Root.Table
	a := schema.Col(t, p.Age.Column.Name)
	name := pg.Ident(t.Name.Name)
	refs := func(prefix string) string {
		return pg.Prefixed(len(p.Root.Refs), func(i int) string { return fmt.Sprintf("%sr%d", prefix, i) })
	}
	inner.Add("SELECT reaper_s.key AS tenant, reaper_s.cutoff - ", p.Age.Instant("reaper_r.age"), " AS lag, reaper_r.tab, reaper_r.tid", refs("reaper_r."), ", ", p.Age.Instant("reaper_r.age"), " AS at",
		"\n  FROM (SELECT ", a, " AS age, ", name, ".tableoid::text AS tab, ", name, ".ctid::text AS tid")
	for i, c := range schema.Cols(t, p.Lead()) {
		inner.Add(fmt.Sprintf(", %s AS l%d", c, i))
	}
	for i, c := range p.Root.Refs {
		inner.Add(fmt.Sprintf(", %s AS r%d", schema.Uncollated(t, c), i))
	}
	inner.Add(" FROM ", schema.From(t), " WHERE ", p.Age.Valid(a), p.Sought(), ") reaper_r")
	inner.Add("\n  JOIN ", OwnerJoin(p, p.Tenants.Write(inner, sc)+" reaper_s", "reaper_s", "reaper_r.l"))
	inner.Add("\n WHERE reaper_s.state = 'active' AND ", p.Age.Expired("reaper_r.age", "reaper_s.cutoff"))
	return inner.String()
}

// BacklogSQL returns the number of expired roots, the greatest lag in seconds, and the number of
// tenants that have any.
func BacklogSQL(p *plan.Plan, sc expiry.Scope, by string) *pg.Statement {
	return Backlog(p, &pg.Statement{}, sc, by)
}

// Backlog adds BacklogSQL to another statement.
func Backlog(p *plan.Plan, s *pg.Statement, sc expiry.Scope, by string) *pg.Statement {
	s.Add("SELECT ", by, "count(*), coalesce(extract(epoch FROM max(reaper_x.lag)), 0)::float8, count(DISTINCT reaper_x.tenant) FROM (", ExpiredSQL(p, s, sc), ") reaper_x")
	return s
}

// OwnerJoin is what stands behind JOIN or LEFT JOIN to join rows, whose lead columns are
// named prefix0, prefix1, …, with a relation of their tenants, which has this alias.
func OwnerJoin(p *plan.Plan, relation, alias, prefix string) string {
	switch {
	case p.NoTenant:
		return relation + " ON true"
	case len(p.Hops) == 0:
		return relation + " ON " + p.Owner.FindOurs(alias+".key", prefix+"0")
	}
	joins, _, key := p.PathJoin("")
	return "(" + joins + " JOIN " + relation + " ON " + p.Owner.FindOurs(alias+".key", key) + ") ON " + pg.And(len(p.Hops[0].To), func(i int) string {
		return p.Hops[0].Pairs[i].FindOurs("reaper_p1."+pg.Ident(p.Hops[0].To[i]), fmt.Sprintf("%s%d", prefix, i))
	})
}
