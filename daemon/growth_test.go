package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/web"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// Of several pauses the one counts that lasts longest.
func TestPauseOf(t *testing.T) {
	t.Parallel()
	pauses := []ledger.Pause{
		{Until: noon.Add(time.Hour), Reason: "all"},
		{Policy: new("a"), Until: noon.Add(2 * time.Hour), Reason: "a, longer"},
		{Policy: new("a"), Until: noon.Add(time.Minute), Reason: "a, shorter"},
		{Policy: new("b"), Until: noon.Add(time.Minute), Reason: "b, shorter"},
	}
	for policy, want := range map[string]string{"a": "a, longer", "b": "all", "c": "all"} {
		if p := pauseOf(pauses, policy); p == nil || p.Reason != want {
			t.Errorf("%s: %+v, want %s", policy, p, want)
		}
	}
	if p := pauseOf(pauses[1:], "c"); p != nil {
		t.Errorf("c: %+v", p)
	}
}

// What a pause keeps from beginning, or from its end, is no failure; what went wrong
// before is.
func TestFailingWhilePaused(t *testing.T) {
	t.Parallel()
	pause := &ledger.Pause{Since: noon.Add(-time.Hour), Until: noon.Add(time.Hour)}
	ended := func(status string, at time.Time) ledger.Ended {
		return ledger.Ended{LastRun: ledger.LastRun{Trigger: bySchedule, Status: status, FinishedAt: &at}}
	}
	for _, c := range []struct {
		name string
		set  func(*state)
		want bool
	}{
		{"due and not begun", func(s *state) { s.handled = noon.Add(-3 * time.Hour) }, false},
		{"ended incomplete under the pause", func(s *state) { s.ended = []ledger.Ended{ended("incomplete", noon.Add(-time.Minute))} }, false},
		{"ended incomplete before it", func(s *state) { s.ended = []ledger.Ended{ended("incomplete", noon.Add(-2*time.Hour))} }, true},
		{"failed under it", func(s *state) { s.ended = []ledger.Ended{ended("failed", noon.Add(-time.Minute))} }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := states(t, text)[0]
			s.loaded = noon
			c.set(s)
			s.pause = pause
			if _, reason := s.failing(noon.Add(10 * time.Minute)); (reason != "") != c.want {
				t.Errorf("failing under a pause: %q", reason)
			}
			s.pause = nil
			if _, reason := s.failing(noon.Add(10 * time.Minute)); reason == "" {
				t.Error("without the pause it is not failing")
			}
		})
	}
}

// What the guards say is in the metrics, of those that are not off.
func TestTellGuards(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	tellGuards(metrics.New(reg, metrics.Build{}), []web.Guard{
		{Name: "storage", State: "go", Value: new(5.0), Since: &noon},
		{Name: "wal_rate", State: "pause", Since: &noon},
		{Name: "latency", State: "go", Off: true},
	})
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP reaper_guard_active_since_timestamp_seconds Since when the guard slows, pauses or stops; absent while it says go.
# TYPE reaper_guard_active_since_timestamp_seconds gauge
reaper_guard_active_since_timestamp_seconds{guard="wal_rate"} 1.7955216e+09
# HELP reaper_guard_state What the guard says: 0 go, 1 slow, 2 pause, 3 stop.
# TYPE reaper_guard_state gauge
reaper_guard_state{guard="storage"} 0
reaper_guard_state{guard="wal_rate"} 2
# HELP reaper_guard_value What the guard has read, in the unit of the label; absent while it is not known.
# TYPE reaper_guard_value gauge
reaper_guard_value{guard="storage",unit="number"} 5
`), "reaper_guard_state", "reaper_guard_value", "reaper_guard_active_since_timestamp_seconds"); err != nil {
		t.Error(err)
	}
}

// sizesOf are sizes every five minutes up to noon, a GiB more each day, with so
// much WAL; below zero: it may not be read.
func sizesOf(length time.Duration, wal func(left time.Duration) int64) []ledger.Size {
	var sizes []ledger.Size
	for left := length; left >= 0; left -= ledger.SizeEvery {
		s := ledger.Size{At: noon.Add(-left), Database: new(int64(100<<30 - left.Hours()/24*(1<<30)))}
		if n := wal(left); n >= 0 {
			s.WAL = &n
		}
		sizes = append(sizes, s)
	}
	return sizes
}

// The limit is one of database and WAL together; a role that may read the WAL since
// an hour knows no growth yet, and not a wrong one.
func TestPredict(t *testing.T) {
	t.Parallel()
	limit := new(int64(200 << 30))
	for _, c := range []struct {
		name string
		wal  func(time.Duration) int64
		used int64
		days float64 // until it is full; 0: not known
	}{
		{"with WAL", func(time.Duration) int64 { return 10 << 30 }, 110 << 30, 90},
		{"without", func(time.Duration) int64 { return -1 }, 100 << 30, 100},
		{"since an hour", func(left time.Duration) int64 {
			if left > time.Hour {
				return -1
			}
			return 10 << 30
		}, 110 << 30, 0},
		{"no more", func(left time.Duration) int64 {
			if left > time.Hour {
				return 10 << 30
			}
			return -1
		}, 100 << 30, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := predict(sizesOf(7*24*time.Hour, c.wal), limit)
			if f.UsedBytes != c.used || (f.FullAt != nil) != (c.days > 0) {
				t.Fatalf("%+v", f)
			}
			if c.days > 0 {
				if days := f.FullAt.Sub(noon).Hours() / 24; days < c.days-1 || days > c.days+1 {
					t.Errorf("full in %.1f days, want %.1f", days, c.days)
				}
			}
		})
	}
	if f := predict([]ledger.Size{{At: noon}}, limit); f != nil {
		t.Errorf("a forecast of nothing: %+v", f)
	}
}

// A plot has a bounded number of points, from the first to the last, also where what
// is kept gets sparser the older it is.
func TestPlotted(t *testing.T) {
	t.Parallel()
	sizes := sizesOf(shownSizes, func(time.Duration) int64 { return 0 })
	points := plotted(sizes, func(s ledger.Size) (int64, bool) { return *s.Database, true })
	if n := len(points); n < mostSizes-10 || n > mostSizes+2 {
		t.Errorf("%d points", n)
	}
	if first, last := points[0], points[len(points)-1]; !first.At.Equal(sizes[0].At) || !last.At.Equal(noon) || last.Bytes != 100<<30 {
		t.Errorf("from %+v to %+v", first, last)
	}
	few := plotted(sizes[:3], func(s ledger.Size) (int64, bool) { return *s.Database, s.At != sizes[1].At })
	if len(few) != 2 {
		t.Errorf("%d points of two that are known", len(few))
	}
}
