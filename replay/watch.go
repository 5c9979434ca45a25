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

// watch looks at a stage from outside: how much is free, and whether the server
// answers a new connection.
type watch struct {
	stop      func()
	both      sync.WaitGroup
	least     int64 // bytes free on the volume, of all looks
	looks     int
	pings     int
	silent    int // pings without an answer
	lookError error
}

// observe begins to watch; the figures are there after end.
func (s *stage) observe(ctx context.Context) *watch {
	ctx, stop := context.WithCancel(ctx)
	w := &watch{stop: stop}
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
	w.looks++
	w.least = min(w.least, free)
}

func (w *watch) ping(ctx context.Context, dsn string) {
	ok := answers(ctx, dsn)
	if ctx.Err() != nil {
		return
	}
	w.pings++
	if !ok {
		w.silent++
	}
}

// answers tells whether the server answers a new connection.
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

// end stops watching; a second end does nothing.
func (w *watch) end() {
	w.stop()
	w.both.Wait()
}
