package daemon

import (
	"hash/fnv"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/web"
)

// state is what a process knows of one policy. The daemon's lock guards it.
type state struct {
	policy   policy.Policy
	schedule policy.Schedule
	monitor  heartbeat.Monitor
	later    time.Duration // by how much its runs begin later than the schedule says
	loaded   time.Time
	tables   []string // that its runs delete from, as far as is known

	handled  time.Time // the last time of the schedule that is seen to; zero: the ledger was not asked yet
	asked    time.Time // when the ledger was last asked about the next one
	assisted time.Time // the last one whose run, in another process, was helped along

	running   *web.Progress // in this process
	problem   string        // why it cannot run, or be measured
	scan      *ledger.Scan
	last      *web.Run  // the newest, under way or not
	runs      []web.Run // that have ended, newest first
	success   *time.Time
	lateSince *time.Time
}

func (s *state) name() string { return s.policy.Name }

// carryOver keeps, after a reload, what was known of the policy before.
func (s *state) carryOver(o *state) {
	s.running, s.problem, s.scan, s.last, s.runs, s.success, s.lateSince, s.tables = o.running, o.problem, o.scan, o.last, o.runs, o.success, o.lateSince, o.tables
	if s.schedule.String() == o.schedule.String() {
		s.handled, s.asked, s.assisted, s.loaded = o.handled, o.asked, o.assisted, o.loaded
	}
}

// offset is by how much a policy's runs begin later: the same in every process,
// and spread over the policies.
func offset(name string, s policy.Schedule, bound time.Duration) time.Duration {
	first := s.Next(time.Now())
	if second := s.Next(first); !second.IsZero() {
		bound = min(bound, second.Sub(first)/10)
	}
	if bound <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return time.Duration(h.Sum64() % uint64(bound)).Truncate(time.Millisecond)
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

// failing tells since when, and why, the runs of the policy do not end as
// successes.
func (s *state) failing() (since *time.Time, reason string) {
	for _, r := range s.runs { // newest first
		if r.Status == "complete" {
			break
		}
		if reason == "" {
			reason = "the last run ended " + r.Status
			if r.Reason != "" {
				reason += ": " + r.Reason
			}
		}
		since = r.FinishedAt
	}
	if s.problem != "" && since == nil {
		reason = s.problem
	}
	return since, reason
}
