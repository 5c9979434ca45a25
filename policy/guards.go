package policy

import (
	"slices"
	"time"
)

// Guards is the section guards: the signals that say whether batches may run. A
// file without it has the defaults.
type Guards struct {
	Pos        Pos // zero: the file has no such section
	Every      time.Duration
	Timeout    time.Duration // of one reading
	MaxPause   time.Duration
	Hysteresis float64 // a share of a threshold

	Storage           StorageGuard
	WALBacklog        Guard // bytes
	WALRate           WALRateGuard
	ReplicaLag        ReplicaGuard
	Connections       Guard // of 1
	LockWaits         Guard // sessions
	OldestTransaction Guard // seconds
	DeadRows          DeadRowsGuard
	Latency           Guard // seconds
	Checkpoint        Guard // of max_wal_size
	Custom            []CustomGuard
	Allow             []Window // empty: always
}

// IsSet reports whether the file has the section, though it may be empty.
func (g Guards) IsSet() bool { return g.Pos != Pos{} }

// Thresholds of a guard, in its unit; nil: there is none.
type Thresholds struct{ Slow, Pause, Stop *float64 }

func (t Thresholds) none() bool { return t.Slow == nil && t.Pause == nil && t.Stop == nil }

// Unknown says what a signal means that cannot be read.
type Unknown string

// What a file may say of it. Ignored is to be said.
const (
	UnknownPause  Unknown = "pause"
	UnknownStop   Unknown = "stop"
	UnknownSlow   Unknown = "slow"
	UnknownIgnore Unknown = "ignore"
)

// Guard is what the file says of one signal. Without thresholds it is not
// watched.
type Guard struct {
	Thresholds
	Off     bool // switched off by the file
	Unknown Unknown
}

// StorageGuard has thresholds in bytes: used ones, or, with Free, free ones.
// Neither Limit nor Free: it is not watched.
type StorageGuard struct {
	Guard
	Limit int64 // bytes; 0: none
	Free  NumberQuery
}

// NumberQuery asks for one number: PostgreSQL, or Prometheus when that is set to
// its URL, a secret. The zero NumberQuery is none.
type NumberQuery struct{ Query, Prometheus string }

// WALRateGuard has thresholds in bytes a second.
type WALRateGuard struct {
	Guard
	Own bool // of: reaper
}

// ReplicaGuard has thresholds in seconds.
type ReplicaGuard struct {
	Guard
	Bytes    Thresholds
	Replicas int // that there are at least
}

// DeadRowsGuard has thresholds of 1.
type DeadRowsGuard struct {
	Guard
	// Vacuuming is go, slow or pause: the state while a vacuum works on a table that
	// is deleted from.
	Vacuuming string
}

// CustomGuard watches a number of the user's own.
type CustomGuard struct {
	Guard
	Name  Text
	Query NumberQuery
	Below bool // the lower the worse
}

// guardNames are those that a custom guard may not have.
var guardNames = []string{
	"storage", "wal_backlog", "wal_rate", "replica_lag", "connections", "lock_waits", "oldest_transaction",
	"dead_rows", "latency", "checkpoint", "custom", "allow", "guards", "other", "by_hand",
}

// guards checks the section; the zero section gives the defaults.
func (s *guardsSection) guards() (g Guards, err error) {
	r := &guardReader{unknown: Unknown(s.Unknown)}
	if r.unknown == "" {
		r.unknown = UnknownPause
	}
	g = Guards{
		Pos: s.Pos, Every: s.Every.or(5 * time.Second), Timeout: s.Timeout.or(2 * time.Second), MaxPause: s.MaxPause.or(30 * time.Minute),
		Hysteresis: s.Hysteresis.or(0.1), Allow: s.Allow,
	}
	switch {
	case g.Every < 100*time.Millisecond || g.Every > time.Minute:
		r.fail(s.Pos, "guards: every must be from 100ms to 1m")
	case g.Timeout > time.Minute:
		r.fail(s.Pos, "guards: timeout must be 1m at most")
	}
	const gigabyte = 1 << 30
	g.Storage = r.storage(s.Storage)
	g.WALBacklog = read(r, "wal_backlog", s.WALBacklog.off, s.WALBacklog.section, defaults{slow: 1 * gigabyte, pause: 5 * gigabyte})
	g.WALRate.Guard = read(r, "wal_rate", s.WALRate.off, s.WALRate.section.thresholdsSection, defaults{})
	g.WALRate.Own = s.WALRate.section.Of == "reaper"
	g.ReplicaLag = r.replicas(s.ReplicaLag)
	g.Connections = read(r, "connections", s.Connections.off, s.Connections.section, defaults{slow: 0.8, pause: 0.9, most: 1, what: "100%"})
	g.LockWaits = read(r, "lock_waits", s.LockWaits.off, s.LockWaits.section, defaults{slow: 1, pause: 3})
	g.OldestTransaction = read(r, "oldest_transaction", s.OldestTransaction.off, s.OldestTransaction.section, defaults{slow: 15 * 60, pause: 2 * 3600})
	g.DeadRows.Guard = read(r, "dead_rows", s.DeadRows.off, s.DeadRows.section.thresholdsSection, defaults{most: 1, what: "100%"})
	g.DeadRows.Vacuuming = string(s.DeadRows.section.Vacuuming)
	g.Latency = read(r, "latency", s.Latency.off, s.Latency.section, defaults{slow: 0.5, pause: 5})
	g.Checkpoint = read(r, "checkpoint", s.Checkpoint.off, s.Checkpoint.section, defaults{slow: 1.5, pause: 3})
	r.some("wal_rate", s.WALRate.set, g.WALRate.Guard, s.WALRate.section.Pos, false)
	r.some("dead_rows", s.DeadRows.set, g.DeadRows.Guard, s.DeadRows.section.Pos, g.DeadRows.Vacuuming != "")
	g.Custom = r.customs(s.Custom)
	return g, r.err
}

// guardReader reads guards until the first mistake, which it keeps.
type guardReader struct {
	unknown Unknown // of guards that say nothing of it
	err     error
}

func (r *guardReader) fail(pos Pos, format string, args ...any) {
	if r.err == nil {
		r.err = errorAt(pos, format, args...)
	}
}

// some insists on a threshold where a guard was written that has no defaults;
// else tells that it has something else to go by.
func (r *guardReader) some(name string, set bool, g Guard, pos Pos, otherwise bool) {
	if set && !g.Off && g.none() && !otherwise {
		r.fail(pos, "%s has no threshold: write slow, pause or stop, or %s: off", name, name)
	}
}

// defaults are thresholds; 0: none.
type defaults struct {
	slow, pause, stop float64
	most              float64 // that the value can be; 0: anything
	what              string  // that is, in words
}

// read reads a guard whose thresholds are all of one kind.
func read[T thresholdKind](r *guardReader, name string, off bool, s thresholdsSection[T], d defaults) Guard {
	g := Guard{Off: off, Unknown: r.meaning(s.Unknown)}
	if !off {
		g.Thresholds = r.thresholds(name, s.levels(), d, s.Pos, false)
	}
	return g
}

func (r *guardReader) meaning(own unknownWord) Unknown {
	if own == "" {
		return r.unknown
	}
	return Unknown(own)
}

// levels are the thresholds of a guard, as written.
type levels struct{ slow, pause, stop *threshold }

// thresholds fills in the defaults and checks the order.
func (r *guardReader) thresholds(name string, l levels, d defaults, pos Pos, below bool) Thresholds {
	all := []struct {
		word      string
		written   *threshold
		otherwise float64
		value     *float64
	}{{"slow", l.slow, d.slow, nil}, {"pause", l.pause, d.pause, nil}, {"stop", l.stop, d.stop, nil}}
	last := -1
	for i := range all {
		x := &all[i]
		switch {
		case x.written != nil && !x.written.none:
			x.value, pos = &x.written.value, x.written.pos
		case x.written == nil && x.otherwise != 0:
			x.value = &x.otherwise
		}
		if x.value == nil {
			continue
		}
		if d.most > 0 && *x.value > d.most {
			r.fail(pos, "%s: %s is above %s, and would never be reached: write at most that", name, x.word, d.what)
		}
		if last >= 0 {
			before := all[last]
			side, wrong := "below", *before.value >= *x.value
			if below {
				side, wrong = "above", *before.value <= *x.value
			}
			if wrong {
				r.fail(pos, "%s: %s%s must be %s %s%s: write both in that order", name,
					before.word, defaulted(before.written), side, x.word, defaulted(x.written))
			}
		}
		last = i
	}
	return Thresholds{Slow: all[0].value, Pause: all[1].value, Stop: all[2].value}
}

// defaulted marks a threshold that the file does not name.
func defaulted(written *threshold) string {
	if written == nil {
		return " (by default)"
	}
	return ""
}

// storage reads the guard of the storage, whose shares are of the limit.
func (r *guardReader) storage(s switchable[storageSection]) StorageGuard {
	x := s.section
	g := StorageGuard{Guard: Guard{Off: s.off, Unknown: r.meaning(x.Unknown)}, Limit: int64(x.Limit)}
	switch {
	case !s.set || s.off:
		return g
	case x.Limit == 0 && x.Free == nil:
		r.fail(x.Pos, "storage has neither limit nor free: write one of them, or storage: off")
		return g
	case x.Limit != 0 && x.Free != nil:
		r.fail(x.Free.Pos, "storage has limit and free: remove one")
		return g
	}
	l := levels{x.Slow.of(g.Limit), x.Pause.of(g.Limit), x.Stop.of(g.Limit)}
	if x.Free == nil {
		limit := float64(g.Limit)
		g.Thresholds = r.thresholds("storage", l, defaults{slow: 0.8 * limit, pause: 0.9 * limit, stop: 0.97 * limit, most: limit, what: "the limit"}, x.Pos, false)
		return g
	}
	g.Free = r.query(x.Free.querySection)
	for _, t := range []*limitThreshold{x.Slow, x.Pause, x.Stop} {
		if t != nil && t.percent {
			r.fail(t.pos, "storage: a percentage beside free has nothing to be a share of: write a size, like 10GB")
		}
	}
	g.Thresholds = r.thresholds("storage", l, defaults{}, x.Pos, true)
	if g.Pause == nil && g.Stop == nil {
		r.fail(x.Pos, "storage has no threshold to pause at: beside free, write pause, the size that has to stay free, like 10GB")
	}
	return g
}

// replicas reads the guard of replicas, which has thresholds of two kinds.
func (r *guardReader) replicas(s switchable[replicaSection]) ReplicaGuard {
	x := s.section
	g := ReplicaGuard{Guard: Guard{Off: s.off, Unknown: r.meaning(x.Unknown)}, Replicas: int(x.Replicas)}
	if s.off {
		return g
	}
	g.Thresholds = r.thresholds("replica_lag", x.levels(), defaults{slow: 10, pause: 60}, x.Pos, false)
	g.Bytes = r.thresholds("replica_lag, bytes", levels{asThreshold(x.SlowBytes), asThreshold(x.PauseBytes), asThreshold(x.StopBytes)},
		defaults{slow: 256 << 20, pause: 1 << 30}, x.Pos, false)
	return g
}

// customs reads the guards of the user's own.
func (r *guardReader) customs(sections []customSection) []CustomGuard {
	var all []CustomGuard
	first := map[string]int{}
	for _, x := range sections {
		name := x.Name.Value
		switch line, seen := first[name]; {
		case seen:
			r.fail(x.Name.Pos, "a guard named %s stands on line %d already: give this one another name", name, line)
		case slices.Contains(guardNames, name):
			r.fail(x.Name.Pos, "%s is a guard of reaper's own: give this one another name", name)
		}
		first[name] = x.Name.Pos.Line
		g := CustomGuard{Guard: Guard{Unknown: r.meaning(x.Unknown)}, Name: Text(x.Name), Query: r.query(x.querySection), Below: bool(x.Below)}
		g.Thresholds = r.thresholds(name, x.levels(), defaults{}, x.Pos, g.Below)
		if g.none() {
			r.fail(x.Pos, "the guard %s has no threshold: write slow, pause or stop", name)
		}
		all = append(all, g)
	}
	return all
}

// query reads what is asked for: SQL is judged here, PromQL by Prometheus.
func (r *guardReader) query(s querySection) NumberQuery {
	q := NumberQuery{Query: s.Query.Value, Prometheus: s.Prometheus.Value}
	if q.Prometheus != "" {
		return q
	}
	text, err := checkQuery(q.Query, "one number")
	if err != nil {
		r.fail(s.Query.Pos, "query: %s", err)
	}
	q.Query = text
	return q
}
