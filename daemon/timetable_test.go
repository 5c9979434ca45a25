package daemon

import (
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/web"
)

// What a reload means for the schedule of a policy.
func TestTimetable_Adopt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, old, new string
		running        bool
		counts         time.Duration // from when on the schedule counts, before or after the reload
		changed        bool
	}{
		{"nothing of it is new: it goes on where it was", "", "", false, -24 * time.Hour, false},
		{"another schedule counts from now on", "0 * * * *", "5 * * * *", false, 0, false},
		{"another meaning: it goes on where it was", `"42"`, `"43"`, false, -24 * time.Hour, true},
		{"the run that ends for it starts again", `"42"`, `"43"`, true, -24*time.Hour - time.Microsecond, true},
		{"a run that need not end does not", "0 * * * *", "5 * * * *", true, 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table := newTimetable(func() time.Time { return noon }, nil)
			runs := newRuns(nil, table.inForce)
			before := entriesOf(t, Config{}, text)
			table.adopt(before)
			runs.adopt(before)
			table.handle("a", noon.Add(-24*time.Hour))
			if c.running {
				runs.begin(before[0], web.Progress{}, nil)
			}
			after := entriesOf(t, Config{}, strings.Replace(text, c.old, c.new, 1))
			changed := table.adopt(after)
			table.again(runs.adopt(after))
			if s := table.all()[0]; !s.handled.Equal(noon.Add(c.counts)) || changed["a"] != c.changed {
				t.Errorf("it counts from %s, and is changed: %t", s.handled, changed["a"])
			}
		})
	}
}

// A policy that leaves the file and comes back is a new one.
func TestTimetable_Forgets(t *testing.T) {
	t.Parallel()
	table := newTimetable(func() time.Time { return noon }, nil)
	with := entriesOf(t, Config{}, text)
	table.adopt(with)
	table.handle("a", noon.Add(-time.Hour))
	table.adopt(nil)
	table.handle("a", noon) // nobody sees it
	if _, ok := table.inForce("a"); ok || table.due("a", nil) != nil || len(table.all()) != 0 {
		t.Error("it is still there")
	}
	table.adopt(with)
	if s := table.all()[0]; !s.handled.IsZero() || !s.loaded.Equal(noon) {
		t.Errorf("%+v, want it new", s.timing)
	}
}
