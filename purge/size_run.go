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

// sizing is the look before the first batch, which one worker takes at a time: it reads
// the database, and the others wait for what comes of it.
type sizing struct {
	mu      sync.Mutex
	decided bool
	failed  int             // looks
	again   <-chan struct{} // closed when there is something else to see; nil: look
}

// mostLooks is how often a look is tried that fails.
const maxSizingAttempts = 3

// look takes a look, unless one has decided, or there is nothing else to see than at
// the last one.
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

// sizeRun looks, before the first batch, whether what is due fits on the disk with the
// WAL that its deletion writes: the run is made as large as fits, or refused. While
// a guard pauses the policy, or is about to, it does not look yet, for what keeps WAL
// now may be gone when that ends.
func (w *policyRun) sizeRun(ctx context.Context) {
	if w.run.guard == nil {
		return
	}
	w.sizing.attempt(w.run.guard.Changed, func() (decided, failed bool) {
		decided, err := w.size(ctx)
		if err != nil {
			w.run.log.Warn("the run is not sized: the guards tell how it goes", "policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
		}
		return decided, err != nil
	})
}

// size is sizeRun's look. Where nothing keeps WAL there is nothing to size: a checkpoint
// gives it back, and the guards pause for that. Where nothing is free, they are about to
// pause.
func (w *policyRun) size(ctx context.Context) (decided bool, err error) {
	room, err := w.run.guard.Room(ctx)
	if err != nil {
		return false, err
	}
	if len(room.Holders) == 0 || room.Free == nil { // or no guard knows
		return true, nil
	}
	if *room.Free == 0 {
		return false, nil
	}
	perRow, err := preview.WalPerRow(ctx, w.run.pool, w.run.ledger, w.plan.Policy.Name)
	if err != nil {
		w.run.log.Warn("the run is sized by the planner's numbers alone", "policy", w.plan.Policy.Name, "error", pg.ErrorText(err))
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

// settleSize makes the run as large as fits, where so many roots are due; below 0: a
// number that is not known.
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
			z.refused = fmt.Sprintf("how much is due could not be counted in time; %d rows and what goes with them need %s", assumedRoots, all)
		}
	case free == 0 || *s.Runs == 0:
		z.crowded = true
	case roots < 0: // as many as fit
		z.fitting, z.reserved = max(int64(float64(free)/s.BytesPerRow/preview.RowsPerRoot(w.plan)), 1), free
	case *s.Runs > 1:
		z.fitting = max(int64(float64(roots)*float64(free)/float64(s.WALBytes)), 1)
	}
	w.state.setSize(z)
	switch {
	case z.fitting == 0:
	case roots < 0:
		w.run.log.Warn("the run is as large as fits: how much is due could not be counted in time", "policy", w.plan.Policy.Name, "roots", z.fitting, "free", humanize.IBytes(uint64(free)))
	default:
		w.run.log.Warn("the run is as large as fits", "policy", w.plan.Policy.Name, "roots", z.fitting, "due", roots, "needs", s.String())
	}
}

// example is how many roots stand for a number that is not known.
const assumedRoots = 10_000

// need estimates what it takes to delete so many roots; below 0: a number that is
// not known, of which some are taken for an example.
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

// fits tells whether a sized run may go on. Once it has deleted enough for its own
// WAL to tell, and again when it has come to its end, it is sized anew by what it
// has written and what is free now; or not at all any more, when nothing keeps WAL:
// then a checkpoint gives it back, and the guards pause for that.
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
	reason := fmt.Sprintf("the run was as large as fits: %s went", visible.Count(x.roots, "row", "rows"))
	if len(room.Holders) > 0 {
		reason += "; WAL is kept by " + strings.Join(room.HeldBy(), ", ")
	}
	w.state.stop(reason)
	return false
}
