package daemon

import (
	"context"
	"hash/fnv"
	"reflect"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/web"
)

// state is what a process knows of one policy. The daemon's lock guards it.
type state struct {
	file     *policy.File // that the policy stands in
	policy   policy.Policy
	schedule policy.Schedule
	monitor  heartbeat.Monitor
	later    time.Duration // by how much its runs begin later than the schedule says
	loaded   time.Time
	observed bool // other processes run it, and only the ledger tells when

	handled  time.Time // the last time of the schedule that is seen to; zero: the ledger was not asked yet
	asked    time.Time // when the ledger was last asked about askedFor
	askedFor time.Time
	assisted time.Time // the last one whose run, in another process, was helped along
	trouble  string    // why the last one could not be begun; empty: it could

	running *web.Progress      // in this process
	stop    context.CancelFunc // ends that run after the batch at hand; nil: there is none
	failed  bool               // the last verdict of this process was a failure
	problem string             // why it could not be measured

	tables []string // that its runs delete from, as far as is known
	oids   []uint32 // of these
	root   uint32   // the OID of the policy's own
	last   *web.Run // the newest run, under way or not
	runs   []web.Run
	ended  []ledger.Ended // the same, newest first

	success   *time.Time
	failure   *ledger.Ended // the first since then; nil: none
	scan      *ledger.Scan
	scanAfter time.Time // measured again not before
	// sampled is when rows were last followed to their tenants; zero: not since the
	// policy was read.
	sampled   time.Time
	lateSince *time.Time

	pause   *ledger.Pause // by hand, in force, that ends last; nil: none
	resumed time.Time     // when the last pause was seen to have ended; zero: there was none
	leftFor time.Time     // since when the last pause is for which no run was begun
	outside bool          // what is due waits for a window of allow
	balance *web.Balance  // nil: nobody has looked yet
}

func (s *state) name() string { return s.policy.Name }

// carryOver keeps, after a reload, what was known of the policy before. A schedule
// that is another one counts from now on: what it would have been due before says
// nothing.
func (s *state) carryOver(o *state) {
	s.running, s.stop, s.failed, s.problem = o.running, o.stop, o.failed, o.problem
	s.tables, s.oids, s.root, s.last, s.runs, s.ended = o.tables, o.oids, o.root, o.last, o.runs, o.ended
	s.success, s.scan, s.lateSince, s.pause, s.balance = o.success, o.scan, o.lateSince, o.pause, o.balance
	s.resumed, s.leftFor, s.outside, s.failure = o.resumed, o.leftFor, o.outside, o.failure
	s.handled = s.loaded
	if s.schedule.String() == o.schedule.String() {
		s.handled, s.asked, s.askedFor, s.assisted, s.trouble, s.loaded = o.handled, o.asked, o.askedFor, o.assisted, o.trouble, o.loaded
	}
	if !s.differs(o) {
		s.sampled = o.sampled
	}
	if s.running != nil && s.differs(o) && !s.handled.IsZero() {
		// The run that is ended for it begins anew: its claim is free then.
		s.handled = s.handled.Add(-time.Microsecond)
	}
}

// differs tells that the other file means something else for the policy's rows.
func (s *state) differs(o *state) bool {
	return !reflect.DeepEqual(unplaced(s), unplaced(o))
}

// unplaced is what a policy says, wherever it stands in its file.
func unplaced(s *state) [3]any {
	p := s.policy
	p.Schedule, p.Heartbeat, p.MaxLag = policy.Text{}, policy.Heartbeat{}, nil
	var tenants policy.Tenants
	if s.file.Tenants != nil {
		tenants = *s.file.Tenants
	}
	return [3]any{unplacedValue(p), unplacedValue(tenants), s.file.Safety}
}

// unplacedValue is a value of the file, wherever it stands.
func unplacedValue(v any) any { return withoutPlaces(reflect.ValueOf(v)).Interface() }

// withoutPlaces copies a value and leaves out every place in a file.
func withoutPlaces(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[policy.Pos]() {
			return out
		}
		for i := range v.NumField() {
			out.Field(i).Set(withoutPlaces(v.Field(i)))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		}
		for i := range v.Len() {
			out.Index(i).Set(withoutPlaces(v.Index(i)))
		}
	case reflect.Pointer:
		if _, ok := v.Interface().(*time.Location); ok { // has no place, and fields of its own
			return v
		}
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(withoutPlaces(v.Elem()))
		}
	default:
		out.Set(v)
	}
	return out
}

// offset is by how much a policy's runs begin later: the same in every process,
// and spread over the policies.
func offset(name string, s policy.Schedule, bound time.Duration) time.Duration {
	if c := cycle(s, time.Now()); c > 0 {
		bound = min(bound, c/10)
	}
	if bound <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return time.Duration(h.Sum64() % uint64(bound)).Truncate(time.Millisecond)
}

// cycle is the time from the next time of a schedule to the one after it; 0: there
// are no two.
func cycle(s policy.Schedule, now time.Time) time.Duration {
	first := s.Next(now)
	if second := s.Next(first); !second.IsZero() {
		return second.Sub(first)
	}
	return 0
}

// next is when the policy runs next.
func (s *state) next(now time.Time) *time.Time {
	t := s.schedule.Next(now.Add(-s.later))
	if t.IsZero() {
		return nil
	}
	t = t.Add(s.later)
	return &t
}

// overdue is how long a time of the schedule may wait for its run.
const overdue = 5 * time.Minute

// failing tells since when, and why, the policy does not do what it should: its
// last runs were no successes, or none begins. What a pause by hand, or a window, has
// kept from beginning or from its end does not count.
func (s *state) failing(now time.Time) (since *time.Time, reason string) {
	if due := s.schedule.Last(s.seenTo(), now.Add(-s.later)); !due.IsZero() && s.pause == nil && !s.outside && s.running == nil && !s.underWay() && now.Sub(latest(due.Add(s.later), s.resumed)) > overdue {
		due = latest(due.Add(s.later), s.resumed)
		reason = "it was due and has not begun"
		if s.trouble != "" {
			reason += ": " + s.trouble
		}
		return &due, reason
	}
	for _, e := range s.ended { // newest first
		if !telling(e) || meant(e.Status, e.Reason) || s.pause != nil && e.Status == "incomplete" && e.FinishedAt.After(s.pause.Since) {
			continue
		}
		if e.Success {
			return since, reason
		}
		if reason == "" {
			reason = "the last run ended " + e.Status
			if e.Reason != "" {
				reason += ": " + e.Reason
			}
		}
		since = e.FinishedAt
	}
	// It may be failing for longer than these few runs.
	if f := s.failure; since != nil && f != nil && f.FinishedAt != nil && f.FinishedAt.Before(*since) && !meant(f.Status, f.Reason) {
		since = f.FinishedAt
	}
	return since, reason
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// early is by how much before it is due a run may have begun, by the database's
// clock, and still be the one that was due.
const early = time.Minute

// seenTo is until when the schedule is known to be obeyed. An observer takes it
// from the runs in the ledger: those that a person began are not the schedule's.
func (s *state) seenTo() time.Time {
	if !s.observed {
		if s.handled.IsZero() {
			return s.loaded
		}
		return s.handled
	}
	var begun time.Time
	if s.last != nil && s.last.Trigger != byHand {
		begun = s.last.StartedAt
	}
	for _, e := range s.ended {
		if e.Trigger != byHand && e.StartedAt.After(begun) {
			begun = e.StartedAt
		}
	}
	if begun.IsZero() {
		return s.loaded
	}
	return begun.Add(early)
}

// underWay tells that the newest run, in whichever process, has not ended.
func (s *state) underWay() bool { return s.last != nil && s.last.FinishedAt == nil }

// telling tells whether the end of a run says something of the policy: one beside
// another's, or one that a person has narrowed or bounded, says nothing.
func telling(e ledger.Ended) bool {
	return e.Success || e.Trigger != byAssist && e.Trigger != byHand
}
