package guard

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// signal reads one signal with at most one statement, within the deadline of ctx. No
// measures means go. If only part can be read, it returns the measures it has along
// with an error: a deniedError if the role lacks a privilege, an ownError if the text
// is safe to show, or else the error from pgx.
type signal interface {
	read(ctx context.Context, db session) ([]measure, error)
}

// watched is a guard with its signal and current state. Only the reading goroutine
// uses it.
type watched struct {
	Signal
	name    string
	signal  signal
	timeout time.Duration // 0 means Config.Timeout
	// noSession reports whether the signal does not query the database; read then gets
	// no session.
	noSession bool

	server server // as of the last reading
	gauges map[string]*gauge
	seen   bool // it has been read at least once
	// known counts the readings since it was last unknown, up to two.
	known int
	last  Reading
}

// first returns the initial reading, when nothing is known yet.
func (g *watched) first(now time.Time) Reading {
	g.gauges = map[string]*gauge{}
	g.known = 2
	if g.last = off(g.name, g.Off, now); g.Off == "" {
		g.last = g.unknown("it has not been read yet", time.Time{})
		g.last.Since = now
	}
	return g.last
}

// read reads the signal and updates the guard's state.
func (g *watched) read(ctx context.Context, w *Watch) Reading {
	timeout := g.timeout
	if timeout == 0 {
		timeout = w.c.Timeout
	}
	var measures []measure
	var err error
	w.exclusively(ctx, func() {
		var db session
		if !g.noSession {
			conn, failed := w.connection(ctx)
			if err = failed; err != nil {
				return
			}
			defer conn.Release()
			db = conn
		}
		once, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if err = g.detectServerChange(once, w, db); err == nil {
			measures, err = g.signal.read(once, db)
		}
	})
	now := time.Now()
	if ctx.Err() != nil {
		return g.last
	}
	if g.name == storageGuard {
		projected := w.takeProjected()
		for _, gauge := range g.gauges {
			gauge.escalate(projected)
		}
	}
	r := g.judge(measures, err, w.c, now)
	before := g.last
	if before.At.IsZero() && before.Off == "" { // the first reading
		before = Reading{Guard: g.name, Since: now}
	}
	r.Since = before.Since
	if r.State != before.State {
		r.Since = now
	}
	if r.State != before.State || (r.Unknown == "") != (before.Unknown == "") || r.Off != before.Off {
		logChange(ctx, w.log, r, before)
	}
	g.last = r
	return r
}

// judge turns what was read into a Reading.
func (g *watched) judge(measures []measure, err error, c Config, now time.Time) Reading {
	if c.Implicit && !g.seen && lacksPrivilege(err) {
		return off(g.name, reasonOf(err), now)
	}
	r := g.apply(measures, c, now)
	if err != nil {
		g.known = 0
		u := g.unknown(reasonOf(err), now)
		if r.State == Go || r.State < u.State {
			return u
		}
		r.Unknown, r.Reason = u.Unknown, r.Reason+"; also, "+u.Unknown
		return r
	}
	g.seen = true
	g.known = min(g.known+1, 2)
	if state := g.ifUnknown(); g.known < 2 && state > r.State {
		r.State, r.Share = state, shareOf(state)
		r.Reason = g.name + " could not be read a moment ago; waiting for a second good reading"
		r.external, r.reclaimable = false, false
	}
	return r
}

// apply applies the measures and returns the worst reading.
func (g *watched) apply(measures []measure, c Config, now time.Time) Reading {
	worst := Reading{Guard: g.name, At: now, Share: 1}
	for i, m := range measures {
		if g.gauges[m.key] == nil {
			g.gauges[m.key] = &gauge{}
		}
		r := m.reading(g.name, g.gauges[m.key].next(m, c.Hysteresis), c.Hysteresis, now)
		if i == 0 || r.State > worst.State || r.State == worst.State && r.Share < worst.Share {
			worst = r
		}
	}
	return worst
}

// unknown returns the reading of a signal that cannot be read.
func (g *watched) unknown(reason string, now time.Time) Reading {
	state := g.ifUnknown()
	r := Reading{Guard: g.name, State: state, Unknown: reason, At: now, Share: shareOf(state)}
	if state != Go {
		r.Reason = fmt.Sprintf("%s is unknown: %s", g.name, reason)
	}
	return r
}

// shareOf is the share of the time in a state that has no number behind it.
func shareOf(s State) float64 {
	return measure{reason: "none"}.share(s)
}

// logChange logs a change of a guard's state. That the database is down, and up again, is logged
// once by whoever asks it, and not by each guard.
func logChange(ctx context.Context, log *slog.Logger, r, before Reading) {
	level := slog.LevelInfo
	switch {
	case r.Unknown == databaseAway, before.Unknown == databaseAway && r.State == Go && r.Unknown == "":
		level = slog.LevelDebug
	case r.State >= Pause, r.Unknown != "":
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("guard", r.Guard), slog.String("state", r.State.String())}
	for _, text := range []struct{ key, value string }{{"reason", r.Reason}, {"unknown", r.Unknown}, {"off", r.Off}} {
		if text.value != "" && (text.key != "unknown" || r.Reason == "") {
			attrs = append(attrs, slog.String(text.key, text.value))
		}
	}
	log.LogAttrs(ctx, level, "guard state changed", attrs...)
}
