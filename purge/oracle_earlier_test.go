package purge_test

import (
	"maps"
	"slices"
	"sync"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
)

// earlier runs something before the checked run: runs that are narrowed, stopped early, or
// concurrent. In the end the same rows must be deleted.
func (x *trial) earlier(before map[*genTable][]*genRow) {
	switch x.story = of(draw{x.t}, "earlier", "", "", "", "", "max rows", "tenants", "older than", "two at once"); x.story {
	case "max rows":
		bound := int64(draw{x.t}.upTo(1, 10, "max rows"))
		if report := x.run(purge.Options{MaxRows: bound}); report.Policies[0].Roots > bound {
			x.fail("%d roots went, and --max-rows was %d", report.Policies[0].Roots, bound)
		}
	case "tenants":
		x.onlyTenants(before)
	case "older than":
		x.olderThan(before)
	case "two at once":
		x.twoAtOnce()
	}
}

// onlyTenants purges some tenants.
func (x *trial) onlyTenants(before map[*genTable][]*genRow) {
	if x.c.tenants == nil {
		return
	}
	m := schemaMaker{draw: draw{x.t}}
	var keys, written []string
	for range m.upTo(1, 3, "tenants") {
		key := of(m.draw, "tenant", before[x.c.tenants]...).values[x.c.tenants.key[0]]
		keys = append(keys, key)
		if m.may("spellings", 40) {
			key = m.respell(x.c.tenants.kind, key)
		}
		written = append(written, key)
	}
	report := x.run(purge.Options{Tenants: written})
	want := newOracle(x.c, cloned(before), report.StartedAt)
	x.narrowed(want, func(r *genRow) bool { return slices.Contains(keys, r.owner) })
}

// olderThan purges rows older than the policy requires.
func (x *trial) olderThan(before map[*genTable][]*genRow) {
	length := of(draw{x.t}, "older than", "1y6mo", "30d", "1d", "1mo")
	d, err := policy.ParseDuration(length)
	if err != nil {
		x.fail("%v", err)
	}
	report := x.run(purge.Options{OlderThan: &d})
	want := newOracle(x.c, cloned(before), report.StartedAt)
	cutoff := lengths[length].before(want.start)
	x.narrowed(want, func(r *genRow) bool { return x.c.policy.older(r.values[x.c.policy.age], cutoff) })
}

// narrowed checks a run over some of the expired roots.
func (x *trial) narrowed(want *oracle, reaches func(*genRow) bool) {
	x.t.Helper()
	want.purge(slices.DeleteFunc(want.expired, func(r *genRow) bool { return !reaches(r) }))
	x.same("rows that a narrowed run leaves", want.left(), x.c.linesOf(x.dump()))
}

// twoAtOnce runs two purges concurrently. Each may have to leave rows to the other.
func (x *trial) twoAtOnce() {
	var wg sync.WaitGroup
	reports, errs := make([]*purge.Report, 2), make([]error, 2)
	plans := []*plan.Plan{x.plan, x.compiled()} // each run changes its own
	for i, r := range []purge.Runner{{Pool: x.pool, Ledger: x.ledger, Archive: x.archive}, {Pool: x.second, Ledger: x.ledger, Archive: x.archive}} {
		wg.Go(func() {
			reports[i], errs[i] = r.Run(x.ctx, plans[i:i+1], purge.Options{Trigger: "test"})
		})
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			x.fail("running two at once: %v", err)
		}
		if reports[i].Status == purge.Failed || reports[i].Policies[0].Tenants.Failed > 0 {
			x.fail("running two at once: %s", reports[i].Policies[0].Reason)
		}
	}
	x.reports = append(x.reports, reports...)
}

func cloned(rows map[*genTable][]*genRow) map[*genTable][]*genRow {
	clone := map[*genTable][]*genRow{}
	for t, list := range rows {
		for _, r := range list {
			clone[t] = append(clone[t], &genRow{table: t, values: maps.Clone(r.values)})
		}
	}
	return clone
}
