package daemon

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/heartbeat"
)

// A guard that pauses a run again and again is told to the monitor once in a while.
func TestPauseIsToldOnceInAWhile(t *testing.T) {
	t.Parallel()
	var pings atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { pings.Add(1) }))
	t.Cleanup(server.Close)
	monitor, err := heartbeat.Parse(server.URL+"/ping/0b7b2f0a-92b0-4d3c-9d0b-4a0f3a1f2b3c", "")
	if err != nil {
		t.Fatal(err)
	}
	d := &Daemon{Config: Config{Pings: heartbeat.New(heartbeat.Config{})}, runs: newRuns(nil, nil)}
	r := &run{d: d, entry: entry{monitor: monitor}, trigger: bySchedule}
	r.claimed.Store(true)
	o := &observer{run: r, d: d}
	flaps := func() {
		for range 3 {
			o.Advised("", guard.Advice{State: guard.Pause, Guard: "storage"})
			o.Advised("", guard.Advice{State: guard.Go})
		}
		if err := d.Pings.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if flaps(); pings.Load() != 1 {
		t.Errorf("three pauses: %d pings, want 1", pings.Load())
	}
	o.told = o.told.Add(-pauseAgain - time.Second)
	if flaps(); pings.Load() != 2 {
		t.Errorf("three more, later: %d pings in all, want 2", pings.Load())
	}
	if err := d.Pings.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
