package purge

import (
	"context"
)

// Shared keeps runs that are under way at once within the connections that they
// have together.
type Shared struct {
	turns                chan struct{} // as many as batches may be under way
	exclusive, vacuuming chan struct{} // of one run
}

// NewShared makes what runs share that may have so many batches under way.
func NewShared(connections int) *Shared {
	return &Shared{turns: make(chan struct{}, max(connections, 1)), exclusive: make(chan struct{}, 1), vacuuming: make(chan struct{}, 1)}
}

// yieldSlot lets others have the turn while its holder does nothing.
func (s *Shared) yieldSlot(pause func()) {
	<-s.turns
	pause()
	s.turns <- struct{}{}
}

// turn waits for a turn of one worker, and gives what ends it; nil: ctx ended.
func (s *Shared) turn(ctx context.Context) func() {
	select {
	case s.turns <- struct{}{}:
		return func() { <-s.turns }
	case <-ctx.Done():
		return nil
	}
}

// exclusively does what holds one connection while it waits for another, which one run
// at a time may: two could wait for each other for ever.
func (w *policyRun) exclusively(ctx context.Context, do func(context.Context)) {
	select {
	case w.run.shared.exclusive <- struct{}{}:
		defer func() { <-w.run.shared.exclusive }()
		do(ctx)
	case <-ctx.Done():
		w.fail(ctx.Err())
	case <-w.run.halt.Done():
	}
}
