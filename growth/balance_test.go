package growth_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/growth"
)

// table simulates a table whose rows arrive and become due at given rates per second, and
// from which each cycle deletes at most a given number.
type table struct {
	arrival, due float64
	backlog      int64
	cycle        time.Duration
	most         int64 // a run deletes; 0: none
	length       time.Duration
}

// counts returns a count every five minutes. The last one is in the middle of a cycle.
func (x table) counts() []growth.Count {
	var list []growth.Count
	c := growth.Count{At: start, Deleted: 1000, Inserted: 5000}
	backlog := x.backlog
	const step = 5 * time.Minute
	for t := x.cycle / 2; t <= x.cycle/2+x.length; t += step {
		now := backlog
		c.Backlog = &now
		list = append(list, c)
		c.At = c.At.Add(step)
		c.Inserted += int64(x.arrival * step.Seconds())
		backlog += int64(x.due * step.Seconds())
		if (t+step)%x.cycle < step {
			n := min(x.most, backlog)
			backlog -= n
			c.Deleted += n
		}
	}
	return list
}

func TestWeigh(t *testing.T) {
	t.Parallel()
	const all = math.MaxInt64
	const never = -1
	for _, c := range []struct {
		name          string
		table         table
		change        func([]growth.Count)
		due, deletion float64
		clear         time.Duration
		says          string
	}{
		{"a run every six hours clears it", table{arrival: 12, due: 10, cycle: 6 * time.Hour, most: all, length: 7 * day}, nil, 10, 10, 3 * time.Hour, "deleting keeps up"},
		{"one a day", table{arrival: 12, due: 10, cycle: day, most: all, length: 40 * time.Hour}, nil, 10, 10, 4 * time.Hour, "deleting keeps up"},
		{"a backlog that melts", table{arrival: 12, due: 10, backlog: 10_000_000, cycle: time.Hour, most: 20 * 3600, length: 2 * day}, nil, 10, 20, time.Duration((10_000_000 - 48*36_000) / 10 * int64(time.Second)), "more is deleted than becomes due"},
		{"one that grows", table{arrival: 12, due: 10, backlog: 1000, cycle: time.Hour, most: 5 * 3600, length: 2 * day}, nil, 10, 5, never, "never at this rate: more becomes due than is deleted"},
		{"nobody deletes", table{arrival: 12, due: 10, cycle: time.Hour, length: 2 * day}, nil, 10, 0, never, "never at this rate: more becomes due"},
		{"one that stays", table{arrival: 12, due: 10, backlog: 10_000_000, cycle: time.Hour, most: 10 * 3600, length: 2 * day}, nil, 10, 10, never, "never at this rate: as much becomes due as is deleted"},
		{"nothing is due", table{arrival: 12, cycle: time.Hour, length: 2 * day}, nil, 0, 0, 0, "nothing is due"},
		{"two hours say nothing of a daily run", table{arrival: 12, due: 10, cycle: day, most: all, length: 2 * time.Hour}, nil, 10, 0, never, "not known yet: it takes 24 hours"},
		{"the statistics were reset", table{arrival: 12, due: 10, cycle: 6 * time.Hour, most: all, length: 7 * day}, func(list []growth.Count) {
			base := list[len(list)/2]
			for i := len(list) / 2; i < len(list); i++ {
				list[i].Deleted -= base.Deleted
				list[i].Inserted -= base.Inserted
			}
		}, 10, 10, 3 * time.Hour, "deleting keeps up"},
		{"counted now and then", table{arrival: 12, due: 10, cycle: 6 * time.Hour, most: all, length: 7 * day}, func(list []growth.Count) {
			for i := range list[:len(list)-1] {
				if i%7 != 0 {
					list[i].Backlog = nil
				}
			}
		}, 10, 10, 3 * time.Hour, "deleting keeps up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			counts := c.table.counts()
			if c.change != nil {
				c.change(counts)
			}
			b := growth.Weigh(counts, c.table.cycle)
			if b.Arrival == nil || b.Due == nil || b.Deletion == nil {
				t.Fatalf("not known: %s", b.Reason)
			}
			near := func(what string, got, want float64) {
				t.Helper()
				if math.Abs(got-want) > 0.03*want {
					t.Errorf("%s: %.3f, want %.3f", what, got, want)
				}
			}
			near("arrival", *b.Arrival, c.table.arrival)
			near("due", *b.Due, c.due)
			near("deletion", *b.Deletion, c.deletion)
			switch {
			case c.clear == never && b.ClearSeconds != nil, c.clear != never && b.ClearSeconds == nil:
				t.Errorf("clear in %v", b.ClearSeconds)
			case c.clear != never:
				near("clear", *b.ClearSeconds, c.clear.Seconds())
			}
			if !strings.Contains(b.Reason, c.says) {
				t.Errorf("%q does not say %q", b.Reason, c.says)
			}
		})
	}
}

func TestWeighTooLittle(t *testing.T) {
	t.Parallel()
	week := table{arrival: 12, due: 10, cycle: time.Hour, length: 7 * day}.counts()
	for name, counts := range map[string][]growth.Count{"none": nil, "one": week[:1], "half an hour": week[:7]} {
		if b := growth.Weigh(counts, time.Hour); b.Arrival != nil || b.Due != nil || b.Deletion != nil || b.ClearSeconds != nil || !strings.Contains(b.Reason, "not known yet") {
			t.Errorf("%s: %+v", name, b)
		}
	}
	for i := range week {
		week[i].Backlog = nil
	}
	if b := growth.Weigh(week, time.Hour); b.Arrival == nil || b.Deletion == nil || b.Due != nil || b.ClearSeconds != nil || !strings.Contains(b.Reason, "was not counted") {
		t.Errorf("without a backlog: %+v", b)
	}
	// More than there is of a table's own time is no cycle.
	if b := growth.Weigh(table{arrival: 12, due: 10, cycle: 30 * day, length: 7 * day}.counts(), 30*day); b.Due == nil || b.ClearSeconds != nil || !strings.Contains(b.Reason, "it takes 30 days") {
		t.Errorf("a run a month: %+v", b)
	}
}
