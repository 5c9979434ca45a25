package main

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	lookEvery   = 20 * time.Millisecond
	pingEvery   = 100 * time.Millisecond
	pingTimeout = 5 * time.Second
)

// watch observes a stage from outside: the free space, and whether the server answers new
// connections.
type watch struct {
	stop       func()
	both       sync.WaitGroup
	began      time.Time
	least      int64 // minimum free bytes on the volume
	samples    []sample
	pings      int
	unanswered int // pings without an answer
	lookError  error
}

// sample is a look at the volume.
type sample struct {
	at   time.Duration // since the watch began
	free int64         // bytes
}

// observe starts watching; the results are valid after end.
func (s *stage) observe(ctx context.Context) *watch {
	ctx, stop := context.WithCancel(ctx)
	w := &watch{stop: stop, began: time.Now()}
	_, w.least, w.lookError = s.space()
	w.both.Go(func() { every(ctx, lookEvery, func() { w.look(s.volume) }) })
	w.both.Go(func() { every(ctx, pingEvery, func() { w.ping(ctx, s.dsn()) }) })
	return w
}

// every calls fn until ctx is done.
func every(ctx context.Context, interval time.Duration, fn func()) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			fn()
		}
	}
}

func (w *watch) look(v *volume) {
	_, free, err := v.space()
	if err != nil {
		w.lookError = err
		return
	}
	w.samples = append(w.samples, sample{time.Since(w.began), free})
	w.least = min(w.least, free)
}

func (w *watch) ping(ctx context.Context, dsn string) {
	ok := answers(ctx, dsn)
	if ctx.Err() != nil {
		return
	}
	w.pings++
	if !ok {
		w.unanswered++
	}
}

// answers reports whether the server answers a new connection.
func answers(ctx context.Context, dsn string) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return false
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // it has answered
	return conn.Ping(ctx) == nil
}

// end stops watching; calling it again does nothing.
func (w *watch) end() {
	w.stop()
	w.both.Wait()
}
