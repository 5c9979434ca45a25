package purge

import (
	"strings"

	"github.com/reaperdb/reaper/preview"
)

// sizes is how large a policy's part of the run may be, by what fits on the disk with
// the WAL that it writes.
type sizes struct {
	fitting  int64 // how many roots fit; 0: all
	again    bool  // sized by the run's own WAL
	due      int64 // how many roots were due when it was sized; 0: not known
	reserved int64 // bytes of WAL that it was sized for, written ones among them
	refused  bool  // not even the least fits
}

// runSize is how large a policy's part of the run is to be.
type runSize struct {
	due      int64 // roots; 0: not known
	reserved int64 // bytes of WAL
	fitting  int64 // roots; 0: all
	// refused is why not even the least fits.
	refused string
	// crowded: there is enough, but for the other policies of the run.
	crowded bool
}

// setSize notes how large the policy's part of the run is to be. One that is refused, or
// has no room beside the others, stops.
func (s *policyState) setSize(z runSize) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.sizes.reserved, s.sizes.due, s.sizes.fitting = z.reserved, z.due, z.fitting
	switch {
	case z.refused != "":
		s.pauses.stopped, s.sizes.refused = z.refused, s.report.RowsTotal == 0
	case z.crowded:
		s.pauses.stopped = "all that is free until the guard storage pauses is needed by " + s.competitorsLocked() + ", in the same run"
	}
}

// refused reports whether nothing of the policy was touched, since not even the least
// fits.
func (s *policyState) refused() bool {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.sizes.refused
}

// fitting is how many more roots fit; false: all do.
func (s *policyState) fitting() (roots int64, sized bool) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.sizes.fitting - s.report.Roots, s.sizes.fitting > 0
}

// written is what a policy has deleted and written when it is to be sized anew.
type written struct{ roots, wal, fitting int64 }

// sizeAgain reports whether a sized part of the run is to be sized anew: once it has
// deleted enough for its own WAL to tell, and again when it has come to its end. The
// room that one keeps which needs no sizing is corrected by its own WAL here.
func (s *policyState) dueForResize() (x written, again bool) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	rep, z := s.report, &s.sizes
	x = written{roots: rep.Roots, wal: rep.WALBytes, fitting: z.fitting}
	enough := !z.again && rep.RowsTotal >= preview.EnoughRows
	again = x.fitting > 0 && (x.roots >= x.fitting || enough)
	if enough && x.fitting == 0 && x.roots > 0 && z.reserved > 0 && z.due > 0 {
		z.reserved = x.walOf(z.due)
	}
	z.again = z.again || enough || again
	return x, again
}

// walOf is the WAL of so many roots, by that of those that have gone: there are some.
func (x written) walOf(roots int64) int64 {
	return int64(float64(x.wal) / float64(x.roots) * float64(roots))
}

// resize notes how many roots fit by what was written so far; 0: all.
func (s *policyState) resize(x written, fitting int64) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.sizes.fitting = fitting
	switch {
	case fitting == 0:
		s.sizes.reserved = 0
	case x.roots > 0:
		s.sizes.reserved = x.walOf(fitting)
	}
}

// release gives back the room that was kept for the policy: it needs no more.
func (s *policyState) release() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.sizes.reserved = 0
}

// unreserved is what of the free bytes the other policies of the run have left.
func (s *policyState) unreserved(free int64) int64 {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	for _, o := range s.run.policies {
		if o != s {
			free -= o.outstandingLocked()
		}
	}
	return max(free, 0)
}

// writtenByOthers is the WAL that the other policies of the run have written.
func (s *policyState) writtenByOthers() (bytes int64) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	for _, o := range s.run.policies {
		if o != s {
			bytes += o.report.WALBytes
		}
	}
	return bytes
}

// outstandingLocked is what the policy was sized for and has not written.
func (s *policyState) outstandingLocked() int64 {
	if s.err != nil || s.pauses.stopped != "" {
		return 0
	}
	return max(s.sizes.reserved-s.report.WALBytes, 0)
}

// sharingLocked are the names of the other policies that room is kept for, or that have
// written.
func (s *policyState) competitorsLocked() string {
	var names []string
	for _, o := range s.run.policies {
		if o != s && (o.outstandingLocked() > 0 || o.report.WALBytes > 0) {
			names = append(names, o.report.Name)
		}
	}
	return strings.Join(names, ", ")
}
