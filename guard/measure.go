package guard

import (
	"math"
	"time"
)

// measure is the result of reading a signal once: either a number to compare with
// thresholds, or a state with its reason.
type measure struct {
	// key identifies one of several measures of a signal; each has its own gauge.
	key    string
	value  float64
	unit   string
	levels Levels
	below  bool // lower is worse
	// ceiling is the value that must never be reached; 0 means none. With it, a state is
	// left by a share of the distance between the threshold and it: something that
	// fills to 90 % and rarely shrinks much must not stay paused forever.
	ceiling float64
	// before and after are the text around the number: "the slot x keeps ", " of WAL".
	before, after string

	// external: the cause needs attention elsewhere, and a checkpoint does not help.
	// reclaimable: a checkpoint frees some or all of it.
	external, reclaimable bool

	// When reason is set, state and reason replace the number.
	state  State
	reason string
}

// reached returns the worst state whose threshold the value has reached, with each
// threshold moved towards its good side by a share, as in exitLevel.
func (m measure) reached(by float64) State {
	for _, s := range []State{Stop, Pause, Slow} {
		if at := m.level(s); at != nil && m.crossed(m.value, m.exitLevel(*at, by)) {
			return s
		}
	}
	return Go
}

// crossed reports whether a value has reached a threshold.
func (m measure) crossed(value, at float64) bool {
	if m.below {
		return value <= at
	}
	return value >= at
}

// exitLevel is the value at which the state behind a threshold is left: the threshold,
// moved to its good side by a share of itself or of the distance to ceiling, whichever
// is less.
func (m measure) exitLevel(at, by float64) float64 {
	room := by * math.Abs(at)
	if m.ceiling != 0 {
		room = by * min(math.Abs(at), max(m.ceiling-at, 0))
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

// gauge holds the current state of a measure.
type gauge struct {
	state State
	read  bool // at least one reading was taken
	// leaving is the better state that the last reading alone called for; waiting is
	// set while a second such reading is awaited.
	leaving State
	waiting bool
}

// next applies a measure and returns the state. A worse state is entered at once. A
// better one takes two readings in a row that clear the threshold by the hysteresis,
// and is the worse of the two.
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

// escalate enters a worse state without a reading.
func (g *gauge) escalate(s State) {
	if s > g.state {
		*g = gauge{state: s, read: true}
	}
}

// The share of the time that batches get while a guard says slow: maxShare at the
// slow threshold, falling to minShare at the pause threshold; defaultShare when either
// threshold is missing.
const (
	minShare     = 0.1
	maxShare     = 0.5
	defaultShare = 0.25
)

// share returns the share of the time that batches may take in a state.
func (m measure) share(s State) float64 {
	switch {
	case s == Go:
		return 1
	case s > Slow:
		return minShare
	case m.reason != "" || m.levels.Slow == nil || m.levels.Pause == nil:
		return defaultShare
	}
	from, to := *m.levels.Slow, *m.levels.Pause
	fraction := min(max((m.value-from)/(to-from), 0), 1)
	return maxShare - fraction*(maxShare-minShare)
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
	case at == nil: // held in a state that has no threshold
		return text
	case m.reached(0) >= s:
		return text + " (" + s.String() + " at " + amount(*at, m.unit) + ")"
	}
	side := "below"
	if m.below {
		side = "above"
	}
	return text + " (" + s.String() + " ends " + side + " " + amount(m.exitLevel(*at, hysteresis), m.unit) + ")"
}

// reading converts a measure in a state into a Reading.
func (m measure) reading(guard string, s State, hysteresis float64, at time.Time) Reading {
	r := Reading{Guard: guard, State: s, At: at, Share: m.share(s), Reason: m.words(s, hysteresis), external: m.external, reclaimable: m.reclaimable}
	if m.reason == "" {
		value := m.value
		r.Value, r.Unit = &value, m.unit
		r.Slow, r.Pause, r.Stop = m.levels.Slow, m.levels.Pause, m.levels.Stop
	}
	return r
}
