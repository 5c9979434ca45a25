package guard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Room is the available space before a purge begins.
type Room struct {
	// Free is how many more bytes may be stored until the storage guard pauses, or stops
	// if it has no pause threshold; at least 0. Nil means there is no such guard, or it
	// cannot be read.
	Free *int64
	// WAL is the size of pg_wal in bytes, without recycled segments; nil if the role may
	// not see it.
	WAL *int64
	// MaxWAL is max_wal_size in bytes.
	MaxWAL int64
	// Holders are what keeps WAL from being removed now, largest first.
	Holders []Holder
}

// HeldBy returns the names of the holders.
func (r Room) HeldBy() []string {
	var names []string
	for _, h := range r.Holders {
		names = append(names, h.Name)
	}
	return names
}

// roomTimeouts is how many times Config.Timeout a call of Room may take.
const roomTimeouts = 3

// Room reads the available space with a few statements, each bounded by
// Config.Timeout. A value that cannot be read is nil; the error concerns the values
// that every role may read.
func (w *Watch) Room(ctx context.Context) (room Room, err error) {
	if !w.exclusively(ctx, func() { room, err = w.room(ctx) }) {
		return Room{}, fmt.Errorf("reading available storage: %w", ctx.Err())
	}
	return room, err
}

func (w *Watch) room(ctx context.Context) (Room, error) {
	var room Room
	ctx, cancel := context.WithTimeout(ctx, roomTimeouts*w.c.Timeout)
	defer cancel()
	if err := queryOne(ctx, w.pool, `SELECT pg_size_bytes(current_setting('max_wal_size'))`, nil, &room.MaxWAL); err != nil {
		return Room{}, fmt.Errorf("reading max_wal_size: %s", reasonOf(err))
	}
	all, err := holders(ctx, w.pool, false)
	if err != nil {
		return Room{}, fmt.Errorf("reading what keeps WAL: %s", reasonOf(err))
	}
	for _, h := range all {
		if exported, ok := h.exported(); ok {
			room.Holders = append(room.Holders, exported)
		}
	}
	largestFirst(room.Holders)
	var size int64
	if err := queryOne(ctx, w.pool, WALInUse, nil, &size); err == nil {
		room.WAL = &size
	}
	room.Free = w.free(ctx)
	return room, nil
}

// free is how far the storage is from its pause; nil if unknown or unlimited.
func (w *Watch) free(ctx context.Context) *int64 {
	s := w.c.Storage
	bound := s.Pause
	if bound == nil {
		bound = s.Stop
	}
	if s.effective().Off != "" || bound == nil {
		return nil
	}
	// A separate signal: the watch's own belongs to the reading goroutine.
	own := &Watch{c: w.c, web: w.web, wal: &walDirectory{}}
	measures, err := own.storage().read(ctx, w.pool)
	if err != nil || len(measures) == 0 {
		return nil
	}
	m := measures[0]
	timeLeft := *bound - m.value
	if m.below {
		timeLeft = -timeLeft
	}
	bytes := int64(math.Max(timeLeft, 0))
	return &bytes
}

// Checkpoints are expensive: after each, the server writes every page in full once
// more. Requests are at least checkpointIntervals intervals apart, and checkpointMinRest
// where another would free little: reaper has written nothing since, and nothing
// that kept WAL then has gone.
const (
	checkpointIntervals = 2
	checkpointMinRest   = time.Minute
)

// checkpointRequest is the last checkpoint request.
type checkpointRequest struct {
	at    time.Time // zero if there was none
	wrote int64     // WAL that reaper had written by then
	again bool      // it cannot have freed everything
}

// ErrCheckpointAsked is returned when a checkpoint was requested too recently to
// request another.
var ErrCheckpointAsked = errors.New("one was asked for a moment ago")

// Checkpoint requests a checkpoint, after which the server may remove WAL. It is safe
// to call often: it returns ErrCheckpointAsked within two intervals of the last
// request, or within a minute where another would free little. It does not wait for a
// checkpoint that takes longer than Config.Timeout; the server finishes it anyway. Any
// other error means that this role may not request one or the server is unreachable.
func (w *Watch) Checkpoint(ctx context.Context) error {
	now := checkpointRequest{at: time.Now(), wrote: w.wrote.Load()}
	w.mu.Lock()
	before := w.ask
	rest := checkpointIntervals * w.c.Every
	if !before.again && before.wrote == now.wrote {
		rest = max(rest, checkpointMinRest)
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
	if !w.exclusively(ctx, func() { err = w.checkpoint(ctx) }) {
		err = fmt.Errorf("asking for a checkpoint: %w", ctx.Err())
	}
	if err != nil { // none was requested
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
	case isPrivilegeError(err):
		return errors.New("asking for a checkpoint: this role may not; from PostgreSQL 15 on it needs " + checkpoint + ", before 15 only a superuser may")
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil:
		return nil
	}
	return fmt.Errorf("asking for a checkpoint: %s", reasonOf(err))
}
