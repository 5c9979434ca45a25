package guard

import (
	"context"
	"time"
)

// The defaults of a Config.
const (
	DefaultEvery      = 5 * time.Second
	DefaultTimeout    = 2 * time.Second
	DefaultMaxPause   = 30 * time.Minute
	DefaultHysteresis = 0.1
)

// Config says what to watch. The zero Config watches nothing.
type Config struct {
	Every   time.Duration // between readings; 0 means DefaultEvery
	Timeout time.Duration // of one statement; 0 means DefaultTimeout
	// MaxPause is the longest pause of a run; 0 means DefaultMaxPause. Runs enforce it;
	// here it only bounds how long a missing replica counts as missing.
	MaxPause time.Duration
	// Shared reports whether others use the connection too: then no statement may take
	// longer than Timeout, not even the latency probe.
	Shared bool
	// Application is the application_name of reaper's batches; empty means reaper.
	Application string
	// Hysteresis is the share of a threshold by which a value must clear it before the
	// state is left; 0 means DefaultHysteresis.
	Hysteresis float64
	// Implicit is set when the policy file configures no guards. Signals that the role
	// may not read from the start are then off instead of unknown.
	Implicit bool

	Storage           Storage
	WALBacklog        Signal // bytes
	WALRate           WALRate
	ReplicaLag        ReplicaLag
	Connections       Signal // share of the available connections
	LockWaits         Signal // sessions waiting for a batch
	OldestTransaction Signal // seconds
	DeadRows          DeadRows
	Latency           Signal // seconds
	Checkpoint        Signal // WAL since the last one began, as a share of max_wal_size
	Custom            []Custom
	// Allow holds the windows in which batches may run; empty means always.
	Allow []Window
	// More lists external sources, read every round.
	More []Source
}

// Source gives readings from outside of this package.
type Source struct {
	// Name is that of the guard that is unknown while the source cannot be read.
	Name string
	// Read returns readings in its own order, within the timeout of a statement.
	Read func(ctx context.Context) ([]Reading, error)
}

// Levels are thresholds; nil means none.
type Levels struct{ Slow, Pause, Stop *float64 }

// None reports whether there is no threshold at all.
func (l Levels) None() bool { return l.Slow == nil && l.Pause == nil && l.Stop == nil }

// worst returns the worst state that has a threshold.
func (l Levels) worst() State {
	for _, s := range []State{Stop, Pause, Slow} {
		if (measure{levels: l}).level(s) != nil {
			return s
		}
	}
	return Go
}

// At returns a pointer to v, for use as a threshold.
func At(v float64) *float64 { return &v }

// Signal holds the thresholds of a guard and how to treat an unknown value.
type Signal struct {
	Levels
	// Off says why the signal is not watched; empty means it is, if it has thresholds.
	Off string
	// Unknown is the state while the signal cannot be read; Go means Pause.
	Unknown State
	// Ignore makes an unknown signal count as Go.
	Ignore bool
}

// effective turns off a signal that could never change state.
func (s Signal) effective() Signal {
	if s.Off == "" && s.None() {
		s.Off = noThreshold
	}
	return s
}

func (s Signal) ifUnknown() State {
	switch {
	case s.Ignore:
		return Go
	case s.Unknown == Go:
		return Pause
	}
	return s.Unknown
}

// Query yields one number from SQL, or from PromQL if Prometheus holds a URL. The URL
// is a secret. The zero Query asks for nothing.
type Query struct{ SQL, Prometheus string }

// Storage watches how much is stored against Limit, or how much is free.
type Storage struct {
	Signal // bytes used, or bytes free
	// Limit is the size that database and WAL together must not reach; 0 means none.
	Limit int64
	Free  Query // yields the free bytes; replaces Limit
}

// WALRate watches the rate at which WAL is written.
type WALRate struct {
	Signal      // bytes per second
	Own    bool // only reaper's own WAL
}

// ReplicaLag watches how far replicas are behind.
type ReplicaLag struct {
	Signal // seconds
	Bytes  Levels
	// Replicas is how many replicas to expect; with fewer the lag is unknown. 0 means any.
	Replicas int
}

// DeadRows watches the share of dead rows in the tables that are deleted from.
type DeadRows struct {
	Signal // a ratio
	// Vacuuming is the state while one of them is being vacuumed.
	Vacuuming State
}

// Custom watches a number from the database or from Prometheus.
type Custom struct {
	Signal
	Name  string // unique among all guards
	Query Query
	Below bool // lower is worse
}

// Window is a time of day, on some weekdays, in a time zone.
type Window struct {
	// From and To are wall-clock minutes since midnight, 0 to 1440. A window whose To is
	// not after From ends on the next day.
	From, To int
	Days     [7]bool        // by time.Weekday of the start; none set means all
	Zone     *time.Location // nil means UTC
}

// complete replaces zero values by the defaults.
func (c Config) complete() Config {
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{{&c.Every, DefaultEvery}, {&c.Timeout, DefaultTimeout}, {&c.MaxPause, DefaultMaxPause}} {
		if *d.value <= 0 {
			*d.value = d.otherwise
		}
	}
	if c.Hysteresis <= 0 {
		c.Hysteresis = DefaultHysteresis
	}
	if c.Application == "" {
		c.Application = "reaper"
	}
	return c
}
