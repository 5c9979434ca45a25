package erasing

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
)

// action is what follows an error.
type action string

const (
	tryAgain    action = "try again"    // after a moment
	awaitResume action = "await resume" // a person has paused it
	awaitServer action = "await server" // until patience runs out
	lookAgain   action = "look again"   // whether the server may be deleted from
	goOnGone    action = "go on gone"   // the tenant's row has gone meanwhile
	withdraw    action = "withdraw"     // `when` no longer holds
	giveUp      action = "give up"
)

// mostTries is how often a batch is tried that others stand in the way of.
const mostTries = 40

// decide decides from nothing but its arguments what follows the error of a batch. tries is how often
// it was tried before, ended whether the run's context has ended.
func decide(err error, tries int, ended bool) action {
	var halt stop
	switch {
	case ended, errors.As(err, &halt):
		return giveUp
	case errors.Is(err, errPausedByHand):
		return awaitResume
	case errors.Is(err, errMoved):
		return lookAgain
	case errors.Is(err, errVanished):
		return goOnGone
	case errors.Is(err, errNotDue):
		return withdraw
	case pg.Passes(err):
		if tries+1 < mostTries {
			return tryAgain
		}
		return giveUp
	case serverAway(err):
		return awaitServer
	}
	return giveUp
}

// serverAway reports whether the connection was lost, or the server is away or out of resources.
func serverAway(err error) bool {
	_, reported := errors.AsType[*pgconn.PgError](err)
	return reported && pg.Away(err) || pg.Lost(err)
}

// delay is how long to wait before the next try: 10 ms, doubling up to a second, with jitter.
func delay(try int) time.Duration {
	d := min(10*time.Millisecond<<min(try, 10), time.Second)
	return d/2 + rand.N(d/2+1)
}

// sleep waits, or until the run stops.
func (x *run) sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	case <-x.Stopping.Done():
	}
}

// patiently does something again while the server is away, until patience runs out.
func (x *run) patiently(ctx context.Context, do func() error) error {
	return pg.Patience{For: x.Patience, Passes: func(err error) bool { return ctx.Err() == nil && serverAway(err) }}.Wait(ctx, do)
}

// ended reports whether the run is to end, after the current batch or at once.
func (x *run) ended(ctx context.Context) bool { return ctx.Err() != nil || x.Stopping.Err() != nil }
