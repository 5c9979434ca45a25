package daemon

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reaperdb/reaper/guard"
)

// windowed is what reads the windows of a policy file.
func windowed(all ...guard.Window) *guard.Watch {
	return guard.New(guard.Config{Allow: all}, nil, (&logbook{}).logger())
}

func noTables() []uint32 { return nil }

// isRead reports whether the windows in force have been read.
func isRead(w *watching) bool {
	for _, r := range w.current().Readings() {
		if r.Guard == guard.WindowsGuard {
			return !r.At.IsZero()
		}
	}
	return false
}

// A new policy file's guards are read from when it is in force, and those of the old one
// no more.
func TestWatching(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &watching{}
		w.adopt(windowed(guard.Window{From: 60, To: 120}), noTables)
		if w.closed() != nil {
			t.Error("windows that nobody has read yet are closed")
		}
		go w.run(t.Context())
		until(0, 0, 10)
		if r := w.closed(); r == nil || clock(r.Since) != "00:00:00" {
			t.Errorf("at midnight: %+v, want it to wait for one o'clock", r)
		}
		before := w.current()
		w.adopt(windowed(guard.Window{From: 0, To: 24 * 60}), noTables)
		synctest.Wait()
		if r := w.closed(); r != nil || w.current() == before || !isRead(w) {
			t.Errorf("by the new file it is open, and not %+v; read: %t", r, isRead(w))
		}
		w.adopt(windowed(guard.Window{From: 60, To: 120}), noTables)
		until(1, 0, 0)
		if r := w.closed(); r != nil || !isRead(w) {
			t.Errorf("at one o'clock it is open, and not %+v; read: %t", r, isRead(w))
		}
	})
}

// A run obeys the guards that are in force when it asks.
func TestWatching_Guards(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &watching{}
		w.adopt(windowed(guard.Window{From: 60, To: 120}), noTables)
		w.once(t.Context())
		guards := w.guards()
		if a := guards.Advice("a"); a.Guard != guard.WindowsGuard {
			t.Errorf("%+v, want a pause", a)
		}
		w.adopt(windowed(guard.Window{From: 120, To: 180}), noTables)
		changed := guards.Changed() // before they were read
		w.adopt(windowed(guard.Window{From: 0, To: 24 * 60}), noTables)
		select {
		case <-changed: // whoever waits is woken
		default:
			t.Error("a run that waits for the guards of the old file waits on")
		}
		w.once(t.Context())
		if a := guards.Advice("a"); a.Guard != "" {
			t.Errorf("%+v, want none", a)
		}
	})
}

// What is done again and again is done at once, in time, and when it is asked for, which
// counts once however often it is asked for meanwhile.
func TestEvery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		asked := make(chan struct{}, 1)
		var at []string
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			every(ctx, time.Minute, asked, func(context.Context) {
				at = append(at, clock(time.Now()))
				time.Sleep(10 * time.Second)
			})
		}()
		until(0, 1, 30)
		ask(asked)
		ask(asked)
		until(0, 1, 35)
		ask(asked)
		until(0, 2, 30)
		cancel()
		<-ended
		want := []string{"00:00:00", "00:01:00", "00:01:30", "00:01:40", "00:02:00"}
		if len(at) != len(want) {
			t.Fatalf("done at %v, want %v", at, want)
		}
		for i := range want {
			if at[i] != want[i] {
				t.Errorf("done at %v, want %v", at, want)
			}
		}
	})
}
