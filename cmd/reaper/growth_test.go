package main

import (
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/web"
)

func TestGrowthTexts(t *testing.T) {
	t.Parallel()
	full := time.Date(2026, 3, 2, 4, 12, 30, 0, time.UTC)
	for _, c := range []struct{ got, want string }{
		{forecastText(&web.Forecast{UsedBytes: 40 << 30, Reason: "it stays the same"}), "40 GiB used; it stays the same"},
		{
			forecastText(&web.Forecast{UsedBytes: 40 << 30, LimitBytes: new(int64(100 << 30)), FullAt: &full, Reason: "it grows by 1.0 GiB a day"}),
			"40 GiB of 100 GiB used; it grows by 1.0 GiB a day; full at 2026-03-02 04:12:30 UTC",
		},
		{
			balanceText(&web.Balance{Arrival: new(1234.5), Due: new(0.126), Deletion: new(10.0), ClearSeconds: new(7200.0), Reason: "deleting keeps up"}),
			"1,235 rows a second arrive, 0.13 become due, 10 are deleted; deleting keeps up (nothing is due in 2 h 0 min)",
		},
		{balanceText(&web.Balance{Arrival: new(1.0), Deletion: new(0.0), Reason: "not counted"}), "1 rows a second arrive, 0 are deleted; not counted"},
	} {
		if c.got != c.want {
			t.Errorf("%q, want %q", c.got, c.want)
		}
	}
}

func TestGuardsTable(t *testing.T) {
	t.Parallel()
	got := guardsTable([]web.Guard{
		{Name: "storage", State: "go", Value: new(float64(3 << 30)), Unit: "bytes"},
		{Name: "wal_rate", State: "slow", Value: new(float64(60 << 20)), Unit: "bytes_per_second", Reason: "60 MiB/s of WAL"},
		{Name: "replica_lag", State: "pause", Unit: "seconds", Unknown: true, Reason: "no replica is there"},
		{Name: "latency", State: "go", Value: new(0.00123), Unit: "seconds"},
		{Name: "dead_rows", Policy: "emails", State: "stop", Value: new(0.425), Unit: "ratio"},
		{Name: "queue", State: "go", Value: new(1234.0)},
		{Name: "windows", State: "go", Off: true},
	}).Render(terminal.Style{})
	for _, want := range []string{
		"guard says reads why", "storage go 3.0 GiB", "wal_rate slow 60 MiB/s 60 MiB/s of WAL", "replica_lag pause unknown no replica is there",
		"latency go 1.23 ms", "dead_rows emails stop 42.5 %", "queue go 1,234", "windows off",
	} {
		if text := strings.Join(strings.FieldsFunc(got, func(r rune) bool { return strings.ContainsRune(" │\n─┌┬┐├┼┤└┴┘", r) }), " "); !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
}
