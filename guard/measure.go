package guard

import (
	"math"
	"time"
)

// measure is what one reading of a signal gave: a number to be held against
// thresholds, or a state by itself.
type measure struct {
	// key tells the measures of one signal apart: each has its own gauge.
	key    string
	value  float64
	unit   string
	levels Levels
	below  bool // the lower the worse
	// full is the value that is never to be reached; 0: there is none. A state is then
	// left by a share of what is between the threshold and it: what fills up to 90 %
	// and never shrinks much is not held to be too full for good.
	full float64
	// before and after are the words around the number: "the slot x keeps ", " of WAL".
	before, after string

	// somebody tells that the words name who has to be seen to: no checkpoint helps.
	// returns tells that a checkpoint gives it back, or a part.
	somebody, returns bool

	// state and reason stand for themselves when there is a reason.
	state  State
	reason string
}

// reached is the worst state whose threshold the value has reached, each
// threshold moved to its good side by a share, as exit does.
func (m measure) reached(by float64) State {
	for _, s := range []State{Stop, Pause, Slow} {
		if at := m.level(s); at != nil && m.bad(m.value, m.exit(*at, by)) {
			return s
		}
	}
	return Go
}

// bad tells that a value has reached a threshold.
func (m measure) bad(value, at float64) bool {
	if m.below {
		return value <= at
	}
	return value >= at
}

// exit is the value at which a state is left that is entered at a threshold: on its
// good side by a share of the threshold, or of what is between it and full, if that is
// less.
func (m measure) exit(at, by float64) float64 {
	room := by * math.Abs(at)
	if m.full != 0 {
		room = by * min(math.Abs(at), max(m.full-at, 0))
	}
	if m.below {
		return at + room
	}
	return at - room
}

func (m measure) level(s State) *float64 {
	switch s {
	case Slow:
		return m.levels.Slow
	case Pause:
		return m.levels.Pause
	case Stop:
		return m.levels.Stop
	}
	return nil
}

// gauge remembers the state that a measure is in.
type gauge struct {
	state State
	read  bool // there was a reading
	// leaving is what the last reading alone would have had, which was better than
	// the state; waiting tells that there is such a reading.
	leaving State
	waiting bool
}

// next takes a measure in, and gives the state. A worse one is entered at once; a
// better one when two readings in a row are on the good side of the threshold by
// the hysteresis, and then the worse of the two.
func (g *gauge) next(m measure, hysteresis float64) State {
	if m.reason != "" {
		*g = gauge{state: m.state, read: true}
		return g.state
	}
	now := m.reached(0)
	if !g.read || now >= g.state {
		*g = gauge{state: now, read: true}
		return g.state
	}
	held := min(m.reached(hysteresis), g.state)
	switch {
	case held == g.state:
		g.waiting = false
	case g.waiting:
		*g = gauge{state: max(held, g.leaving), read: true}
	default:
		g.leaving, g.waiting = held, true
	}
	return g.state
}

// raise enters a worse state without a reading.
func (g *gauge) raise(s State) {
	if s > g.state {
		*g = gauge{state: s, read: true}
	}
}

// The share of the time that batches take while a guard says slow: from the first
// at the threshold of slow down to the last at that of pause; without one, the
// third.
const (
	slowest    = 0.1
	fastest    = 0.5
	unmeasured = 0.25
)

// share is the share of the time that batches may take in a state.
func (m measure) share(s State) float64 {
	switch {
	case s == Go:
		return 1
	case s > Slow:
		return slowest
	case m.reason != "" || m.levels.Slow == nil || m.levels.Pause == nil:
		return unmeasured
	}
	from, to := *m.levels.Slow, *m.levels.Pause
	way := min(max((m.value-from)/(to-from), 0), 1)
	return fastest - way*(fastest-slowest)
}

// words says in one line why a measure is in a state; empty for Go.
func (m measure) words(s State, hysteresis float64) string {
	switch {
	case s == Go:
		return ""
	case m.reason != "":
		return m.reason
	}
	text := m.before + amount(m.value, m.unit) + m.after
	at := m.level(s)
	switch {
	case at == nil: // held in a state that is between two
		return text
	case m.reached(0) >= s:
		return text + " (" + s.String() + " at " + amount(*at, m.unit) + ")"
	}
	side := "below"
	if m.below {
		side = "above"
	}
	return text + " (" + s.String() + " ends " + side + " " + amount(m.exit(*at, hysteresis), m.unit) + ")"
}

// reading makes a reading of a measure in a state.
func (m measure) reading(guard string, s State, hysteresis float64, at time.Time) Reading {
	r := Reading{Guard: guard, State: s, At: at, Share: m.share(s), Reason: m.words(s, hysteresis), somebody: m.somebody, returns: m.returns}
	if m.reason == "" {
		value := m.value
		r.Value, r.Unit = &value, m.unit
		r.Slow, r.Pause, r.Stop = m.levels.Slow, m.levels.Pause, m.levels.Stop
	}
	return r
}
