package purge

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/reaperdb/reaper/internal/pg"
)

// haltPatience is how long a run that is to end still waits for the server, to
// learn what became of its last batch and to record its end.
const haltTimeout = 5 * time.Second

// withServer runs fn, and again when the server went away or is out of
// resources, for as long as patience lasts.
func (r *Run) withServer(ctx context.Context, fn func() error) error {
	started := time.Now()
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := fn()
		if err == nil {
			return struct{}{}, nil
		}
		var stopping time.Duration
		if r.halt.Err() != nil {
			stopping = time.Since(started)
		}
		if decideServer(err, ctx.Err() != nil, stopping) != awaitServer {
			return struct{}{}, backoff.Permanent(err)
		}
		r.state.serverLost()
		r.notify(func(o Observer) { o.Retry("", reasonOf(err)) })
		r.log.Warn("the database did not answer; trying again", "error", pg.ErrorText(err))
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(r.patience))
	var permanent *backoff.PermanentError
	if errors.As(err, &permanent) {
		return permanent.Unwrap()
	}
	return err
}

// backoff is the pause before the next try, with jitter: 50 ms doubled, at
// most 2 s.
func (r *Run) backoff(try int) time.Duration {
	d := min(50*time.Millisecond<<min(try, 10), 2*time.Second)
	return d/2 + rand.N(d/2+1)
}

// sleep waits, unless the run is to end.
func (r *Run) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-r.halt.Done():
	}
}
