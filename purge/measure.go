package purge

import (
	"context"
	"fmt"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
)

// countTimeout bounds a count that is only told, never acted on.
const countTimeout = 5 * time.Second

// expiredSQL gives the roots that a purge would take now, kept ones left out:
// those of the scope where it names them, else those that anything keeps which is
// there.
func (p *Plan) expiredSQL(s *statement, sc scope) string {
	all := p.pastCutoffSQL(s, sc)
	switch {
	case !p.keeps():
		return all
	case sc.kept != nil:
		return "SELECT reaper_e.* FROM (" + all + ") reaper_e WHERE NOT EXISTS (SELECT FROM unnest(" + s.list(sc.kept.tables, "text") + ", " + s.list(sc.kept.ctids, "text") +
			") reaper_k(tab, tid) WHERE reaper_k.tab = reaper_e.tab AND reaper_k.tid = reaper_e.tid)"
	}
	return "WITH RECURSIVE reaper_e AS MATERIALIZED (" + all + ")" + p.keptSQL("reaper_e") +
		"\nSELECT * FROM reaper_e WHERE NOT EXISTS (SELECT FROM reaper_k WHERE reaper_k.node = 0 AND reaper_k.tab = reaper_e.tab AND reaper_k.tid = reaper_e.tid)"
}

// pastCutoffSQL gives all expired roots: tenant (its key), lag (an interval), tab
// and tid (where the row stands), r0, r1, … (its referenced columns), at (its age).
func (p *Plan) pastCutoffSQL(s *statement, sc scope) string {
	inner := s.inner()
	t := p.Root.Table
	a := col(t, p.age.column.Name)
	name := ident(t.Name.Name)
	refs := func(prefix string) string {
		return prefixed(len(p.Root.refs), func(i int) string { return fmt.Sprintf("%sr%d", prefix, i) })
	}
	inner.add("SELECT reaper_s.key AS tenant, reaper_s.cutoff - ", p.age.instant("reaper_r.age"), " AS lag, reaper_r.tab, reaper_r.tid", refs("reaper_r."), ", ", p.age.instant("reaper_r.age"), " AS at",
		"\n  FROM (SELECT ", a, " AS age, ", name, ".tableoid::text AS tab, ", name, ".ctid::text AS tid")
	for i, c := range cols(t, p.lead()) {
		inner.add(fmt.Sprintf(", %s AS l%d", c, i))
	}
	for i, c := range p.Root.refs {
		inner.add(fmt.Sprintf(", %s AS r%d", uncollated(t, c), i))
	}
	inner.add(" FROM ", from(t), " WHERE ", p.age.valid(a), parenthesized(p.where), ") reaper_r")
	p.ownedBy(inner, p.tenants.write(inner, sc)+" reaper_s", "reaper_r.l")
	inner.add("\n WHERE reaper_s.state = 'active' AND ", p.age.expired("reaper_r.age", "reaper_s.cutoff"))
	return inner.String()
}

// backlogSQL counts expired roots, finds the greatest lag in seconds, and counts
// the tenants that have any.
func (p *Plan) backlogSQL(sc scope, by string) *statement {
	return p.backlog(&statement{}, sc, by)
}

func (p *Plan) backlog(s *statement, sc scope, by string) *statement {
	s.add("SELECT ", by, "count(*), coalesce(extract(epoch FROM max(reaper_x.lag)), 0)::float8, count(DISTINCT reaper_x.tenant) FROM (", p.expiredSQL(s, sc), ") reaper_x")
	return s
}

// ownedBy joins rows, whose lead columns are named prefix0, prefix1, …, with
// their tenants.
func (p *Plan) ownedBy(s *statement, relation, prefix string) {
	switch {
	case p.noTenant:
		s.add("\n CROSS JOIN ", relation)
	case len(p.hops) == 0:
		s.add("\n  JOIN ", relation, " ON ", p.owner.findOurs("reaper_s.key", prefix+"0"))
	default:
		joins, _, key := p.pathJoin("")
		s.add("\n  JOIN ", p.bracketed(joins), " ON ", and(len(p.hops[0].to), func(i int) string {
			return p.hops[0].pairs[i].findOurs("reaper_p1."+ident(p.hops[0].to[i]), fmt.Sprintf("%s%d", prefix, i))
		}), "\n  JOIN ", relation, " ON ", p.owner.findOurs("reaper_s.key", key))
	}
}

// countDue counts the roots that are due; -1 when that takes too long.
func (w *work) countDue(ctx context.Context) int64 {
	rows, _, _, err := w.backlog(ctx)
	if err != nil {
		return -1
	}
	return rows
}

func (w *work) backlog(ctx context.Context) (rows int64, lag float64, tenants int64, err error) {
	s := w.plan.backlogSQL(w.scope(), "")
	err = readOne(ctx, w.run.pool, w.plan.readingPath(), countTimeout, s, scanOne(&rows, &lag, &tenants))
	return rows, lag, tenants, err
}

// measure settles lag and backlog at the end of a run. After a pass from the
// start that has found nothing they are known to be zero: what it found was
// kept.
func (w *work) measure(ctx context.Context) {
	var rows int64
	var lag float64
	found := w.state.found()
	if w.stopReason() != "" || found.left > 0 || found.busy || found.moved || w.report.Tenants.Failed > 0 {
		var err error
		if rows, lag, w.behind, err = w.backlog(ctx); err != nil {
			w.run.log.Info("backlog not measured", "policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
			return
		}
	}
	w.report.BacklogRows, w.report.LagSeconds = &rows, &lag
}

// sampleUnowned looks once a run whether most rows are out of its reach. A run that is
// to end does not wait for it.
func (w *work) sampleUnowned(ctx context.Context) {
	if w.run.halt.Err() != nil {
		return
	}
	var err error
	if w.report.Unowned, err = SampleUnowned(ctx, w.run.pool, w.plan); err != nil {
		w.run.log.Info("rows without a tenant not sampled", "policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
	}
}
