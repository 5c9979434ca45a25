package purge

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
)

// leaseInterval is how often a run renews its lease.
const leaseInterval = 10 * time.Second

// KeepAlive renews a run's lease, whatever its workers wait for, until the function that it returns is
// called or ctx ends.
func KeepAlive(ctx context.Context, log *slog.Logger, renew func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() {
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
			err := renew(once)
			cancel()
			if err != nil && ctx.Err() == nil {
				log.Warn("cannot renew the run's lease", "error", pg.ErrorText(err))
			}
		}
	})
	return func() {
		cancel()
		renewing.Wait()
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
