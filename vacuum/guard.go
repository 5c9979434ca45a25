package vacuum

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
)

// Guard decides whether tables may be vacuumed now. Objection and Changed answer at once,
// from memory.
type Guard interface {
	// Objection returns what forbids vacuuming the tables a policy has deleted from, or nil.
	Objection(policy string) *Objection
	// Changed returns a channel that is closed when the answer may have changed since.
	Changed() <-chan struct{}
	// Wrote reports how many bytes of WAL the server wrote while a vacuum ran.
	Wrote(bytes int64)
	// AskCheckpoint requests a checkpoint, for the tables a policy has deleted from.
	AskCheckpoint(ctx context.Context, policy string)
}

// Objection is a guard that forbids a vacuum.
type Objection struct {
	Reason string // the guard's name and its reason
	// Passing means that a checkpoint would free what is missing, so waiting is worthwhile.
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

// waitForGuard returns nil once the table may be vacuumed. If a checkpoint would free what
// is missing, it requests one and waits, for all tables together no longer than one may
// take. For any other objection it gives up; autovacuum can wait. The error names the guard.
func (r *run) waitForGuard(ctx context.Context, t *table) error {
	if r.Guard == nil {
		return nil
	}
	if r.checkpointDeadline.IsZero() {
		r.checkpointDeadline = time.Now().Add(min(r.MaxWait, r.Timeout))
	}
	over := time.NewTimer(time.Until(r.checkpointDeadline))
	defer over.Stop()
	for {
		changed := r.Guard.Changed() // must precede Objection
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

// reportWAL tells the guards what the server has written since the last call for the table.
// Within one interval of theirs vacuums may write more than is free, especially since most
// are short.
func (r *run) reportWAL(ctx context.Context, t *table) {
	if r.Guard == nil {
		return
	}
	var at int64
	// Without an answer, the guards' own readings still count.
	if err := pg.Pinned(r.Pool).QueryRow(ctx, "SELECT "+pg.WALPosition).Scan(&at); err != nil {
		return
	}
	if t.position > 0 && at > t.position {
		r.Guard.Wrote(at - t.position)
	}
	t.position = at
}
