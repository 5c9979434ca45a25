package purge

import (
	"context"
	"time"
)

// want is how many roots the next batch aims at: fewer while a guard slows the
// policy down.
func (b *batcher) nextSize() int {
	size := max(int(float64(b.size)*b.policy.state.share()), 1)
	if fitting, sized := b.policy.state.fitting(); sized {
		size = max(min(size, int(fitting)), 1)
	}
	return b.run.quota(size)
}

// pause lets the database rest after a batch: for the share of the time that the
// policy's pace and the guards leave free, and until the run is within its rate of rows again.
// No lock and no transaction lives meanwhile.
func (b *batcher) pause(ctx context.Context, rows int64, took time.Duration) {
	share := b.plan.Policy.Limits.Pace * b.policy.state.share()
	pause := time.Duration(float64(took) * (1/share - 1))
	if pause = max(pause, b.run.spend(rows)); pause > 0 {
		b.run.shared.yieldSlot(func() { b.run.sleep(ctx, pause) })
	}
}

// spend takes rows from the run's rate, and gives how long to wait for that.
func (r *Run) spend(rows int64) time.Duration {
	if r.opts.MaxRate == 0 {
		return 0
	}
	return r.state.spend(rows, r.opts.MaxRate)
}

// rows is how many rows a batch may hold: those of the policy's limit, and no
// more than the rate allows in a second.
func (b *batcher) rows() int64 {
	limit := int64(b.plan.Policy.Limits.TotalRows)
	if rate := b.run.opts.MaxRate; rate > 0 {
		return min(limit, rate)
	}
	return limit
}
