package policy

import (
	"slices"
	"time"

	"github.com/reaperdb/reaper/guard"
)

// turnedOff is why a guard is off when the file turns it off.
const turnedOff = "turned off in the policy file"

// guardNames are reserved: a custom guard may not use them.
var guardNames = []string{
	"storage", "wal_backlog", "wal_rate", "replica_lag", "connections", "lock_waits", "oldest_transaction",
	"dead_rows", "latency", "checkpoint", "custom", "allow", "guards", "other", "by_hand", "archive",
}

// guards checks the section; the zero section yields the defaults.
func (s *guardsSection) guards() (g guard.Config, err error) {
	r := &guardReader{unknown: unknownWord("pause").or(s.Unknown)}
	g = guard.Config{
		Implicit: s.Pos == Pos{}, Every: s.Every.or(guard.DefaultEvery), Timeout: s.Timeout.or(guard.DefaultTimeout),
		MaxPause: s.MaxPause.or(guard.DefaultMaxPause), Hysteresis: s.Hysteresis.or(guard.DefaultHysteresis), Allow: s.Allow,
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
	g.WALRate.Signal = read(r, "wal_rate", s.WALRate.off, s.WALRate.section.thresholdsSection, defaults{})
	g.WALRate.Own = s.WALRate.section.Of == "reaper"
	g.ReplicaLag = r.replicas(s.ReplicaLag)
	g.Connections = read(r, "connections", s.Connections.off, s.Connections.section, defaults{slow: 0.8, pause: 0.9, most: 1, what: "100%"})
	g.LockWaits = read(r, "lock_waits", s.LockWaits.off, s.LockWaits.section, defaults{slow: 1, pause: 3})
	g.OldestTransaction = read(r, "oldest_transaction", s.OldestTransaction.off, s.OldestTransaction.section, defaults{slow: 15 * 60, pause: 2 * 3600})
	g.DeadRows.Signal = read(r, "dead_rows", s.DeadRows.off, s.DeadRows.section.thresholdsSection, defaults{most: 1, what: "100%"})
	g.DeadRows.Vacuuming = stateOf(string(s.DeadRows.section.Vacuuming))
	g.Latency = read(r, "latency", s.Latency.off, s.Latency.section, defaults{slow: 0.5, pause: 5})
	g.Checkpoint = read(r, "checkpoint", s.Checkpoint.off, s.Checkpoint.section, defaults{slow: 1.5, pause: 3})
	r.requireThreshold("wal_rate", s.WALRate.set, g.WALRate.Signal, s.WALRate.section.Pos, false)
	r.requireThreshold("dead_rows", s.DeadRows.set, g.DeadRows.Signal, s.DeadRows.section.Pos, s.DeadRows.section.Vacuuming != "")
	g.Custom = r.customGuards(s.Custom)
	return g, r.err
}

// guardReader reads guards and keeps the first error.
type guardReader struct {
	unknown unknownWord // for guards that do not set it
	err     error
}

func (r *guardReader) fail(pos Pos, format string, args ...any) {
	if r.err == nil {
		r.err = errorAt(pos, format, args...)
	}
}

// requireThreshold refuses a configured guard without thresholds or defaults, unless it has
// something else to act on (exempt).
func (r *guardReader) requireThreshold(name string, set bool, g guard.Signal, pos Pos, exempt bool) {
	if set && g.Off == "" && g.None() && !exempt {
		r.fail(pos, "%s has no threshold: write slow, pause or stop, or %s: off", name, name)
	}
}

// defaults are default thresholds; 0 means none.
type defaults struct {
	slow, pause, stop float64
	most              float64 // upper bound of the value; 0 means none
	what              string  // name of the bound, for messages
}

// read reads a guard whose thresholds all have the same unit.
func read[T thresholdKind](r *guardReader, name string, off bool, s thresholdsSection[T], d defaults) guard.Signal {
	g := r.signal(off, s.Unknown)
	if !off {
		g.Levels = r.thresholds(name, s.levels(), d, s.Pos, false)
	}
	return g
}

// signal returns a guard without thresholds.
func (r *guardReader) signal(off bool, unknown unknownWord) guard.Signal {
	word := r.unknown.or(unknown)
	g := guard.Signal{Unknown: stateOf(string(word)), Ignore: word == unknownIgnore}
	if off {
		g.Off = turnedOff
	}
	return g
}

// levels are the thresholds of a guard, as written.
type levels struct{ slow, pause, stop *threshold }

// thresholds applies the defaults and checks the order.
func (r *guardReader) thresholds(name string, l levels, d defaults, pos Pos, below bool) guard.Levels {
	all := []struct {
		word     string
		written  *threshold
		fallback float64
		value    *float64
	}{{"slow", l.slow, d.slow, nil}, {"pause", l.pause, d.pause, nil}, {"stop", l.stop, d.stop, nil}}
	last := -1
	for i := range all {
		x := &all[i]
		switch {
		case x.written != nil && !x.written.none:
			x.value, pos = &x.written.value, x.written.pos
		case x.written == nil && x.fallback != 0:
			x.value = &x.fallback
		}
		if x.value == nil {
			continue
		}
		if d.most > 0 && *x.value > d.most {
			r.fail(pos, "%s: %s is above %s and would never be reached: write at most that", name, x.word, d.what)
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
	return guard.Levels{Slow: all[0].value, Pause: all[1].value, Stop: all[2].value}
}

// defaulted marks a threshold that the file does not set.
func defaulted(written *threshold) string {
	if written == nil {
		return " (by default)"
	}
	return ""
}

// storage reads the storage guard, whose percentages refer to the limit.
func (r *guardReader) storage(s switchable[storageSection]) guard.Storage {
	x := s.section
	g := guard.Storage{Signal: r.signal(s.off, x.Unknown), Limit: int64(x.Limit)}
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
		g.Levels = r.thresholds("storage", l, defaults{slow: 0.8 * limit, pause: 0.9 * limit, stop: 0.97 * limit, most: limit, what: "the limit"}, x.Pos, false)
		return g
	}
	g.Free = r.query(x.Free.querySection)
	for _, t := range []*limitThreshold{x.Slow, x.Pause, x.Stop} {
		if t != nil && t.percent {
			r.fail(t.pos, "storage: a percentage needs a limit: with free, write a size, like 10GB")
		}
	}
	g.Levels = r.thresholds("storage", l, defaults{}, x.Pos, true)
	if g.Pause == nil && g.Stop == nil {
		r.fail(x.Pos, "storage has no pause threshold: with free, write pause, the size that must stay free, like 10GB")
	}
	return g
}

// replicas reads the replica guard, which has thresholds in time and in bytes.
func (r *guardReader) replicas(s switchable[replicaSection]) guard.ReplicaLag {
	x := s.section
	g := guard.ReplicaLag{Signal: r.signal(s.off, x.Unknown), Replicas: int(x.Replicas)}
	if s.off {
		return g
	}
	g.Levels = r.thresholds("replica_lag", x.levels(), defaults{slow: 10, pause: 60}, x.Pos, false)
	g.Bytes = r.thresholds("replica_lag, bytes", levels{asThreshold(x.SlowBytes), asThreshold(x.PauseBytes), asThreshold(x.StopBytes)},
		defaults{slow: 256 << 20, pause: 1 << 30}, x.Pos, false)
	return g
}

// customGuards reads the custom guards.
func (r *guardReader) customGuards(sections []customSection) []guard.Custom {
	var all []guard.Custom
	first := map[string]int{}
	for _, x := range sections {
		name := x.Name.Value
		switch line, seen := first[name]; {
		case seen:
			r.fail(x.Name.Pos, "guard %s is already defined on line %d: give this one another name", name, line)
		case slices.Contains(guardNames, name):
			r.fail(x.Name.Pos, "%s is a built-in guard: give this one another name", name)
		}
		first[name] = x.Name.Pos.Line
		g := guard.Custom{Signal: r.signal(false, x.Unknown), Name: name, Query: r.query(x.querySection), Below: bool(x.Below)}
		g.Levels = r.thresholds(name, x.levels(), defaults{}, x.Pos, g.Below)
		if g.None() {
			r.fail(x.Pos, "the guard %s has no threshold: write slow, pause or stop", name)
		}
		all = append(all, g)
	}
	return all
}

// query reads a query. SQL is checked here, PromQL by Prometheus.
func (r *guardReader) query(s querySection) guard.Query {
	q := guard.Query{SQL: s.Query.Value, Prometheus: s.Prometheus.Value}
	if q.Prometheus != "" {
		return q
	}
	text, err := checkQuery(q.SQL, "one number")
	if err != nil {
		r.fail(s.Query.Pos, "query: %s", err)
	}
	q.SQL = text
	return q
}
