package pg

import (
	"context"
	"errors"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// Patience is how a failure that passes is waited for.
type Patience struct {
	For    time.Duration    // at most; 0: nothing is tried again
	Passes func(error) bool // whether a failure may pass
	Again  func(error)      // is told of each failure after which it is tried again; nil: nobody is
}

// Wait does something, and does it again after pauses of 100 ms to 5 s while it fails in a way that
// passes. It returns the last error.
func (p Patience) Wait(ctx context.Context, do func() error) error {
	if p.For <= 0 {
		return do()
	}
	wait := backoff.NewExponentialBackOff()
	wait.InitialInterval, wait.MaxInterval = 100*time.Millisecond, 5*time.Second
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := do()
		if err != nil && !p.Passes(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithBackOff(wait), backoff.WithMaxElapsedTime(p.For), backoff.WithNotify(func(err error, _ time.Duration) {
		if p.Again != nil {
			p.Again(err)
		}
	}))
	if permanent, ok := errors.AsType[*backoff.PermanentError](err); ok {
		return permanent.Unwrap()
	}
	return err
}
