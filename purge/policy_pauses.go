package purge

import (
	"time"

	"github.com/reaperdb/reaper/guard"
)

// pauses is the effect of the guards on one policy's run.
type pauses struct {
	now           guard.Advice
	since         time.Time     // start of the current pause; zero: none
	before        time.Duration // total length of earlier pauses
	stopped       string        // why the policy's run ends; empty: it does not
	checkpointErr string        // last reported reason why no checkpoint could be requested
	notifiedAt    time.Time
	// byHand is closed when the guards were reread after a batch found the policy paused by
	// hand; nil: none did.
	byHand <-chan struct{}
}

// length is the total time paused.
func (p *pauses) length(now time.Time) time.Duration {
	if p.since.IsZero() {
		return p.before
	}
	return p.before + now.Sub(p.since)
}

// setAdvice records the guards' advice. isNew: it differs, or its reason has changed and was
// last reported long enough ago. resumed: it ended a pause. Once the policy's run is stopping,
// only guard.Stop is recorded.
func (s *policyState) setAdvice(a guard.Advice) (isNew, resumed bool) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	p := &s.pauses
	if p.stopped != "" && a.State != guard.Stop {
		return false, false
	}
	before, now := p.now, time.Now()
	p.now = a
	switch {
	case a.State == guard.Pause && p.since.IsZero():
		p.since, p.checkpointErr = now, ""
	case a.State != guard.Pause && !p.since.IsZero():
		p.before += now.Sub(p.since)
		p.since = time.Time{}
		resumed = true
	}
	same := before.State == a.State && before.Guard == a.Guard
	isNew = !same || before.Reason != a.Reason && a.State != guard.Go && now.Sub(p.notifiedAt) > repeatReasonAfter
	if isNew {
		p.notifiedAt = now
	}
	return isNew, resumed
}

// pausedSince is the start of the current pause; zero: none.
func (s *policyState) pausedSince() time.Time {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.pauses.since
}

// pausedBy is the advice that pauses the policy; false: not paused, or stopped.
func (s *policyState) pausedBy() (guard.Advice, bool) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.pauses.now, s.pauses.stopped == "" && s.pauses.now.State == guard.Pause
}

// share is the share of time that batches may take now.
func (s *policyState) share() float64 {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.pauses.now.State != guard.Slow {
		return 1
	}
	return s.pauses.now.Share
}

// stop ends the policy's part of the run after the current batches. The first reason wins.
func (s *policyState) stop(reason string) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.pauses.stopped == "" {
		s.pauses.stopped = reason
	}
}

// stopped is why the policy's part of the run ends; empty: it does not.
func (s *policyState) stopped() string {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.pauses.stopped
}

// pauseByHand records that a batch found its policy paused by hand. changed is closed when the
// guards have been reread.
func (s *policyState) pauseByHand(changed <-chan struct{}) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.pauses.byHand = changed
}

// pausedByHand returns that channel until it is closed; nil: no manual pause was found, or the
// guards have been reread.
func (s *policyState) pausedByHand() <-chan struct{} {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	select {
	case <-s.pauses.byHand:
		s.pauses.byHand = nil
	default:
	}
	return s.pauses.byHand
}

// noteCheckpoint records why no checkpoint could be requested (empty: one was), and reports
// whether to log it: once per pause.
func (s *policyState) noteCheckpoint(checkpointErr string) (isNew bool) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	isNew = checkpointErr != "" && checkpointErr != s.pauses.checkpointErr
	s.pauses.checkpointErr = checkpointErr
	return isNew
}
