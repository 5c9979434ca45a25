package guard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Room is what there is before a purge begins.
type Room struct {
	// Free is how many bytes more may be stored until the storage guard pauses, or
	// stops where it has no threshold to pause at; at least 0. Nil: there is no such
	// guard, or it cannot be read.
	Free *int64
	// WAL is the size of pg_wal in bytes, without what is there to be written again;
	// nil: the role may not see it.
	WAL *int64
	// MaxWAL is max_wal_size in bytes.
	MaxWAL int64
	// Holders are what keeps WAL from being removed now, the largest first.
	Holders []Holder
}

// HeldBy names the holders.
func (r Room) HeldBy() []string {
	var names []string
	for _, h := range r.Holders {
		names = append(names, h.Name)
	}
	return names
}

// roomTimeouts is how many times Config.Timeout Room may take.
const roomTimeouts = 3

// Room reads what there is, in a few statements of Config.Timeout each. What one
// of them cannot read is nil; the error is of those that every role may read.
func (w *Watch) Room(ctx context.Context) (room Room, err error) {
	if !w.inTurn(ctx, func() { room, err = w.room(ctx) }) {
		return Room{}, fmt.Errorf("reading what there is room for: %w", ctx.Err())
	}
	return room, err
}

func (w *Watch) room(ctx context.Context) (Room, error) {
	var room Room
	ctx, cancel := context.WithTimeout(ctx, roomTimeouts*w.c.Timeout)
	defer cancel()
	if err := one(ctx, w.pool, `SELECT pg_size_bytes(current_setting('max_wal_size'))`, nil, &room.MaxWAL); err != nil {
		return Room{}, fmt.Errorf("reading max_wal_size: %s", why(err))
	}
	all, err := holders(ctx, w.pool, false)
	if err != nil {
		return Room{}, fmt.Errorf("reading what keeps WAL: %s", why(err))
	}
	for _, h := range all {
		if public, ok := h.public(); ok {
			room.Holders = append(room.Holders, public)
		}
	}
	largestFirst(room.Holders)
	var size int64
	if err := one(ctx, w.pool, WALInUse, nil, &size); err == nil {
		room.WAL = &size
	}
	room.Free = w.free(ctx)
	return room, nil
}

// free is how far the storage is from its pause; nil: unknown, or there is none.
func (w *Watch) free(ctx context.Context) *int64 {
	s := w.c.Storage
	bound := s.Pause
	if bound == nil {
		bound = s.Stop
	}
	if s.effective().Off != "" || bound == nil {
		return nil
	}
	// A signal of its own: the watch's belongs to its goroutine.
	own := &Watch{c: w.c, web: w.web, wal: &walDirectory{}}
	measures, err := own.storage().read(ctx, w.pool)
	if err != nil || len(measures) == 0 {
		return nil
	}
	m := measures[0]
	left := *bound - m.value
	if m.below {
		left = -left
	}
	bytes := int64(math.Max(left, 0))
	return &bytes
}

// No checkpoint is asked for within checkpointAgain intervals after one, nor within
// checkpointRest where it would give little back: reaper has written nothing since, and
// nobody kept WAL then who does not now. Each makes the server write every page whole
// once more.
const (
	checkpointAgain = 2
	checkpointRest  = time.Minute
)

// asking is what is remembered of a checkpoint.
type asking struct {
	at    time.Time // when it was asked for; zero: none was
	wrote int64     // what reaper had written by then
	again bool      // it cannot have given all back
}

// ErrCheckpointAsked is a checkpoint that was not asked for, since one was a moment
// ago.
var ErrCheckpointAsked = errors.New("one was asked for a moment ago")

// Checkpoint asks the server for a checkpoint, after which it may remove WAL, however
// often it is called: once in two intervals, and once in a minute where that gives little
// back, else it gives ErrCheckpointAsked. It does not wait for one that takes longer than
// Config.Timeout: that goes on by itself. Any other error says that this role may not
// ask, or that the server cannot be asked.
func (w *Watch) Checkpoint(ctx context.Context) error {
	now := asking{at: time.Now(), wrote: w.wrote.Load()}
	w.mu.Lock()
	before := w.ask
	rest := checkpointAgain * w.c.Every
	if !before.again && before.wrote == now.wrote {
		rest = max(rest, checkpointRest)
	}
	recently := !before.at.IsZero() && now.at.Sub(before.at) < rest
	if !recently {
		w.ask = now
	}
	w.mu.Unlock()
	if recently {
		return ErrCheckpointAsked
	}
	var err error
	if !w.inTurn(ctx, func() { err = w.checkpoint(ctx) }) {
		err = fmt.Errorf("asking for a checkpoint: %w", ctx.Err())
	}
	if err != nil { // none was
		w.mu.Lock()
		w.ask = before
		w.mu.Unlock()
	}
	return err
}

func (w *Watch) checkpoint(ctx context.Context) error {
	once, cancel := context.WithTimeout(ctx, w.c.Timeout)
	defer cancel()
	_, err := w.pool.Exec(once, "CHECKPOINT")
	switch {
	case err == nil:
		return nil
	case denies(err):
		return errors.New("asking for a checkpoint: this role may not; from PostgreSQL 15 on it needs " + checkpoint + ", before 15 only a superuser may")
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return nil
	}
	return fmt.Errorf("asking for a checkpoint: %s", why(err))
}
