package daemon

import (
	"context"
	"sync"

	"github.com/reaperdb/reaper/guard"
)

// watching is the reading of the guards by the policy file in force.
type watching struct {
	mu      sync.Mutex
	watch   *guard.Watch
	changed chan struct{} // closed when watch is another one
}

// adopt takes the guards of another policy file into use. touched gives the tables that
// policies are known to delete from.
func (w *watching) adopt(next *guard.Watch, touched func() []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if before := w.watch; before != nil {
		next.Succeed(before)
		before.End() // also where it was not run yet
		close(w.changed)
	}
	w.watch, w.changed = next, make(chan struct{})
	next.Touch(touched())
}

// touch adds tables that are deleted from.
func (w *watching) touch(oids []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.watch.Touch(oids)
}

// current is what reads the guards now.
func (w *watching) current() *guard.Watch {
	watch, _ := w.inForce()
	return watch
}

func (w *watching) inForce() (watch *guard.Watch, changed <-chan struct{}) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.watch, w.changed
}

// run reads the guards until ctx is done, those of another policy file from when it is
// in force.
func (w *watching) run(ctx context.Context) {
	for ctx.Err() == nil {
		watch, changed := w.inForce()
		once, cancel := context.WithCancel(ctx)
		stop := make(chan struct{})
		go func() {
			select {
			case <-changed:
				cancel()
			case <-stop:
			}
		}()
		watch.Run(once)
		close(stop)
		cancel()
	}
}

// once reads the guards a single time.
func (w *watching) once(ctx context.Context) {
	once, cancel := context.WithCancel(ctx)
	defer cancel()
	var reading sync.WaitGroup
	start(once, w.current(), &reading, 2*firstReading)
	cancel()
	reading.Wait()
}

// closed is the reading of the windows when none is open; nil: one is, or there are none.
func (w *watching) closed() *guard.Reading {
	for _, r := range w.current().Readings() {
		if r.Guard == guard.WindowsGuard && r.State == guard.Pause && !r.At.IsZero() {
			return &r
		}
	}
	return nil
}

// guards have runs obey what is in force.
func (w *watching) guards() Guards { return Guards{w.current} }
