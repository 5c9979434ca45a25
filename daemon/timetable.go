package daemon

import (
	"log/slog"
	"sync"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/web"
)

// timetable has the policies of the file in force, and how far the schedule of each
// is seen to.
type timetable struct {
	now func() time.Time
	log *slog.Logger

	mu       sync.Mutex
	policies []*scheduled
}

// scheduled is a policy and how far its schedule is seen to.
type scheduled struct {
	entry
	timing
}

// timing is how far a schedule is seen to.
type timing struct {
	loaded   time.Time // since when the schedule counts
	handled  time.Time // the last time of the schedule that is seen to; zero: the ledger was not asked yet
	asked    time.Time // when the ledger was last asked about askedFor
	askedFor time.Time
	assisted time.Time // the last one whose run, in another process, was helped along
	trouble  string    // why the last one could not be begun; empty: it could

	leftFor  time.Time // since when the last pause, or closed window, is for which no run was begun
	outside  bool      // what is due waits for a window of allow
	queued   bool      // what is due waits for a place among the runs of this process
	reopened time.Time // when a window was last seen to open for what waited, or a place; zero: never
}

func newTimetable(now func() time.Time, log *slog.Logger) *timetable {
	return &timetable{now: now, log: log}
}

// adopt takes over the policies of another file, and gives the names of those that
// now mean something else for their rows. A schedule that is another one counts from
// now on: what it would have been due before says nothing.
func (t *timetable) adopt(entries []entry) (changed map[string]bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.policies
	t.policies, changed = make([]*scheduled, len(entries)), map[string]bool{}
	now := t.now()
	for i, e := range entries {
		s := &scheduled{e, timing{loaded: now}}
		if o := find(before, e.name()); o != nil {
			s.timing = o.timing
			if e.schedule.String() != o.schedule.String() {
				s.timing = timing{loaded: now, handled: now, leftFor: o.leftFor, outside: o.outside, reopened: o.reopened}
			}
			changed[e.name()] = e.differs(o.entry)
		}
		t.policies[i] = s
	}
	return changed
}

// again has the runs of these policies begun once more: they were ended for a change
// of the file, and their claims are free then.
func (t *timetable) again(names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range names {
		if s := t.of(name); !s.handled.IsZero() {
			s.handled = s.handled.Add(-time.Microsecond)
		}
	}
}

func find(policies []*scheduled, name string) *scheduled {
	for _, s := range policies {
		if s.name() == name {
			return s
		}
	}
	return nil
}

// of is a policy; one that the file no longer has is one that nobody sees. The lock
// is held.
func (t *timetable) of(name string) *scheduled {
	if s := find(t.policies, name); s != nil {
		return s
	}
	return &scheduled{}
}

// all are the policies as they are now, in the order of the file.
func (t *timetable) all() []scheduled {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]scheduled, len(t.policies))
	for i, s := range t.policies {
		all[i] = *s
	}
	return all
}

// entries are the policies in force.
func (t *timetable) entries() []entry {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]entry, len(t.policies))
	for i, s := range t.policies {
		all[i] = s.entry
	}
	return all
}

// inForce is a policy as the file has it now; false: it no longer does.
func (t *timetable) inForce(name string) (entry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := find(t.policies, name)
	if s == nil {
		return entry{}, false
	}
	return s.entry, true
}

// handle notes that a schedule is seen to up to a time; zero: the ledger is to be
// asked.
func (t *timetable) handle(name string, tick time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(name).handled = tick
}

// assist notes that the run of another process is helped along.
func (t *timetable) assist(name string, tick time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(name).assisted = tick
}

// fail notes why a policy's run could not be begun (empty: it could), and reports
// whether that is news.
func (t *timetable) fail(name, trouble string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of(name)
	news := s.trouble != trouble
	s.trouble = trouble
	return news
}

// tick is a time of a schedule that is due.
type tick struct {
	at       time.Time
	assisted bool // the run of another process is helped along already
	late     bool // it is caught up with
}

// due is the time of a policy's schedule that the ledger is to be asked about now;
// nil: there is none. running is its run under way in this process; nil: there is none.
func (t *timetable) due(name string, running *web.Progress) *tick {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	s := find(t.policies, name)
	if s == nil || s.handled.IsZero() { // the ledger was not asked yet
		return nil
	}
	if s.handled.After(now.Add(time.Hour)) {
		s.handled = time.Time{} // the clock was ahead, and is right again
		return nil
	}
	at := s.schedule.Last(s.handled, now.Add(-s.later))
	if at.IsZero() {
		return nil
	}
	assisted := s.assisted.Equal(at)
	if running != nil {
		if !assisted && running.StartedAt.Before(at) {
			t.log.Warn("run skipped: the previous one is still under way", "policy", name, "due", at)
			s.handled = at
		}
		return nil
	}
	if s.askedFor.Equal(at) && now.Sub(s.asked) < controlEvery {
		return nil
	}
	return &tick{at: at, assisted: assisted, late: now.Sub(at.Add(s.later)) > catchUpAfter}
}

// asking notes that the ledger is asked about a time of a policy's schedule.
func (t *timetable) asking(name string, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of(name)
	s.asked, s.askedFor = t.now(), at
	if s.queued {
		s.queued, s.reopened = false, s.asked
	}
}

// queue notes that what is due of a policy waits for a place.
func (t *timetable) queue(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.of(name).queued = true
}

// orphaned is the time of a policy's schedule whose run, in another process, this one
// helps along, when it is time to ask whether that process is still there; zero: it is not.
func (t *timetable) orphaned(name string, running *web.Progress) time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	s := find(t.policies, name)
	if s == nil || running == nil || running.Trigger != byAssist || !s.assisted.After(s.handled) || now.Sub(s.asked) < controlEvery {
		return time.Time{}
	}
	s.asked, s.askedFor = now, s.assisted
	return s.assisted
}

// leave reports whether a policy's run that is due is not begun, since the policy is
// paused by hand, or outside the windows of allow: it would only wait. It is due still
// when that ends.
func (t *timetable) leave(name string, pause *ledger.Pause, closed *guard.Reading) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.of(name)
	if s.outside && closed == nil {
		s.reopened = t.now()
	}
	s.outside = closed != nil
	switch {
	case pause != nil:
		if !s.leftFor.Equal(pause.Since) {
			s.leftFor = pause.Since
			t.log.Info("run postponed: the policy is paused by hand", "policy", name, "until", pause.Until)
		}
	case closed != nil:
		if !s.leftFor.Equal(closed.Since) {
			s.leftFor = closed.Since
			t.log.Info("run postponed: no window of allow is open", "policy", name, "reason", closed.Reason)
		}
	}
	return pause != nil || closed != nil
}

// publish shows when each policy runs next.
func (t *timetable) publish(m *metrics.Metrics) {
	for _, e := range t.entries() {
		if next := e.next(t.now()); next != nil {
			m.SetNextRun(e.name(), *next)
		}
	}
}
