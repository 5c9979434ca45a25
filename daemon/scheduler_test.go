package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/web"
)

// claimed are the claims of all processes, as the ledger has them.
type claimed struct {
	mu     sync.Mutex
	ticks  []time.Time
	ended  bool // the run of the last one
	died   bool // and its process
	pauses []ledger.Pause
	err    error // of every question
	asked  int   // how often it was asked
}

func (c *claimed) LastTick(context.Context, string) (last time.Time, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.asked++; len(c.ticks) > 0 {
		last = c.ticks[len(c.ticks)-1]
	}
	return last, c.err
}

func (c *claimed) Claim(_ context.Context, _ string, at time.Time, _, _ string) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := slices.ContainsFunc(c.ticks, at.Equal)
	if c.err != nil || known && !c.died {
		return false, c.err
	}
	if c.ended, c.died = false, false; !known {
		c.ticks = append(c.ticks, at)
	}
	return true, nil
}

func (c *claimed) TakeOver(_ context.Context, _ string, at time.Time, _, _ string) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || !c.died || !at.Equal(c.ticks[len(c.ticks)-1]) {
		return false, c.err
	}
	c.died = false
	return true, nil
}

func (c *claimed) Running(_ context.Context, _ string, at time.Time) (bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.ended && at.Equal(c.ticks[len(c.ticks)-1]), c.err
}

func (c *claimed) Pauses(context.Context) ([]ledger.Pause, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	return c.pauses, c.err
}

func (c *claimed) set(change func(*claimed)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change(c)
}

// process schedules the policy a, every hour, and notes the runs that it begins.
type process struct {
	log       *logbook
	table     *timetable
	runs      *runs
	scheduler *scheduler
	closed    atomic.Pointer[guard.Reading]

	mu    sync.Mutex
	begun []string // times and triggers, since anyone last asked
}

// schedule has a process of a bubble begin runs until the test has ended.
func schedule(t *testing.T, c *claimed, entries []entry) *process {
	t.Helper()
	p := newProcess(c, entries)
	go every(t.Context(), tickEvery, nil, p.scheduler.due)
	synctest.Wait()
	return p
}

// newProcess makes a process whose clock does not turn by itself.
func newProcess(c *claimed, entries []entry) *process {
	p := &process{log: &logbook{}}
	p.table = newTimetable(time.Now, p.log.logger())
	p.runs = newRuns(p.log.logger(), p.table.inForce)
	p.adopt(entries)
	p.scheduler = &scheduler{
		timetable: p.table, claims: c, closed: p.closed.Load, running: p.runs.running, free: p.free, begin: p.begin, promote: p.runs.promote, complain: p.log.complain,
	}
	return p
}

func (p *process) adopt(entries []entry) {
	p.table.adopt(entries)
	p.table.again(p.runs.adopt(entries))
}

// free is that of a process with two connections.
func (p *process) free() bool { return p.runs.free(2) }

func (p *process) begin(e entry, runID, trigger string) {
	p.runs.begin(e, web.Progress{RunID: runID, Trigger: trigger, StartedAt: time.Now()}, func() { p.note(e.name() + " is promoted") })
	p.note(clock(time.Now()) + " " + trigger)
}

func (p *process) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begun = append(p.begun, what)
}

// began wants these runs to have begun since the last look.
func (p *process) began(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, p.look()); diff != "" {
		t.Errorf("begun (-want +got):\n%s", diff)
	}
}

// look gives the runs that have begun since the last look.
func (p *process) look() (begun []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	begun, p.begun = p.begun, nil
	return begun
}

// end ends the run of a process; that of the claim ends it for all.
func (p *process) end(c *claimed) {
	if p.runs.running("a").Trigger != byAssist {
		c.set(func(c *claimed) { c.ended = true })
	}
	p.runs.end("a")
}

// die ends the run whose process has died: the claim is free again.
func (p *process) die(c *claimed) {
	p.runs.end("a")
	c.set(func(c *claimed) { c.died = true })
}

func bubble(t *testing.T, name string, do func(t *testing.T, c *claimed)) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) { do(t, &claimed{}) })
	})
}

func TestScheduler(t *testing.T) {
	t.Parallel()
	hourly := entriesOf(t, Config{}, text)

	bubble(t, "a new policy begins at the next time of its schedule, once", func(t *testing.T, c *claimed) {
		p := schedule(t, c, hourly)
		until(0, 59, 59)
		p.began(t)
		until(1, 0, 0)
		p.began(t, "01:00:00 schedule")
		p.end(c)
		until(1, 59, 59)
		p.began(t)
		until(2, 0, 0)
		p.began(t, "02:00:00 schedule")
	})

	bubble(t, "with jitter, by as much later each time", func(t *testing.T, c *claimed) {
		late := entriesOf(t, Config{Jitter: time.Minute}, text)
		later := late[0].later.Round(tickEvery) + tickEvery
		p := schedule(t, c, late)
		for hour := 1; hour < 3; hour++ {
			until(hour, 0, 0)
			p.began(t)
			time.Sleep(later)
			synctest.Wait()
			if begun := p.look(); len(begun) != 1 || !strings.HasSuffix(begun[0], " schedule") {
				t.Errorf("begun %s after it was due: %v", later, begun)
			}
			p.end(c)
		}
	})

	bubble(t, "what was due while no process was there is made up by one run", func(t *testing.T, c *claimed) {
		c.ticks, c.ended = []time.Time{time.Now().Add(-5 * time.Hour)}, true
		until(0, 30, 0)
		p := schedule(t, c, hourly)
		p.began(t, "00:30:00 catch_up")
		p.end(c)
		until(0, 59, 59)
		p.began(t)
	})

	bubble(t, "the run of a process that has died is begun by the one that comes after it", func(t *testing.T, c *claimed) {
		c.ticks, c.died = []time.Time{time.Now()}, true
		p := schedule(t, c, hourly)
		p.began(t, "00:00:00 schedule")
	})

	bubble(t, "a run that takes longer than an hour: the next is left out", func(t *testing.T, c *claimed) {
		p := schedule(t, c, hourly)
		until(2, 30, 0)
		p.began(t, "01:00:00 schedule")
		p.log.says(t, "run skipped", 1)
		p.end(c)
		until(2, 59, 59)
		p.began(t)
		until(3, 0, 0)
		p.began(t, "03:00:00 schedule")
	})

	bubble(t, "a clock that was ahead: the ledger is asked again", func(t *testing.T, c *claimed) {
		p := schedule(t, c, hourly)
		p.table.handle("a", time.Now().Add(48*time.Hour))
		until(1, 0, 0)
		p.began(t, "01:00:00 schedule")
	})
}

func TestScheduler_TwoProcesses(t *testing.T) {
	t.Parallel()
	hourly := entriesOf(t, Config{}, text)

	bubble(t, "one claims the time, the other helps once", func(t *testing.T, c *claimed) {
		first := schedule(t, c, hourly)
		time.Sleep(tickEvery / 2)
		second := schedule(t, c, hourly)
		until(1, 0, 1)
		first.began(t, "01:00:00 schedule")
		second.began(t, "01:00:00 assist")
		first.end(c)
		second.end(c)
		until(1, 59, 59)
		first.began(t)
		second.began(t)
	})

	bubble(t, "the other takes over when the first has died", func(t *testing.T, c *claimed) {
		c.ticks = []time.Time{time.Now()} // by the first
		second := schedule(t, c, hourly)
		second.began(t, "00:00:00 assist")
		second.end(c)
		until(0, 30, 0)
		second.began(t)
		c.set(func(c *claimed) { c.died = true })
		until(0, 30, 5)
		second.began(t, "00:30:05 catch_up")
	})

	bubble(t, "the run beside it takes its place when the first has died meanwhile", func(t *testing.T, c *claimed) {
		c.ticks = []time.Time{time.Now()} // by the first
		second := schedule(t, c, hourly)
		until(0, 10, 0)
		second.began(t, "00:00:00 assist")
		c.set(func(c *claimed) { c.died = true })
		until(0, 10, 5)
		second.began(t, "a is promoted")
		if p := second.runs.running("a"); p.Trigger != byCatchUp {
			t.Errorf("%+v, want the trigger of a claim", p)
		}
		until(0, 20, 0)
		second.end(c)
		until(0, 59, 59)
		second.began(t)
		until(1, 0, 0)
		second.began(t, "01:00:00 schedule")
	})

	bubble(t, "a reload has a run that it ends begun again, by whoever comes first", func(t *testing.T, c *claimed) {
		p := schedule(t, c, hourly)
		until(1, 10, 0)
		p.began(t, "01:00:00 schedule")
		p.adopt(entriesOf(t, Config{}, strings.Replace(text, `"42"`, `"43"`, 1)))
		p.die(c)
		until(1, 10, 6)
		p.began(t, "01:10:00 catch_up")
	})
}

// What keeps runs from beginning is no failure of theirs; they begin when it ends.
func TestScheduler_KeptFromBeginning(t *testing.T) {
	t.Parallel()
	hourly := entriesOf(t, Config{}, text)

	bubble(t, "paused by hand", func(t *testing.T, c *claimed) {
		p := schedule(t, c, hourly)
		c.set(func(c *claimed) { c.pauses = []ledger.Pause{{Since: time.Now(), Until: time.Now().Add(2 * time.Hour)}} })
		until(1, 59, 0)
		p.began(t)
		p.log.says(t, "run postponed: the policy is paused by hand", 1)
		c.set(func(c *claimed) { c.pauses = nil })
		until(1, 59, 5)
		p.began(t, "01:59:05 catch_up")
		if s := p.table.all()[0]; !s.reopened.IsZero() {
			t.Errorf("%+v, want that it has waited for no window", s.timing)
		}
	})

	bubble(t, "outside the windows of allow", func(t *testing.T, c *claimed) {
		p := schedule(t, c, hourly)
		p.closed.Store(&guard.Reading{Since: time.Now(), Reason: "outside"})
		until(1, 0, 30)
		p.began(t)
		p.log.says(t, "run postponed: no window of allow is open", 1)
		if s := p.table.all()[0]; !s.outside || !s.reopened.IsZero() {
			t.Errorf("%+v, want it to wait for a window", s.timing)
		}
		p.closed.Store(nil)
		until(1, 0, 35)
		p.began(t, "01:00:35 schedule")
		if s := p.table.all()[0]; s.outside || clock(s.reopened) != "01:00:35" {
			t.Errorf("%+v, want it to have waited", s.timing)
		}
	})

	bubble(t, "a ledger that does not answer", func(t *testing.T, c *claimed) {
		p := schedule(t, c, hourly)
		c.set(func(c *claimed) { c.err, c.asked = errors.New("no ledger"), 0 })
		until(1, 0, 59)
		p.began(t)
		if c.asked != 12 {
			t.Errorf("asked %d times within a minute, want one each five seconds", c.asked)
		}
		p.log.says(t, "no ledger", 1)
		if s := p.table.all()[0]; s.trouble != "no ledger" {
			t.Errorf("its trouble is %q", s.trouble)
		}
		c.set(func(c *claimed) { c.err = nil })
		until(1, 1, 0)
		p.began(t, "01:01:00 schedule")
		if s := p.table.all()[0]; s.trouble != "" {
			t.Errorf("its trouble is %q", s.trouble)
		}
	})
}
