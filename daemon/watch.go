package daemon

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/web"
)

// PausesGuard names the guard that is unknown while the ledger's pauses by hand cannot
// be read.
const PausesGuard = "pauses"

// NewWatch makes what reads the guards, pauses by hand among them, over one
// connection of a pool.
func NewWatch(c guard.Config, pool *pgxpool.Pool, l *ledger.Ledger, log *slog.Logger) *guard.Watch {
	c.More = append(c.More, guard.Source{Name: PausesGuard, Read: func(ctx context.Context) ([]guard.Reading, error) {
		pauses, err := l.Pauses(ctx, pool)
		if err != nil {
			return nil, err
		}
		return pauseReadings(pauses), nil
	}})
	return guard.New(c, pool, log)
}

// pauseReadings are pauses by hand as readings: one for each policy, and one for all. The
// one that ends last comes first, and so is told: a policy goes on when it is over.
func pauseReadings(pauses []ledger.Pause) []guard.Reading {
	pauses = slices.SortedStableFunc(slices.Values(pauses), func(a, b ledger.Pause) int { return b.Until.Compare(a.Until) })
	var readings []guard.Reading
	for _, p := range pauses {
		r := guard.Reading{
			Guard: guard.ByHand, State: guard.Pause, Since: p.Since,
			Reason: "until " + p.Until.UTC().Format(time.DateTime) + " UTC, by " + p.By + ": " + p.Reason,
		}
		if p.Policy != nil {
			r.Policy = *p.Policy
		}
		readings = append(readings, r)
	}
	return readings
}

// Guards have runs obey a Watch.
type Guards struct {
	watch func() *guard.Watch
}

// HeedOnce has a run obey a Watch that is first read when something is about to be
// deleted: where nothing is due, the guards cost nothing. It is read until ctx is
// done; wait waits for its end.
func HeedOnce(ctx context.Context, w *guard.Watch) (g Guards, wait func()) {
	var running sync.WaitGroup
	begin := sync.OnceFunc(func() { start(ctx, w, &running, firstReading) })
	return Guards{func() *guard.Watch {
		begin()
		return w
	}}, running.Wait
}

// firstReading is how long a run waits for the guards before it asks them.
const firstReading = 5 * time.Second

// start reads a Watch until ctx is done, and waits for its first round, within some
// time: one that was not read says so itself.
func start(ctx context.Context, w *guard.Watch, running *sync.WaitGroup, within time.Duration) {
	first := w.Changed()
	running.Go(func() { w.Run(ctx) })
	select {
	case <-first:
	case <-ctx.Done():
	case <-time.After(within):
	}
}

// Advice is purge.Guard's.
func (g Guards) Advice(policy string, but ...string) guard.Advice {
	return g.watch().Advice(policy, but...)
}

// Changed is purge.Guard's.
func (g Guards) Changed() <-chan struct{} { return g.watch().Changed() }

// Wrote is purge.Guard's.
func (g Guards) Wrote(bytes int64) { g.watch().Wrote(bytes) }

// Checkpoint is purge.Guard's.
func (g Guards) Checkpoint(ctx context.Context) (asked bool, err error) {
	err = g.watch().Checkpoint(ctx)
	if errors.Is(err, guard.ErrCheckpointAsked) {
		return false, nil
	}
	return err == nil, err
}

// Room is purge.Guard's. Nothing is asked where no guard of the storage is.
func (g Guards) Room(ctx context.Context) (guard.Room, error) {
	w := g.watch()
	for _, r := range w.Readings() {
		if r.Guard == "storage" && r.Off != "" {
			return guard.Room{}, nil
		}
	}
	return w.Room(ctx)
}

// shown are readings as the page has them.
func shown(readings []guard.Reading) []web.Guard {
	all := make([]web.Guard, 0, len(readings))
	for _, r := range readings {
		if r.Guard == guard.ByHand {
			continue // told as what it is, a pause
		}
		g := web.Guard{
			Name: r.Guard, State: r.State.String(), Value: r.Value, Unit: r.Unit, Slow: r.Slow, Pause: r.Pause, Stop: r.Stop,
			Reason: r.Reason, Unknown: r.Unknown != "", Off: r.Off != "",
		}
		if g.Off {
			g.Reason = r.Off
		}
		if !r.Since.IsZero() {
			g.Since = &r.Since
		}
		if !r.At.IsZero() {
			g.At = &r.At
		}
		all = append(all, g)
	}
	return all
}

// quickGuards is how long a reading of the guards may take that has the daemon's one
// connection for questions: longer ones have a connection of their own.
const quickGuards = 2 * time.Second

// application is the application_name of the batches' connections.
func (c Config) application() string {
	if c.Pool == nil {
		return ""
	}
	return c.Pool.Config().ConnConfig.RuntimeParams["application_name"]
}
