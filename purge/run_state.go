package purge

import (
	"sync"
	"time"
)

// runState is the state that the workers of a run share: counters, and the state of each
// policy, all guarded by one mutex. Methods lock it and do not call each other, except for
// those named …Locked, whose callers hold it. They never block and take no other lock: a
// schedule's mutex may be held around a call, never the reverse.
//
// Its fields, and those of policyState, may be used only in run_state.go and policy_*.go, as a
// test verifies: add a method.
type runState struct {
	mu       sync.Mutex
	policies []*policyState
	deleted  int64     // rows deleted or nullified, to see whether a round did anything
	roots    int64     // deleted so far, for --max-rows
	wal      int64     // WAL position up to which WAL is counted
	spent    time.Time // when the rate allows more rows
	losses   int       // how often the server went away
}

// progress returns the rows deleted or nullified so far, and how often the server went away.
func (s *runState) progress() (deleted int64, losses int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.deleted, s.losses
}

// rootsDeleted is how many roots the run has deleted so far.
func (s *runState) rootsDeleted() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.roots
}

// serverLost records that the server went away.
func (s *runState) serverLost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losses++
}

// spend charges rows to a rate in rows a second and returns how long to wait.
func (s *runState) spend(rows, rate int64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.spent.Before(now) {
		s.spent = now
	}
	s.spent = s.spent.Add(time.Duration(float64(rows) / float64(rate) * float64(time.Second)))
	return s.spent.Sub(now)
}

// countWALLocked returns the WAL written between two positions, without what a concurrent batch
// has counted.
func (s *runState) countWALLocked(positions [2]int64) (bytes int64) {
	bytes = max(positions[1]-max(positions[0], s.wal), 0)
	s.wal = max(s.wal, positions[1])
	return bytes
}

// addPolicy adds a policy to the run, starting with this report.
func (s *runState) addPolicy(report *PolicyReport) *policyState {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &policyState{run: s, report: report, failed: map[string]string{}}
	s.policies = append(s.policies, p)
	return p
}
