package purge

import (
	"time"

	"github.com/reaperdb/reaper/guard"
)

// pauses is what the guards make of one policy's run.
type pauses struct {
	now           guard.Advice
	since         time.Time     // when the pause under way began; zero: there is none
	before        time.Duration // the pauses that have ended, together
	stopped       string        // why the policy's run is to end; empty: it is not
	checkpointErr string        // why no checkpoint could be asked for, as told; empty: one could
	notifiedAt    time.Time
	// byHand is closed when the guards have been read again since a batch has found
	// the policy paused by hand; nil: none has.
	byHand <-chan struct{}
}

// length is how long the policy has been paused in all.
func (p *pauses) length(now time.Time) time.Duration {
	if p.since.IsZero() {
		return p.before
	}
	return p.before + now.Sub(p.since)
}

// advise notes what the guards say. news: it is something else than before, or the
// reason has become another for long enough, and is to be told. resumed: it has ended a
// pause. Nothing counts any more once the policy's run is to end, but that it does.
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

// pausedSince is when the pause under way began; zero: there is none.
func (s *policyState) pausedSince() time.Time {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.pauses.since
}

// pausedBy is the advice that pauses the policy; false: none does, or its run was
// stopped.
func (s *policyState) pausedBy() (guard.Advice, bool) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.pauses.now, s.pauses.stopped == "" && s.pauses.now.State == guard.Pause
}

// share is the share of the time that batches may take now.
func (s *policyState) share() float64 {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.pauses.now.State != guard.Slow {
		return 1
	}
	return s.pauses.now.Share
}

// stop ends the policy's part of the run after the batches under way, for the first
// reason that does.
func (s *policyState) stop(reason string) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.pauses.stopped == "" {
		s.pauses.stopped = reason
	}
}

// stopped is why the policy's part of the run is to end; empty: it is not.
func (s *policyState) stopped() string {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.pauses.stopped
}

// pauseByHand notes that a batch has found its policy paused by hand. changed is closed
// when the guards have been read again.
func (s *policyState) pauseByHand(changed <-chan struct{}) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.pauses.byHand = changed
}

// pausedByHand is closed when the guards have been read again since a batch has found
// the policy paused by hand; nil: none has, or they have been.
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

// noteCheckpoint notes why no checkpoint could be asked for, or that one could (empty),
// and reports whether that is to be told: once in a pause.
func (s *policyState) noteCheckpoint(checkpointErr string) (isNew bool) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	isNew = checkpointErr != "" && checkpointErr != s.pauses.checkpointErr
	s.pauses.checkpointErr = checkpointErr
	return isNew
}
