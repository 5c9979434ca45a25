package heartbeat_test

import (
	"testing"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
)

func TestDecide(t *testing.T) {
	t.Parallel()
	good := heartbeat.Facts{Status: "complete", Readable: true, LagKnown: true}
	but := func(change func(*heartbeat.Facts)) heartbeat.Facts {
		f := good
		change(&f)
		return f
	}
	for name, c := range map[string]struct {
		facts heartbeat.Facts
		want  string // the reason; empty: a success
	}{
		"all is well": {good, ""},
		"nobody has said anything": {
			heartbeat.Facts{},
			"it is not known how the run ended; the table could not be read; the lag is not known",
		},
		"incomplete":             {but(func(f *heartbeat.Facts) { f.Status = "incomplete" }), "the run ended incomplete"},
		"incomplete, and why":    {but(func(f *heartbeat.Facts) { f.Status, f.Reason = "incomplete", "time is up" }), "time is up"},
		"refused":                {but(func(f *heartbeat.Facts) { f.Status = "refused" }), "the run ended refused"},
		"failed":                 {but(func(f *heartbeat.Facts) { f.Status = "failed" }), "the run ended failed"},
		"a status in capitals":   {but(func(f *heartbeat.Facts) { f.Status = "Complete" }), "the run ended Complete"},
		"rows were hidden":       {but(func(f *heartbeat.Facts) { f.Readable = false }), "the table could not be read"},
		"a tenant was skipped":   {but(func(f *heartbeat.Facts) { f.Skipped = 1 }), "tenants skipped or failed: 1"},
		"lag unknown":            {but(func(f *heartbeat.Facts) { f.LagKnown = false }), "the lag is not known"},
		"lag, and no limit":      {but(func(f *heartbeat.Facts) { f.Lag = 1e6 * time.Hour }), ""},
		"lag below its limit":    {but(func(f *heartbeat.Facts) { f.Lag, f.MaxLag = time.Hour, 2*time.Hour }), ""},
		"lag at its limit":       {but(func(f *heartbeat.Facts) { f.Lag, f.MaxLag = time.Hour, time.Hour }), ""},
		"lag above its limit":    {but(func(f *heartbeat.Facts) { f.Lag, f.MaxLag = 13*time.Hour, 12*time.Hour }), "the lag is 13h0m0s, above max_lag 12h0m0s"},
		"lag unknown, a limit":   {but(func(f *heartbeat.Facts) { f.LagKnown, f.MaxLag = false, time.Hour }), "the lag is not known"},
		"incomplete and skipped": {but(func(f *heartbeat.Facts) { f.Status, f.Skipped = "incomplete", 2 }), "the run ended incomplete; tenants skipped or failed: 2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event, reason := heartbeat.Decide(c.facts)
			if reason != c.want {
				t.Errorf("reason %q, want %q", reason, c.want)
			}
			if (event == heartbeat.Success) != (c.want == "") || event != heartbeat.Success && event != heartbeat.Fail {
				t.Errorf("event %q for the reason %q", event, reason)
			}
		})
	}
}
