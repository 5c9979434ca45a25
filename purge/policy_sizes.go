package purge

import (
	"strings"

	"github.com/reaperdb/reaper/preview"
)

// sizes limits a policy's part of the run to what fits on the disk with its WAL.
type sizes struct {
	fitting  int64 // roots that fit; 0: all
	again    bool  // already resized by the run's own WAL
	due      int64 // due roots when it was sized; 0: unknown
	reserved int64 // bytes of WAL it was sized for, including those written
	refused  bool  // not even the minimum fits
}

// runSize is the allowed size of a policy's part of the run.
type runSize struct {
	due      int64 // roots; 0: unknown
	reserved int64 // bytes of WAL
	fitting  int64 // roots; 0: all
	// refused is why not even the minimum fits.
	refused string
	// crowded: it would fit but for the other policies of the run.
	crowded bool
}

// setSize sets the size of the policy's part of the run. A refused or crowded one stops.
func (s *policyState) setSize(z runSize) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.sizes.reserved, s.sizes.due, s.sizes.fitting = z.reserved, z.due, z.fitting
	switch {
	case z.refused != "":
		s.pauses.stopped, s.sizes.refused = z.refused, s.report.RowsTotal == 0
	case z.crowded:
		s.pauses.stopped = "all space that is free until the guard storage pauses is needed by " + s.competitorsLocked() + ", in the same run"
	}
}

// refuse ends the policy's run before anything is touched: it needs a person's word.
func (s *policyState) refuse(reason string) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.pauses.stopped, s.sizes.refused = reason, true
}

// refused reports whether the policy was refused with nothing deleted.
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

// written is what a policy has deleted and written when it is resized.
type written struct{ roots, wal, fitting int64 }

// dueForResize reports whether to resize a sized part of the run: once it has deleted enough to
// judge by its own WAL, and again at its limit. If the part needs no limit, its reservation is
// corrected here by its own WAL.
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

// walOf extrapolates the WAL of roots from the roots deleted so far, of which there must be
// some.
func (x written) walOf(roots int64) int64 {
	return int64(float64(x.wal) / float64(x.roots) * float64(roots))
}

// resize sets how many roots fit, given what was written so far; 0: all.
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

// release frees the policy's reservation.
func (s *policyState) release() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	s.sizes.reserved = 0
}

// unreserved is what the other policies' reservations leave of the free bytes.
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

// writtenByOthers is the WAL written by the other policies of the run.
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

// outstandingLocked is the reserved WAL not written yet.
func (s *policyState) outstandingLocked() int64 {
	if s.err != nil || s.pauses.stopped != "" {
		return 0
	}
	return max(s.sizes.reserved-s.report.WALBytes, 0)
}

// competitorsLocked names the other policies with a reservation or written WAL.
func (s *policyState) competitorsLocked() string {
	var names []string
	for _, o := range s.run.policies {
		if o != s && (o.outstandingLocked() > 0 || o.report.WALBytes > 0) {
			names = append(names, o.report.Name)
		}
	}
	return strings.Join(names, ", ")
}
