package purge

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
)

// haltTimeout is how long a stopping run still waits for the server, to resolve its last batch
// and to record its end.
const haltTimeout = 5 * time.Second

// withServer runs fn, and retries while the server is away or out of resources, until patience
// runs out.
func (r *Run) withServer(ctx context.Context, fn func() error) error {
	started := time.Now()
	return pg.Patience{For: r.patience, Passes: func(err error) bool {
		var stopping time.Duration
		if r.halt.Err() != nil {
			stopping = time.Since(started)
		}
		if decideServer(err, ctx.Err() != nil, stopping) != awaitServer {
			return false
		}
		r.state.serverLost()
		r.notify(func(o Observer) { o.Retry("", reasonOf(err)) })
		r.log.Warn("the database did not answer; trying again", "error", pg.ErrorText(err))
		return true
	}}.Wait(ctx, fn)
}

// backoff is the delay before the next try: 50 ms, doubling up to 2 s, with jitter.
func (r *Run) backoff(try int) time.Duration {
	d := min(50*time.Millisecond<<min(try, 10), 2*time.Second)
	return d/2 + rand.N(d/2+1)
}

// sleep waits for d, or until the run stops.
func (r *Run) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-r.halt.Done():
	}
}
