package daemon

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/ledger"
)

// claimedBy are claims by policy.
type claimedBy struct {
	mu     sync.Mutex
	others map[string]bool // policies whose times another process has claimed
	asked  int
}

func (c *claimedBy) LastTick(context.Context, string) (time.Time, error) { return time.Time{}, nil }

func (c *claimedBy) Claim(_ context.Context, policy string, _ time.Time, _, _ string) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	return !c.others[policy], nil
}

func (c *claimedBy) TakeOver(context.Context, string, time.Time, string, string) (bool, error) {
	return false, nil
}

func (c *claimedBy) Running(_ context.Context, policy string, _ time.Time) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.others[policy], nil
}

func (c *claimedBy) Pauses(context.Context) ([]ledger.Pause, error) { return nil, nil }

// queue is a process with two connections, whose policies have these schedules.
type queue struct {
	*process
	claims *claimedBy
}

func newQueue(t *testing.T, schedules map[string]string) queue {
	t.Helper()
	c := &claimedBy{others: map[string]bool{}}
	file := text[:strings.Index(text, "  - {name: a")]
	for _, name := range slices.Sorted(maps.Keys(schedules)) {
		file += fmt.Sprintf("  - {name: %s, table: other, age: at, tenant: org, schedule: %q}\n", name, schedules[name])
	}
	p := newProcess(nil, entriesOf(t, Config{}, file))
	p.scheduler.claims = c
	p.scheduler.begin = func(e entry, runID, trigger string) {
		p.begin(e, runID, trigger)
		p.look()
		p.note(e.name() + " " + clock(time.Now()) + " " + trigger)
	}
	return queue{p, c}
}

// start begins to ask what is due. Nothing of the queue may be set from then on.
func (q queue) start(t *testing.T) {
	go every(t.Context(), tickEvery, nil, q.scheduler.due)
	synctest.Wait()
}

// under wants these runs to be under way.
func (q queue) under(t *testing.T, want string) {
	t.Helper()
	var got []string
	for _, e := range q.table.entries() {
		if q.runs.running(e.name()) != nil {
			got = append(got, e.name())
		}
	}
	if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
		t.Errorf("runs under way at %s (-want +got):\n%s", clock(time.Now()), diff)
	}
}

// failing are the policies that are failing now.
func (q queue) failing() (names []string) {
	for _, p := range q.table.all() {
		s := state{scheduled: p, running: q.runs.running(p.name()), resumed: p.reopened}
		if _, reason := s.failing(time.Now()); reason != "" {
			names = append(names, p.name())
		}
	}
	return names
}

// Policies that were due at once, two hundred of them, were all "in progress", on two connections.
func TestScheduler_BeginsInTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		schedules := map[string]string{}
		for i := range 20 {
			schedules[fmt.Sprintf("p%03d", i)] = "@hourly"
		}
		q := newQueue(t, schedules)
		q.start(t)
		until(1, 0, 0)
		q.under(t, "p000 p001")
		if q.claims.asked != 2 {
			t.Errorf("%d times are claimed; a time that is claimed must be run", q.claims.asked)
		}
		q.runs.end("p001")
		until(1, 0, 1)
		q.under(t, "p000 p002")
		for range 17 {
			for _, e := range q.table.entries() {
				if q.runs.running(e.name()) != nil {
					q.runs.end(e.name())
					break
				}
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if n := len(slices.DeleteFunc(namesOf(q.table.entries()), func(n string) bool { return q.runs.running(n) == nil })); n != 2 {
				t.Fatalf("%d runs are under way, want 2", n)
			}
			if f := q.failing(); f != nil {
				t.Fatalf("%v wait for their turn, and are called failing", f)
			}
		}
	})
}

// A policy with a short schedule at the head of the file would never let the others begin.
func TestScheduler_LongestDueFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, map[string]string{"a": "* * * * *", "b": "* * * * *", "c": "* * * * *"})
		q.start(t)
		until(0, 1, 0)
		q.under(t, "a b")
		until(0, 2, 10) // their next times are left out: the runs before are still under way
		q.runs.end("a")
		until(0, 2, 11)
		q.under(t, "b c")
		q.runs.end("b")
		q.runs.end("c")
		until(0, 3, 1)
		q.under(t, "a b")
	})
}

// A backlog of days must not keep the other policies waiting.
func TestScheduler_LongRunsLendTheirPlaces(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, map[string]string{"a": "@hourly", "b": "@hourly", "c": "@hourly", "d": "@hourly", "e": "@hourly"})
		q.start(t)
		until(1, 1, 59)
		q.under(t, "a b")
		until(1, 2, 1)
		q.under(t, "a b c d")
		q.runs.end("c")
		until(1, 2, 2)
		q.under(t, "a b d e")
	})
}

// What nobody has claimed comes before helping another process.
func TestScheduler_HelpsLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, map[string]string{"a": "@hourly", "b": "@hourly", "c": "@hourly"})
		q.claims.others["a"], q.claims.others["b"] = true, true
		q.start(t)
		until(1, 0, 0)
		q.under(t, "a c")
		if got := q.look(); !slices.Contains(got, "a 01:00:00 assist") {
			t.Errorf("%v has begun, want a beside the run of the other process", got)
		}
	})
}

// A run that waits for its turn counts as due from when the turn comes: what keeps it from
// beginning then is seen.
func TestScheduler_FailingAfterItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(t, map[string]string{"a": "@hourly", "b": "@hourly", "c": "@hourly"})
		q.scheduler.begin = func(e entry, id, trigger string) {
			if e.name() != "c" { // claimed, and lost
				q.begin(e, id, trigger)
			} else {
				q.table.handle("c", e.schedule.Last(time.Time{}, time.Now().Add(-time.Minute)).Add(-time.Minute))
			}
		}
		q.start(t)
		until(1, 1, 59)
		if f := q.failing(); f != nil {
			t.Errorf("%v is failing", f)
		}
		until(1, 6, 59) // its turn came at 01:02:00
		if f := q.failing(); f != nil {
			t.Errorf("%v is failing", f)
		}
		until(1, 7, 2)
		if f := q.failing(); !slices.Equal(f, []string{"c"}) {
			t.Errorf("failing: %v, want c", f)
		}
	})
}
