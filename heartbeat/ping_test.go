package heartbeat_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/reaperdb/reaper/heartbeat"
)

func TestSummary(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]heartbeat.Ping{
		"emails: started":                                    {Event: heartbeat.Start, Policy: "emails"},
		"started":                                            {Event: heartbeat.Start},
		"emails: running: paused by replica_lag":             {Event: heartbeat.Log, Policy: "emails", Reason: "paused by replica_lag"},
		"emails: complete (7 rows, 2 batches, 1.5s)":         {Event: heartbeat.Success, Policy: "emails", Status: "complete", Rows: 7, Batches: 2, Duration: 1500 * time.Millisecond},
		"emails: incomplete: time is up (7 rows, 2 batches)": {Event: heartbeat.Fail, Policy: "emails", Status: "incomplete", Reason: "time is up", Rows: 7, Batches: 2},
		"emails: failed: the lag is 13h (0 rows, 0 batches)": {Event: heartbeat.Fail, Policy: "emails", Status: "complete", Reason: "the lag is 13h"},
		"failed":                     {Event: heartbeat.Fail}, // of the process
		"failed: not \uFFFD text":    {Event: heartbeat.Fail, Reason: "not \xff text"},
		"note: the database is back": {Event: heartbeat.Log, Reason: "the database is back"},
	} {
		if got := p.Summary(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A body is at most 10 kB, and still text at its end.
func TestLongReports(t *testing.T) {
	t.Parallel()
	w := &wire{}
	c := start(t, heartbeat.Config{Transport: w})
	for _, reason := range []string{strings.Repeat("ä", 20000), "x" + strings.Repeat("ä", 20000)} {
		c.Send(monitor(t, hcURL), heartbeat.Ping{Event: heartbeat.Fail, Reason: reason})
	}
	flush(t, c)
	for _, r := range w.requests() {
		if n := len(r.body); n > 10_000 || n < 9_990 {
			t.Errorf("a body of %d bytes", n)
		}
		if !utf8.ValidString(r.body) {
			t.Error("a character was cut in two")
		}
	}
	if n := len(w.requests()); n != 2 {
		t.Errorf("%d requests", n)
	}
}
