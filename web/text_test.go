package web

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

func TestSpan(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		0: "0 s", 40 * time.Millisecond: "0.0 s", 1500 * time.Millisecond: "1.5 s", 59 * time.Second: "59 s", 61 * time.Second: "1 min 1 s",
		10*time.Minute + 5*time.Second: "10 min", time.Hour: "1 h", 26*time.Hour + 5*time.Minute: "26 h 5 min", 48 * time.Hour: "2 d",
		75 * time.Hour: "3 d 3 h", 101 * 24 * time.Hour: "101 d", -time.Minute: "1 min",
	} {
		if got := span(d); got != want {
			t.Errorf("%d ns: %q, want %q", d, got, want)
		}
	}
	for seconds, want := range map[float64]string{90: "1 min 30 s", -1: "0 s", math.NaN(): "0 s", math.Inf(1): "over 30 years"} {
		if got := spanOf(seconds); got != want {
			t.Errorf("%g s: %q, want %q", seconds, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 1, 0, 30, 0, 0, time.FixedZone("", 7200))
	for at, want := range map[time.Time]string{
		now: "22:30 UTC; now", now.Add(-time.Hour): "21:30 UTC; 1 h ago", now.Add(2 * time.Hour): "1 Jan 2026 00:30 UTC; in 2 h",
		now.Add(-48 * time.Hour): "29 Dec 22:30 UTC; 2 d ago", now.Add(-400 * 24 * time.Hour): "26 Nov 2024 22:30 UTC; 400 d ago",
	} {
		if got := clock(at, now) + "; " + since(at, now); got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		value      float64
		unit, want string
	}{
		{3 << 30, "bytes", "3.0 GiB"},
		{-3 << 30, "bytes", "-3.0 GiB"},
		{math.Inf(1), "bytes", "4.0 EiB"},
		{1 << 20, "bytes_per_second", "1.0 MiB/s"},
		{90, "seconds", "1 min 30 s"},
		{0.4251, "ratio", "42.5 %"},
		{1, "ratio", "100 %"},
		{2, "sessions", "2"},
		{1234.567, "", "1,234.57"},
		{0, "", "0"},
	} {
		if got := measure(c.value, c.unit); got != c.want {
			t.Errorf("%g %s: %q, want %q", c.value, c.unit, got, c.want)
		}
	}
	for n, want := range map[float64]string{0: "0/s", 0.001: "below 0.01/s", 0.25: "0.25/s", 9.5: "9.5/s", 1234.5: "1,235/s"} {
		if got := rate(n); got != want {
			t.Errorf("%g rows a second: %q, want %q", n, got, want)
		}
	}
}

func TestPlot(t *testing.T) {
	t.Parallel()
	at := func(hours int, bytes int64) Size {
		return Size{time.Date(2026, 3, 1, hours, 0, 0, 0, time.UTC), bytes}
	}
	for name, points := range map[string][]Size{"nothing": nil, "one point": {at(1, 5)}, "no time": {at(1, 5), at(1, 6)}} {
		if p := newPlot(points); p != nil {
			t.Errorf("%s: %v", name, p)
		}
	}
	p := newPlot([]Size{at(3, 100), at(1, 200), at(2, 300)}) // in any order
	if want := "M0.0 50.0L50.0 5.0L100.0 95.0"; p.Line != want {
		t.Errorf("got %s, want %s", p.Line, want)
	}
	if want := "shrank by 100 B over 2 h: from 200 B to 100 B, between 100 B and 300 B"; p.Label() != want {
		t.Errorf("got %s, want %s", p.Label(), want)
	}
	// A small change looks small.
	if p := newPlot([]Size{at(1, 1000000), at(2, 1000100)}); p.Line != "M0.0 50.1L100.0 49.9" || p.Change() != "grew by 100 B" {
		t.Errorf("nearly flat: %s, %s", p.Line, p.Change())
	}
	if p := newPlot([]Size{at(1, 0), at(2, 0)}); p.Line != "M0.0 50.0L100.0 50.0" || p.Change() != "stayed the same" {
		t.Errorf("flat: %s, %s", p.Line, p.Change())
	}
	var many []Size
	for i := range 10_000 {
		many = append(many, at(i, int64(i)))
	}
	if p := newPlot(many); strings.Count(p.Line, "L") > mostPoints || p.Last != 9999 {
		t.Errorf("%d points, the last %d", strings.Count(p.Line, "L"), p.Last)
	}
}

func TestProgress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		due, roots int64
		took       time.Duration
		want       string
	}{
		{100, 25, 10 * time.Second, "25 % of 100, 30 s left"},
		{100, 100, 10 * time.Second, "99 % of 100,  left"}, // still running
		{100, 150, 10 * time.Second, "99 % of 150,  left"}, // more became due
		{0, 0, time.Second, "0 % of 0,  left"},
		{100, 0, time.Second, "0 % of 100,  left"},
	} {
		r := running{Progress: Progress{Due: &c.due, Roots: c.roots}, took: c.took}
		if got := fmt.Sprintf("%d %% of %d, %s left", r.Percent(), r.Goal(), r.Left()); got != c.want {
			t.Errorf("%d of %d: %s, want %s", c.roots, c.due, got, c.want)
		}
	}
}
