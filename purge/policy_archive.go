package purge

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
)

// archiveState is how one policy's run stands with its archive.
type archiveState struct {
	paused   guard.Advice      // since when the archive takes nothing
	ended    chan struct{}     // closed when it takes something again; nil: it does
	uncopied map[string]string // roots that the last pass could not copy, and why
	unlisted string            // why lists are missing in the store; empty: none are
}

// archiveFails records that the archive did not take something.
func (s *policyState) archiveFails(reason string) guard.Advice {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	x := &s.archive
	if x.ended == nil {
		x.ended, x.paused = make(chan struct{}), guard.Advice{State: guard.Pause, Guard: guard.Archive, Since: time.Now()}
	}
	x.paused.Reason = reason
	return x.paused
}

// archiveWorks records that it takes something again.
func (s *policyState) archiveWorks() {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.archive.ended != nil {
		close(s.archive.ended)
		s.archive.ended = nil
	}
}

// archivePause is the advice while the archive takes nothing, and a channel that is closed when that
// ends; nil: it takes something.
func (s *policyState) archivePause() (guard.Advice, <-chan struct{}) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	return s.archive.paused, s.archive.ended
}

// leaveUncopied records a root that cannot be copied, or not without changing meanwhile.
func (s *policyState) leaveUncopied(p *deletion.Part, err error) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.archive.uncopied == nil {
		s.archive.uncopied = map[string]string{}
	}
	s.archive.uncopied[p.RootName()] = uncopiedText(err)
}

func uncopiedText(err error) string {
	if contended(err) {
		return fmt.Sprintf("it changed, or was locked, each of the %d times that it was copied", copyTries)
	}
	if tooSlow(err) {
		return "copying it takes too long"
	}
	return "it has more dependents than a segment may hold"
}

// setUnlisted records why lists could not be written; nil: they were.
func (s *policyState) setUnlisted(err error) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	if s.archive.unlisted = ""; err != nil {
		s.archive.unlisted = pg.ErrorText(err)
	}
}

// archiveReasons explains what the archive has to do with an incomplete run, and how many expired
// rows that is about.
func (s *policyState) archiveReasons() (reasons []string, roots int64) {
	s.run.mu.Lock()
	defer s.run.mu.Unlock()
	x := s.archive
	if len(x.uncopied) > 0 {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(x.uncopied)) {
			if len(names) < namedTenants {
				names = append(names, name+": "+x.uncopied[name])
			}
		}
		reasons = append(reasons, visible.Count(int64(len(x.uncopied)), "expired row was", "expired rows were")+" not archived, and therefore not deleted: "+strings.Join(names, "; "))
	}
	if x.unlisted != "" {
		reasons = append(reasons, "lists of deleted rows are missing in the archive, and the next run writes them: "+x.unlisted)
	}
	return reasons, int64(len(x.uncopied))
}
