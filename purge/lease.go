package purge

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
)

// aliveEvery is how often a run says that it is alive.
const leaseInterval = 10 * time.Second

// keepAlive renews the lease of a run, whatever its workers wait for, until ctx is
// done.
func (r *Run) keepAlive(ctx context.Context) {
	t := time.NewTicker(leaseInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		// One that does not come back at once is no sign of life any more.
		once, cancel := context.WithTimeout(ctx, leaseInterval)
		err := r.ledger.KeepAlive(once, r.control, r.id)
		cancel()
		if err != nil && ctx.Err() == nil {
			r.log.Warn("cannot renew the run's lease", "error", pg.ErrorText(err))
		}
	}
}

// lost reports whether batches may have been undone since there were so many
// losses: without synchronous_commit a crash of the server takes the last ones
// along, and a pass that came before it has found nothing in vain. What is
// committed by the time of the answer is on disk.
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
