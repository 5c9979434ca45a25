package guard

import (
	"context"
	"time"
)

// What the zero values of a Config mean.
const (
	DefaultEvery      = 5 * time.Second
	DefaultTimeout    = 2 * time.Second
	DefaultMaxPause   = 30 * time.Minute
	DefaultHysteresis = 0.1
)

// Config says what is watched. The zero Config watches nothing.
type Config struct {
	Every   time.Duration // between two readings; 0: DefaultEvery
	Timeout time.Duration // of one statement; 0: DefaultTimeout
	// MaxPause is the longest pause of a run; 0: DefaultMaxPause. The run obeys it; here it
	// only bounds how long a replica that is gone is waited for.
	MaxPause time.Duration
	// Shared tells that others wait for the connection, too: no statement takes longer
	// than Timeout, not even the probe of the latency.
	Shared bool
	// Application is the application_name of reaper's batches; empty: reaper.
	Application string
	// Hysteresis is by which share of a threshold a value has to be on its good
	// side before the state is left; 0: DefaultHysteresis.
	Hysteresis float64
	// Implicit is set when nobody has asked for guards. What the role may then not
	// read from the start is off, and not unknown.
	Implicit bool

	Storage           Storage
	WALBacklog        Signal // bytes
	WALRate           WALRate
	ReplicaLag        ReplicaLag
	Connections       Signal // share of those that there may be
	LockWaits         Signal // sessions that wait for a batch
	OldestTransaction Signal // seconds
	DeadRows          DeadRows
	Latency           Signal // seconds
	Checkpoint        Signal // WAL since the last one began, as a share of max_wal_size
	Custom            []Custom
	// Allow are the times at which batches may run; empty: always.
	Allow []Window
	// More gives readings that are made elsewhere, every round.
	More []Source
}

// Source gives readings that are made elsewhere.
type Source struct {
	// Name is that of the guard that is unknown while the source cannot be read.
	Name string
	// Read gives the readings in their own order. It is given the time of a statement.
	Read func(ctx context.Context) ([]Reading, error)
}

// Levels are thresholds; nil: there is none.
type Levels struct{ Slow, Pause, Stop *float64 }

// None reports whether there is no threshold at all.
func (l Levels) None() bool { return l.Slow == nil && l.Pause == nil && l.Stop == nil }

// worst is the worst state that there is a threshold of.
func (l Levels) worst() State {
	for _, s := range []State{Stop, Pause, Slow} {
		if (measure{levels: l}).level(s) != nil {
			return s
		}
	}
	return Go
}

// At makes a threshold of a number.
func At(v float64) *float64 { return &v }

// Signal says when a guard speaks.
type Signal struct {
	Levels
	// Off says why the signal is not watched; empty: it is, if there are Levels.
	Off string
	// Unknown is the state while the signal cannot be read; Go: Pause.
	Unknown State
	// Ignore has an unknown signal count for nothing.
	Ignore bool
}

// effective switches off what would never speak.
func (s Signal) effective() Signal {
	if s.Off == "" && s.None() {
		s.Off = unwatched
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

// Query asks for one number: by SQL, or, with Prometheus set to a URL, by PromQL.
// The URL is a secret. The zero Query is none.
type Query struct{ SQL, Prometheus string }

// Storage watches how much is stored against Limit, or how much is free.
type Storage struct {
	Signal // bytes used, or bytes free
	// Limit is the size that database and WAL together must not reach; 0: none.
	Limit int64
	Free  Query // gives the bytes that are free; takes the place of Limit
}

// WALRate watches how fast WAL is written.
type WALRate struct {
	Signal      // bytes a second
	Own    bool // reaper's share alone, and not the server's
}

// ReplicaLag watches how far replicas are behind.
type ReplicaLag struct {
	Signal // seconds
	Bytes  Levels
	// Replicas is how many there are at least; fewer are unknown. 0: none need be.
	Replicas int
}

// DeadRows watches the share of dead rows in the tables that are deleted from.
type DeadRows struct {
	Signal // of 1
	// Vacuuming is the state while one of them is vacuumed.
	Vacuuming State
}

// Custom watches a number that the database or Prometheus is asked for.
type Custom struct {
	Signal
	Name  string // unique, and no other guard's
	Query Query
	Below bool // the lower the worse
}

// Window is a time of the day, on some days, in a zone.
type Window struct {
	// From and To count minutes from midnight on the wall's clock, 0 to 1440. A
	// window with To at or before From ends on the next day.
	From, To int
	Days     [7]bool        // by time.Weekday, of the window's beginning; none set: all
	Zone     *time.Location // nil: UTC
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
