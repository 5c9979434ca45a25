package purge

import (
	"context"
	"time"
)

// nextSize is how many roots the next batch aims for: fewer while a guard slows the policy.
func (b *batcher) nextSize() int {
	size := max(int(float64(b.size)*b.policy.state.share()), 1)
	if fitting, sized := b.policy.state.fitting(); sized {
		size = max(min(size, int(fitting)), 1)
	}
	return b.run.quota(size)
}

// pause rests after a batch, without a lock or transaction: for the share of time that the
// policy's pace and the guards require, and until the run is within its row rate.
func (b *batcher) pause(ctx context.Context, rows int64, took time.Duration) {
	share := b.plan.Policy.Limits.Pace * b.policy.state.share()
	pause := time.Duration(float64(took) * (1/share - 1))
	if pause = max(pause, b.run.spend(rows)); pause > 0 {
		b.run.shared.yieldSlot(func() { b.run.sleep(ctx, pause) })
	}
}

// spend charges rows to the run's rate and returns how long to wait.
func (r *Run) spend(rows int64) time.Duration {
	if r.opts.MaxRate == 0 {
		return 0
	}
	return r.state.spend(rows, r.opts.MaxRate)
}

// rows is how many rows a batch may hold: the policy's limit, or what the rate allows per
// second if less.
func (b *batcher) rows() int64 {
	limit := int64(b.plan.Policy.Limits.TotalRows)
	if rate := b.run.opts.MaxRate; rate > 0 {
		return min(limit, rate)
	}
	return limit
}
