package purge

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
)

// leaseInterval is how often a run renews its lease.
const leaseInterval = 10 * time.Second

// keepAlive renews the run's lease until ctx is done, whatever its workers wait for.
func (r *Run) keepAlive(ctx context.Context) {
	t := time.NewTicker(leaseInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		// A renewal that takes longer than the interval is no sign of life.
		once, cancel := context.WithTimeout(ctx, leaseInterval)
		err := r.ledger.KeepAlive(once, r.control, r.id)
		cancel()
		if err != nil && ctx.Err() == nil {
			r.log.Warn("cannot renew the run's lease", "error", pg.ErrorText(err))
		}
	}
}

// mayHaveLostBatches reports whether the server went away since losses was read, after the run
// deleted something. Without synchronous_commit a crash undoes the last batches, so a pass
// before it that found nothing proves nothing. Whatever is committed when this returns is on
// disk.
func (r *Run) mayHaveLostBatches(ctx context.Context, losses int) bool {
	if deleted, _ := r.state.progress(); deleted == 0 {
		return false
	}
	err := r.withServer(ctx, func() error { return r.ledger.KeepAlive(ctx, r.pool, r.id) })
	if err != nil {
		r.log.Warn("cannot renew the run's lease", "error", pg.ErrorText(err))
	}
	_, now := r.state.progress()
	return err == nil && now > losses
}
