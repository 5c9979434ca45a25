package purge

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/pg"
)

// guardedError is a vacuum that a guard stands against.
type guardedError struct{ advice guard.Advice }

func (e *guardedError) Error() string { return "the guard " + e.advice.Because() }

// against is what stands against a vacuum, which writes WAL as batches do, and more;
// nil: nothing does. Dead rows do not: it is the remedy for them.
func (r *Run) against(l *litter) *guardedError {
	if r.guard == nil {
		return nil
	}
	a := r.guard.Advice(l.works[0].plan.Policy.Name, deadRows)
	if !a.Forbids() {
		return nil
	}
	return &guardedError{a}
}

// deadRows names the guard of dead rows.
const deadRows = "dead_rows"

// clear tells whether a table may be vacuumed now. Where a checkpoint gives back what
// is missing, one is asked for and waited for, for all tables together no longer than
// one may take, and not at all after a run that the guards have ended; whatever else a
// guard pauses for is autovacuum's to wait for. The error names the guard.
func (r *Run) clear(ctx context.Context, l *litter) error {
	if r.vacuumsBy.IsZero() {
		r.vacuumsBy = time.Now().Add(min(r.maxPause, r.vacuumTime))
	}
	over := time.NewTimer(time.Until(r.vacuumsBy))
	defer over.Stop()
	for r.guard != nil {
		changed := r.guard.Changed()
		wrong := r.against(l)
		if wrong == nil {
			break
		}
		if wrong.advice.State == guard.Stop || !wrong.advice.Checkpoint || l.works[0].guarded.stopped != "" {
			return wrong
		}
		l.works[0].askCheckpoint(ctx)
		select {
		case <-changed:
		case <-over.C:
			return wrong
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// weigh tells the guards what the server has written since the last look at a table's
// vacuum: within an interval of theirs vacuums may write more than is free, the more
// so as most are short.
func (r *Run) weigh(ctx context.Context, l *litter) {
	if r.guard == nil {
		return
	}
	var at int64
	// Without an answer the guards' own readings still count.
	if err := pg.Pinned(r.pool).QueryRow(ctx, "SELECT "+walSQL).Scan(&at); err != nil {
		return
	}
	if l.position > 0 && at > l.position {
		r.guard.Wrote(at - l.position)
	}
	l.position = at
}
