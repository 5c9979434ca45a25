package metrics

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Guard is what a guard says.
type Guard struct {
	Name  string
	State string    // go, slow, pause or stop
	Value *float64  // nil: not known
	Unit  string    // of Value: bytes, bytes_per_second, seconds, sessions, ratio; empty: a plain number
	Since time.Time // of a state that is not go; zero: it is, or nobody knows since when
	// Unknown: it could not be read.
	Unknown bool
}

// SetGuards gives what the guards say, all of them: guards that are not among them
// lose their series. Of several with one name, such as one of each policy, the
// worst counts.
func (m *Metrics) SetGuards(list []Guard) {
	m.guards.mu.Lock()
	defer m.guards.mu.Unlock()
	m.guards.list = worst(list)
}

// worst is one guard of each name. A state that is none of the words is left out.
func worst(list []Guard) []Guard {
	var kept []Guard
	for _, g := range list {
		i := slices.IndexFunc(kept, func(k Guard) bool { return k.Name == g.Name })
		switch {
		case g.number() < 0:
		case i < 0:
			kept = append(kept, g)
		case g.number() > kept[i].number(), g.number() == kept[i].number() && kept[i].Unknown:
			kept[i] = g
		}
	}
	return kept
}

// number is the state's; below zero: there is no such state.
func (g Guard) number() int { return slices.Index(guardStates, g.State) }

// unit is the word of the label.
func (g Guard) unit() string {
	if g.Unit == "" {
		return "number"
	}
	return oneOf(units, g.Unit)
}

// guards is a collector, so that a scrape sees one reading of all guards.
type guards struct {
	mu   sync.Mutex
	list []Guard
}

var (
	guardState   = prometheus.NewDesc("reaper_guard_state", "What the guard says: 0 go, 1 slow, 2 pause, 3 stop.", []string{"guard"}, nil)
	guardValue   = prometheus.NewDesc("reaper_guard_value", "What the guard has read, in the unit of the label; absent while it is not known.", []string{"guard", "unit"}, nil)
	guardUnknown = prometheus.NewDesc("reaper_guard_unknown", "1 while the guard cannot be read, else 0.", []string{"guard"}, nil)
	guardSince   = prometheus.NewDesc("reaper_guard_active_since_timestamp_seconds", "Since when the guard slows, pauses or stops; absent while it says go.", []string{"guard"}, nil)
)

// Describe implements prometheus.Collector.
func (*guards) Describe(ch chan<- *prometheus.Desc) {
	ch <- guardState
	ch <- guardValue
	ch <- guardUnknown
	ch <- guardSince
}

// Collect implements prometheus.Collector.
func (g *guards) Collect(ch chan<- prometheus.Metric) {
	g.mu.Lock()
	list := g.list
	g.mu.Unlock()
	for _, x := range list {
		tell := func(desc *prometheus.Desc, value float64, more ...string) {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{x.Name}, more...)...)
		}
		tell(guardState, float64(x.number()))
		tell(guardUnknown, number(x.Unknown))
		if x.Value != nil {
			tell(guardValue, *x.Value, x.unit())
		}
		if !x.Since.IsZero() {
			tell(guardSince, seconds(x.Since))
		}
	}
}
