package guard

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// signal reads one signal: by one statement at most, within the time of ctx. No
// measure at all is go. What it cannot read is an error, beside the measures of what
// it can: a deniedError where the
// role lacks a privilege, an ownError in words that may be shown, any other as it
// comes from pgx.
type signal interface {
	read(ctx context.Context, db session) ([]measure, error)
}

// watched is a guard with its signal and the state that it is in. It belongs to
// the one goroutine that reads.
type watched struct {
	Signal
	name    string
	signal  signal
	timeout time.Duration // 0: that of all
	// elsewhere tells that it asks another server than the database, or nobody: it is
	// given no session.
	elsewhere bool

	server server // that was read last
	gauges map[string]*gauge
	seen   bool // it was read once
	// known counts the readings since it was unknown, up to two.
	known int
	last  Reading
}

// first is the reading before the first: nothing is known.
func (g *watched) first(now time.Time) Reading {
	g.gauges = map[string]*gauge{}
	g.known = 2
	if g.last = off(g.name, g.Off, now); g.Off == "" {
		g.last = g.unknown("it was not read yet", time.Time{})
		g.last.Since = now
	}
	return g.last
}

// read reads the signal and takes it in.
func (g *watched) read(ctx context.Context, w *Watch) Reading {
	timeout := g.timeout
	if timeout == 0 {
		timeout = w.c.Timeout
	}
	var measures []measure
	var err error
	w.inTurn(ctx, func() {
		var db session
		if !g.elsewhere {
			conn, failed := w.connection(ctx)
			if err = failed; err != nil {
				return
			}
			defer conn.Release()
			db = conn
		}
		once, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if err = g.recognize(once, w, db); err == nil {
			measures, err = g.signal.read(once, db)
		}
	})
	now := time.Now()
	if ctx.Err() != nil {
		return g.last
	}
	if g.name == storageGuard {
		raised := w.takeRaised()
		for _, gauge := range g.gauges {
			gauge.raise(raised)
		}
	}
	r := g.judge(measures, err, w.c, now)
	before := g.last
	if before.At.IsZero() && before.Off == "" { // the first one
		before = Reading{Guard: g.name, Since: now}
	}
	r.Since = before.Since
	if r.State != before.State {
		r.Since = now
	}
	if r.State != before.State || (r.Unknown == "") != (before.Unknown == "") || r.Off != before.Off {
		tell(ctx, w.log, r)
	}
	g.last = r
	return r
}

// judge makes a reading of what was read.
func (g *watched) judge(measures []measure, err error, c Config, now time.Time) Reading {
	if c.Implicit && !g.seen && mayNot(err) {
		return off(g.name, why(err), now)
	}
	r := g.weigh(measures, c, now)
	if err != nil {
		g.known = 0
		u := g.unknown(why(err), now)
		if r.State == Go || r.State < u.State {
			return u
		}
		r.Unknown, r.Reason = u.Unknown, r.Reason+"; besides, "+u.Unknown
		return r
	}
	g.seen = true
	g.known = min(g.known+1, 2)
	if state := g.ifUnknown(); g.known < 2 && state > r.State {
		r.State, r.Share = state, shareOf(state)
		r.Reason = g.name + " could not be read a moment ago; a second reading is waited for"
		r.somebody, r.returns = false, false
	}
	return r
}

// weigh takes the measures in, and gives the worst.
func (g *watched) weigh(measures []measure, c Config, now time.Time) Reading {
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

// unknown is the reading of a signal that cannot be read.
func (g *watched) unknown(why string, now time.Time) Reading {
	state := g.ifUnknown()
	r := Reading{Guard: g.name, State: state, Unknown: why, At: now, Share: shareOf(state)}
	if state != Go {
		r.Reason = fmt.Sprintf("%s is unknown: %s", g.name, why)
	}
	return r
}

// shareOf is the share of the time in a state that no number stands behind.
func shareOf(s State) float64 {
	return measure{reason: "none"}.share(s)
}

// tell logs that a guard's state has changed.
func tell(ctx context.Context, log *slog.Logger, r Reading) {
	level := slog.LevelInfo
	if r.State >= Pause || r.Unknown != "" {
		level = slog.LevelWarn
	}
	attrs := []slog.Attr{slog.String("guard", r.Guard), slog.String("state", r.State.String())}
	for _, text := range []struct{ key, value string }{{"reason", r.Reason}, {"unknown", r.Unknown}, {"off", r.Off}} {
		if text.value != "" && (text.key != "unknown" || r.Reason == "") {
			attrs = append(attrs, slog.String(text.key, text.value))
		}
	}
	log.LogAttrs(ctx, level, "a guard has changed its state", attrs...)
}
