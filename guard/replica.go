package guard

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"
)

// effective has the guard on for its bytes, or the number of replicas, alone.
func (r ReplicaLag) effective() Signal {
	s := r.Signal
	if s.Off == "" && s.None() && r.Bytes.None() && r.Replicas == 0 {
		s.Off = unwatched
	}
	return s
}

// forgetAfter is for how long a replica that is gone is waited for, at least.
const forgetAfter = time.Hour

// replicas is how far the furthest replica is behind, in time and in bytes.
type replicas struct {
	ReplicaLag
	// waitFor is how long a replica that is gone is waited for.
	waitFor time.Duration
	log     *slog.Logger
	known   map[string]*replica
	now     func() time.Time
}

// replica is what is remembered of one.
type replica struct {
	seen time.Time // last
	at   int64     // what it has replayed, as a position in bytes
	// stuck is since when it is known to be behind and to have replayed nothing; zero:
	// it moves, or has caught up.
	stuck time.Time
}

func newReplicas(c Config, log *slog.Logger) *replicas {
	return &replicas{ReplicaLag: c.ReplicaLag, waitFor: max(c.MaxPause, forgetAfter), log: log, known: map[string]*replica{}, now: time.Now}
}

// sender is a row of pg_stat_replication.
type sender struct {
	Sees   bool     // the role is shown all columns
	Name   *string  // nil: there is none, and this row tells only what the role sees
	Lag    *float64 // seconds, as the replica said last; nil: it has not, or not lately
	Behind int64    // bytes from what the server has flushed to what is replayed
	At     int64    // what is replayed
}

// Whoever replays nothing is no replica: a base backup, a receiver of the archive.
// Subscriptions have helpers that come and go while a table is copied. There is a
// row without replicas too.
const sendersSQL = `SELECT sees, application_name, extract(epoch FROM replay_lag)::float8,
	greatest(pg_current_wal_flush_lsn() - replay_lsn, 0)::bigint, coalesce(replay_lsn - '0/0', 0)::bigint
FROM (SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS sees) role
LEFT JOIN pg_stat_replication ON replay_lsn IS NOT NULL AND application_name !~ '^pg_[0-9]+_sync_'
ORDER BY application_name, backend_start, pid`

func (r *replicas) read(ctx context.Context, db session) ([]measure, error) {
	rows, err := many[sender](ctx, db, sendersSQL)
	if err != nil {
		return nil, err
	}
	if !rows[0].Sees {
		return nil, hidden("how far replicas are behind")
	}
	return r.take(slices.DeleteFunc(rows, func(s sender) bool { return s.Name == nil }))
}

// take takes the rows in. Of several replicas of one name, the second is known as
// name#2: so one that comes back from another address is the same. One that is gone is
// an error, beside the measures of the others.
func (r *replicas) take(rows []sender) ([]measure, error) {
	now := r.now()
	latest := measure{key: "time", unit: Seconds, levels: r.Levels, somebody: true, before: "replicas are behind by "}
	most := measure{key: "bytes", unit: Bytes, levels: r.Bytes, somebody: true, before: "replicas are behind by "}
	count := map[string]int{}
	for _, s := range rows {
		count[*s.Name]++
		name := brief(*s.Name)
		if n := count[*s.Name]; n > 1 {
			name = fmt.Sprintf("%s#%d", name, n)
		}
		lag, stuck := r.of(name, s, now)
		if lag > latest.value {
			latest.value, latest.before = lag, "the replica "+name+" is behind by "
			if stuck {
				latest.before, latest.after = "the replica "+name+" is behind and has replayed nothing for ", ""
			}
		}
		if behind := float64(s.Behind); behind > most.value {
			most.value, most.before, most.after = behind, "the replica "+name+" is behind by ", " of WAL"
		}
	}
	var all []measure
	if len(rows) > 0 {
		all = []measure{latest, most}
	}
	if gone := r.gone(now); gone != "" {
		return all, ownError(gone)
	}
	if len(rows) < r.Replicas {
		return all, ownError(fmt.Sprintf("of %d replicas there are %d", r.Replicas, len(rows)))
	}
	return all, nil
}

// succeed takes over what another has remembered.
func (r *replicas) succeed(other signal) {
	if o, ok := other.(*replicas); ok {
		r.known = o.known
	}
}

// forget drops the replicas of another server: the one that became this one, and those
// that have yet to follow it.
func (r *replicas) forget() { clear(r.known) }

// of is how long a replica is behind: by what it says itself, which stands still
// when its replay is paused, or by how long it has replayed nothing.
func (r *replicas) of(name string, s sender, now time.Time) (lag float64, stuck bool) {
	k := r.known[name]
	if k == nil {
		k = &replica{at: math.MinInt64}
		r.known[name] = k
	}
	k.seen = now
	switch {
	case s.Behind == 0:
		k.stuck = time.Time{}
	case s.At != k.at || k.stuck.IsZero():
		k.stuck = now
	}
	k.at = s.At
	if s.Behind == 0 {
		return 0, false
	}
	if s.Lag != nil {
		lag = *s.Lag
	}
	if still := now.Sub(k.stuck).Seconds(); still > lag {
		return still, true
	}
	return lag, false
}

// gone names a replica that was there and is not; empty: all are there. One that
// stays away is forgotten in the end.
func (r *replicas) gone(now time.Time) string {
	first := ""
	for name, k := range r.known {
		away := now.Sub(k.seen)
		switch {
		case away > r.waitFor:
			r.log.Warn("a replica is gone for so long that it is not waited for any more", "replica", name, "seen", k.seen)
			delete(r.known, name)
		case away > 0 && (first == "" || name < first):
			first = name
		}
	}
	if first == "" {
		return ""
	}
	return fmt.Sprintf("the replica %s is gone, which was last seen %s", first, r.known[first].seen.UTC().Format("15:04:05 UTC"))
}
