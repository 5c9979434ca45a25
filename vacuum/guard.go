package vacuum

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
)

// Guard says whether tables may be vacuumed now. Objection and Changed answer at once,
// from memory.
type Guard interface {
	// Objection is what stands against vacuuming what a policy has deleted from; nil:
	// nothing does.
	Objection(policy string) *Objection
	// Changed is closed when there may be another answer than before the call.
	Changed() <-chan struct{}
	// Wrote is told how many bytes of WAL the server has written while a vacuum ran.
	Wrote(bytes int64)
	// AskCheckpoint asks the server for a checkpoint, for what a policy has deleted from.
	AskCheckpoint(ctx context.Context, policy string)
}

// Objection is a guard that stands against a vacuum.
type Objection struct {
	Reason string // the guard's name, and why
	// Passing: a checkpoint would give back what is missing, and is worth waiting for.
	Passing bool
}

// Error names the guard.
func (o *Objection) Error() string { return "the guard " + o.Reason }

func (r *run) objection(t *table) *Objection {
	if r.Guard == nil {
		return nil
	}
	return r.Guard.Objection(t.Policy)
}

// waitForGuard settles whether a table may be vacuumed now: nil if it may. Where a
// checkpoint gives back what is missing, one is asked for and waited for, for all tables
// together no longer than one may take; whatever else a guard pauses for is autovacuum's
// to wait for. The error names the guard.
func (r *run) waitForGuard(ctx context.Context, t *table) error {
	if r.Guard == nil {
		return nil
	}
	if r.waitsUntil.IsZero() {
		r.waitsUntil = time.Now().Add(min(r.MaxWait, r.Timeout))
	}
	over := time.NewTimer(time.Until(r.waitsUntil))
	defer over.Stop()
	for {
		changed := r.Guard.Changed() // before the objection
		objection := r.objection(t)
		if objection == nil {
			return nil
		}
		if !objection.Passing {
			return objection
		}
		r.Guard.AskCheckpoint(ctx, t.Policy)
		select {
		case <-changed:
		case <-over.C:
			return objection
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// reportWAL tells the guards what the server has written since the last look at a
// table's vacuum: within an interval of theirs vacuums may write more than is free, the
// more so as most are short.
func (r *run) reportWAL(ctx context.Context, t *table) {
	if r.Guard == nil {
		return
	}
	var at int64
	// Without an answer the guards' own readings still count.
	if err := pg.Pinned(r.Pool).QueryRow(ctx, "SELECT "+pg.WALPosition).Scan(&at); err != nil {
		return
	}
	if t.position > 0 && at > t.position {
		r.Guard.Wrote(at - t.position)
	}
	t.position = at
}
