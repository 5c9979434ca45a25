package metrics_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/reaperdb/reaper/metrics"
)

// manyPolicies are so many, each of a table of its own.
func manyPolicies(n int) (all []metrics.Policy) {
	for i := range n {
		name := fmt.Sprintf("policy-%03d", i)
		all = append(all, metrics.Policy{Name: name, Tables: []string{"public." + name}, MaxLag: time.Hour, Interval: time.Hour})
	}
	return all
}

// busy is a leader all of whose policies have run and have something due, with every
// series that the program has then.
func busy(policies []metrics.Policy) bed {
	b := newBed(policies...)
	b.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	b.reg.MustRegister(metrics.Pool(func() metrics.PoolStats { return metrics.PoolStats{} }))
	b.SetLeader(true)
	b.SetDatabaseSize(1 << 40)
	b.SetDatabaseName("mail")
	b.ConfigLoaded(at)
	b.HeartbeatSent("success", at)
	b.SetStorage(metrics.Storage{Limit: new(int64(1 << 41)), Used: new(int64(1 << 40)), Growth: new(1024.0), FullAt: new(at)})
	var tables []metrics.Table
	for _, p := range policies {
		tables = append(tables, metrics.Table{Name: p.Tables[0], Bytes: 1 << 30, DeadRows: 7})
		b.LagScanned(p.Name, metrics.Scan{At: at, Oldest: at.Add(-48 * time.Hour), Lag: time.Hour, Rows: 5, OverdueTenants: 2})
		b.SetBalance(p.Name, metrics.Balance{Arrival: new(12.0), Deletion: new(10.0), Clear: new(3600.0)})
		b.SetNextRun(p.Name, at.Add(time.Hour))
		b.RunStarted(p.Name)
		b.BatchDone(p.Name, 150*time.Millisecond)
		b.RowsDeleted(p.Name, p.Tables[0], 1000)
		b.RunEnded(metrics.Run{Policy: p.Name, Trigger: "schedule", Status: "complete", EndedAt: at, Took: time.Minute, Success: true})
	}
	b.SetTables(tables)
	var guards []metrics.Guard
	for i := range 15 { // as many as reaper has, and some of the file's own
		guards = append(guards, metrics.Guard{Name: fmt.Sprintf("guard_%d", i), State: "pause", Value: new(42.0), Since: at})
	}
	b.SetGuards(guards)
	return b
}

// lines are the series of a scrape.
func (b bed) lines(t *testing.T) (n int) {
	t.Helper()
	for line := range strings.Lines(b.scrape(t)) {
		if !strings.HasPrefix(line, "#") {
			n++
		}
	}
	return n
}

// 200 policies had 13,351 series, 6,000 of them of histograms.
func TestManyPolicies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ policies, most int }{{50, 4000}, {51, 1500}, {200, 5000}} {
		n := busy(manyPolicies(c.policies)).lines(t)
		t.Logf("%d policies: %d series", c.policies, n)
		if n > c.most {
			t.Errorf("%d policies have %d series after a run of each, want %d at most", c.policies, n, c.most)
		}
	}
}

// With many policies the histograms are those of all of them, and the other counts are
// each policy's own.
func TestManyPolicies_Counts(t *testing.T) {
	t.Parallel()
	b := busy(manyPolicies(51))
	b.is(t, "reaper_batch_duration_seconds_count", `{policy=""} 51`)
	b.is(t, "reaper_run_duration_seconds_count", `{policy=""} 51`)
	b.BatchRetried("policy-007", "deadlock")
	b.RunEnded(metrics.Run{Policy: "policy-007", Trigger: "catch_up", Status: "failed", EndedAt: at})
	for name, want := range map[string][]string{
		"reaper_batches_total": {`{outcome="committed",policy="policy-007"} 1`, `{outcome="retried",policy="policy-007"} 1`},
		"reaper_runs_total":    {`{policy="policy-007",status="complete",trigger="schedule"} 1`, `{policy="policy-007",status="failed",trigger="catch_up"} 1`},
	} {
		var got []string
		for _, s := range b.series(t, name) {
			if strings.Contains(s, "policy-007") {
				got = append(got, s)
			}
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// A reload that makes few policies many, or many few, leaves no series of the other kind,
// and counts anew.
func TestManyPolicies_Reload(t *testing.T) {
	t.Parallel()
	b := busy(manyPolicies(51))
	b.SetPolicies(manyPolicies(2)...)
	b.is(t, "reaper_batch_duration_seconds_count", `{policy="policy-000"} 0`, `{policy="policy-001"} 0`)
	b.BatchDone("policy-001", time.Second)
	b.SetPolicies(manyPolicies(200)...)
	b.is(t, "reaper_batch_duration_seconds_count", `{policy=""} 0`)
	b.BatchDone("policy-001", time.Second)
	b.is(t, "reaper_batch_duration_seconds_count", `{policy=""} 1`)
	b.SetPolicies(manyPolicies(199)...)
	b.is(t, "reaper_batch_duration_seconds_count", `{policy=""} 1`)
}
