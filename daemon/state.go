package daemon

import (
	"time"

	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/web"
)

// state is all that a process knows of one policy at one moment: a copy of what the
// parts of the daemon have, which does not change.
type state struct {
	scheduled
	record
	measured
	target
	running *web.Progress // in this process; nil: none
	pause   *ledger.Pause // by hand, in force, that ends last; nil: none
	resumed time.Time     // when what kept runs from beginning was last seen to end; zero: never
	balance *web.Balance  // nil: nobody has looked yet
}

// overdue is how long a time of the schedule may wait for its run.
const overdue = 5 * time.Minute

// failing is since when, and why, the policy does not do what it should: its
// last runs were no successes, or none begins. What a pause by hand, or a window, has
// kept from beginning or from its end does not count.
func (s *state) failing(now time.Time) (since *time.Time, reason string) {
	if due := s.missed(now); !due.IsZero() && now.Sub(due) > overdue {
		reason = "it was due and has not begun"
		if s.trouble != "" {
			reason += ": " + s.trouble
		}
		return &due, reason
	}
	died := 0
	for _, e := range s.ended { // newest first
		if !telling(e) || s.pause != nil && e.Status == "incomplete" && e.FinishedAt.After(s.pause.Since) {
			continue
		}
		if e.Success {
			return since, reason
		}
		// The run under way resumes what one process left that was killed; more than one in a row are
		// no accident.
		if s.resumes(e) {
			if died++; died == 1 {
				continue
			}
		}
		if reason == "" {
			reason = endText(e)
		}
		since = e.FinishedAt
	}
	// It may be failing for longer than these few runs.
	if f := s.failure; since != nil && f != nil && f.FinishedAt != nil && f.FinishedAt.Before(*since) && telling(*f) {
		since = f.FinishedAt
	}
	return since, reason
}

// endText says how a run ended that was no success.
func endText(e ledger.Ended) string {
	switch {
	case len(gate.Speaking(e.Reason)) > 0: // names the command that lets it go on
		return e.Reason
	case e.Reason != "":
		return "the last run ended " + e.Status + ": " + e.Reason
	}
	return "the last run ended " + e.Status
}

// waitsFor are the gates that have refused the newest run of the policy.
func (s *state) waitsFor() []string {
	for _, e := range s.ended { // newest first
		if telling(e) {
			return gate.Speaking(e.Reason)
		}
	}
	return nil
}

// missed is the first time of the schedule for which no run has begun, however many
// have passed since; zero: there is none, or something is meant to keep it waiting.
// What a pause, a window or other runs kept waiting counts from when that ended.
func (s *state) missed(now time.Time) time.Time {
	if s.pause != nil || s.outside || s.queued || s.running != nil || s.underWay() {
		return time.Time{}
	}
	due := s.schedule.Next(s.seenTo())
	if due.IsZero() || due.Add(s.later).After(now) {
		return time.Time{}
	}
	return latest(due.Add(s.later), s.resumed)
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

// underWay reports whether the newest run, in whichever process, has not
// ended.
func (s *state) underWay() bool { return s.last != nil && s.last.FinishedAt == nil }

// resumes reports whether a run is under way that resumes one whose process died. What somebody has
// begun by hand, or a CronJob, nobody resumes.
func (s *state) resumes(e ledger.Ended) bool {
	return e.Reason == ledger.DiedReason && e.Trigger != byHand && e.Trigger != byOnce && s.underWay()
}

// telling reports whether the end of a run says something of the policy: one beside
// another's, one that a person has narrowed or bounded, one that a pause has outlasted,
// and one that another run resumes say nothing.
func telling(e ledger.Ended) bool {
	switch {
	case e.Success:
		return true
	case e.Trigger == byAssist, e.Trigger == byHand, meant(e.Status, e.Reason):
		return false
	}
	return !handedOver(e.Trigger, e.Status, e.Reason)
}
