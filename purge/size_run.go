package purge

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/dustin/go-humanize"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/preview"
)

// sizing is the storage check before the first batch. One worker runs it while the others wait
// for the result.
type sizing struct {
	mu      sync.Mutex
	decided bool
	failed  int             // attempts
	again   <-chan struct{} // closed when another attempt may differ; nil: none yet
}

// maxSizingAttempts is how many attempts may fail.
const maxSizingAttempts = 3

// attempt calls size, unless it is already decided or nothing has changed since the last
// attempt.
func (s *sizing) attempt(changed func() <-chan struct{}, size func() (decided, failed bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.decided {
		return
	}
	select {
	case <-s.again:
	default:
		if s.again != nil {
			return
		}
	}
	s.again = changed()
	decided, failed := size()
	if failed {
		s.failed++
	}
	s.decided = decided || s.failed == maxSizingAttempts
}

// sizeRun checks, before the first batch, whether deleting what is due fits on the disk with
// the WAL it writes. If not, it limits the run or refuses it. While a guard pauses the policy,
// or is about to, the check is postponed: what holds WAL now may be gone after the pause.
func (w *policyRun) sizeRun(ctx context.Context) {
	if w.run.guard == nil {
		return
	}
	w.sizing.attempt(w.run.guard.Changed, func() (decided, failed bool) {
		decided, err := w.size(ctx)
		if err != nil {
			w.run.log.Warn("cannot check storage for the run; relying on guards", "policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
		}
		return decided, err != nil
	})
}

// size does the check of sizeRun. If nothing holds WAL, there is nothing to check: a checkpoint
// recycles WAL, and the guards pause for it. If nothing is free, the guards are about to pause.
func (w *policyRun) size(ctx context.Context) (decided bool, err error) {
	room, err := w.run.guard.Room(ctx)
	if err != nil {
		return false, err
	}
	if len(room.Holders) == 0 || room.Free == nil { // no guard measures it
		return true, nil
	}
	if *room.Free == 0 {
		return false, nil
	}
	perRow, err := preview.WalPerRow(ctx, w.run.pool, w.run.ledger, w.plan.Policy.Name)
	if err != nil {
		w.run.log.Warn("estimating storage from planner statistics only", "policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
	}
	roots := w.countDue(ctx)
	if most := w.run.opts.MaxRows; most > 0 && roots > most {
		roots = most
	}
	if roots == 0 {
		return true, nil
	}
	w.settleSize(roots, perRow, room)
	return true, nil
}

// settleSize limits the run to what fits, given the number of due roots; negative: unknown.
func (w *policyRun) settleSize(roots int64, perRow float64, room guard.Room) {
	all := w.need(roots, perRow, room)
	written, free := *room.Free+w.state.writtenByOthers(), w.state.unreserved(*room.Free)
	room.Free = &written
	alone := w.need(roots, perRow, room)
	room.Free = &free
	s := w.need(roots, perRow, room)
	z := runSize{reserved: min(s.WALBytes, free), due: max(roots, 0)}
	switch {
	case *all.Runs == 0 && *alone.Runs == 0:
		z.refused = fmt.Sprintf("%s due need %s", visible.Count(roots, "row", "rows"), all)
		if roots < 0 {
			z.refused = fmt.Sprintf("counting due rows timed out; %d rows and their dependents need %s", assumedRoots, all)
		}
	case free == 0 || *s.Runs == 0:
		z.crowded = true
	case roots < 0:
		z.fitting, z.reserved = max(int64(float64(free)/s.BytesPerRow/preview.RowsPerRoot(w.plan)), 1), free
	case *s.Runs > 1:
		z.fitting = max(int64(float64(roots)*float64(free)/float64(s.WALBytes)), 1)
	}
	w.state.setSize(z)
	switch {
	case z.fitting == 0:
	case roots < 0:
		w.run.log.Warn("run limited by free disk space; counting due rows timed out", "policy", w.plan.Policy.Name, "roots", z.fitting, "free", humanize.IBytes(uint64(free)))
	default:
		w.run.log.Warn("run limited by free disk space", "policy", w.plan.Policy.Name, "roots", z.fitting, "due", roots, "needs", s.String())
	}
}

// assumedRoots is used where the number of due roots is unknown.
const assumedRoots = 10_000

// need estimates the storage that deleting roots takes; negative: assumedRoots.
func (w *policyRun) need(roots int64, perRow float64, room guard.Room) preview.Storage {
	if roots < 0 {
		roots = assumedRoots
	}
	rows := map[string]int64{}
	for _, n := range w.plan.Nodes {
		if n.Deleted {
			rows[n.Table.Name.String()] = int64(float64(roots) * preview.PerRoot(w.plan, n))
		}
	}
	return preview.StorageOf(w.plan, rows, perRow, room)
}

// fits reports whether a sized run may continue. Once it has deleted enough to judge by its own
// WAL, and again at its limit, it is resized by what it wrote and what is free now. The limit
// is lifted when nothing holds WAL any more: then a checkpoint recycles it, and the guards
// pause for it.
func (w *policyRun) fits(ctx context.Context) bool {
	if w.sizeRun(ctx); w.stopping() {
		return false
	}
	x, again := w.state.dueForResize()
	if !again {
		return true
	}
	fitting := x.fitting
	room, err := w.run.guard.Room(ctx)
	switch {
	case err == nil && len(room.Holders) == 0:
		fitting = 0
	case err == nil && room.Free != nil && x.wal > 0 && x.roots > 0:
		fitting = x.roots + int64(float64(w.state.unreserved(*room.Free))/(float64(x.wal)/float64(x.roots)))
	}
	w.state.resize(x, fitting)
	if fitting == 0 || fitting > x.roots {
		return true
	}
	reason := fmt.Sprintf("run limited by free disk space: %s deleted", visible.Count(x.roots, "row", "rows"))
	if len(room.Holders) > 0 {
		reason += "; WAL is kept by " + strings.Join(room.HeldBy(), ", ")
	}
	w.state.stop(reason)
	return false
}
