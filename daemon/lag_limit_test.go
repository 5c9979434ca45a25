package daemon

import (
	"testing"
	"time"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/web"
)

// Without max_lag a policy is late above two cycles of its schedule, the longest time without an open
// window, and the longest of its last runs.
func TestLagLimit(t *testing.T) {
	t.Parallel()
	const head = "version: 1\npolicies:\n"
	const letters = "- {name: letters, table: letters, age: at, tenant: none, retention: 30d%s}\n"
	took := func(d time.Duration) web.Run {
		return web.Run{StartedAt: time.Unix(1000, 0), FinishedAt: new(time.Unix(1000, 0).Add(d))}
	}
	runs := []web.Run{took(time.Minute), took(time.Hour), {StartedAt: time.Unix(0, 0)}}
	for _, c := range []struct {
		keys, guards string
		runs         []web.Run
		want         time.Duration
	}{
		{"", "", nil, 12 * time.Hour},
		{"", "", runs, 13 * time.Hour},
		{", max_lag: 1d", "", runs, 24 * time.Hour},
		{", schedule: '@hourly'", "", runs, 3 * time.Hour},
		{", schedule: '0 3 * * 1'", "", nil, 14 * 24 * time.Hour},
		{", schedule: '0 9 * * 1-5'", "", nil, 6 * 24 * time.Hour}, // over the weekend
		{"", "guards: {allow: ['01:00-05:00']}\n", nil, 32 * time.Hour},
	} {
		file, err := policy.Parse("reaper.yaml", []byte("version: 1\n"+c.guards+head[len("version: 1\n"):]+replaced(letters, c.keys)))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := Config{Schedule: "0 */6 * * *", Zone: time.UTC}.entries(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := entries[0].lagLimit(c.runs); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.keys, c.guards, got, c.want)
		}
	}
}

// A policy without max_lag is shown as late, and since when.
func TestLateByDefault(t *testing.T) {
	t.Parallel()
	now := time.Now()
	schedule, err := policy.ParseSchedule("@daily", time.UTC)
	if err != nil {
		t.Fatal(err)
	}
	e := entry{schedule: schedule, cycles: 48 * time.Hour}
	for _, c := range []struct {
		lag  time.Duration
		late bool
	}{{47 * time.Hour, false}, {407 * 24 * time.Hour, true}} {
		s := &state{scheduled: scheduled{entry: e, timing: timing{loaded: now}}}
		s.see(&ledger.Scan{At: now, Lag: c.lag.Seconds()}, e.lagLimit(nil))
		p := s.shown(now, time.Minute)
		if p.Late != c.late || !p.MaxLagAssumed || *p.MaxLagSeconds != 48*3600 || c.late && !p.LateSince.Equal(now.Add(48*time.Hour-c.lag)) {
			t.Errorf("a lag of %s: late %t since %v, allowed %v", c.lag, p.Late, p.LateSince, *p.MaxLagSeconds)
		}
	}
}

func replaced(format, keys string) string {
	return format[:len(format)-len("%s}\n")] + keys + "}\n"
}

// What is remembered of the lag and of runs is bounded, and ends with the last of them.
func TestPastIsBounded(t *testing.T) {
	t.Parallel()
	var m measured
	begin := time.Unix(0, 0)
	for i := range 5000 {
		m.see(&ledger.Scan{At: begin.Add(time.Duration(i) * time.Minute), Lag: float64(i)}, 0)
		m.see(&ledger.Scan{At: begin.Add(time.Duration(i) * time.Minute), Lag: float64(i)}, 0) // read again
	}
	if n := len(m.lags); n > keptLags || n < keptLags/2 || m.lags[n-1].Seconds != 4999 || m.lags[0].Seconds != 0 {
		t.Errorf("%d measurements, from %v to %v", n, m.lags[0], m.lags[n-1])
	}
	var past []web.Run
	for i := range 100 {
		r := web.Run{RunID: string(rune('A' + i)), StartedAt: begin.Add(time.Duration(i) * time.Hour), Rows: map[string]int64{"x": 1}}
		past = withPast([]web.Run{r}, past)
	}
	if n := len(past); n != keptPast || past[0].RunID != string(rune('A'+99)) || past[0].Rows == nil || past[1].Rows != nil {
		t.Errorf("%d runs, the first %+v", n, past[0])
	}
}
