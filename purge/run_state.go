package purge

import (
	"sync"
	"time"
)

// runState is what the workers of a run change together. Methods lock mu; those with Locked in
// their names need it held. None waits or takes another lock: a schedule's may be held around a
// call, never the other way round. A test keeps its fields, and those of policyState, to the files
// run_state.go and policy_*.go.
type runState struct {
	mu       sync.Mutex
	policies []*policyState
	deleted  int64     // rows deleted or emptied so far, to see whether a round did anything
	roots    int64     // deleted so far, for --max-rows
	wal      int64     // position in the WAL up to which it is counted
	spent    time.Time // until when the rows deleted so far use up the rate
	losses   int       // how often the server went away
}

// progress is how many rows the run has deleted or emptied so far, and how often the
// server went away.
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

// serverLost counts that the server went away.
func (s *runState) serverLost() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.losses++
}

// spend takes rows from a rate of rows a second, and gives how long to wait for that.
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

// countWALLocked gives the WAL that was written between two positions, less what was
// counted for a batch beside it.
func (s *runState) countWALLocked(positions [2]int64) (bytes int64) {
	bytes = max(positions[1]-max(positions[0], s.wal), 0)
	s.wal = max(s.wal, positions[1])
	return bytes
}

// addPolicy gives the run another policy, whose report begins as this one.
func (s *runState) addPolicy(report *PolicyReport) *policyState {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := &policyState{run: s, report: report, failed: map[string]string{}}
	s.policies = append(s.policies, p)
	return p
}
