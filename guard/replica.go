package guard

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"time"
)

// effective keeps the guard on for its bytes or the number of replicas alone.
func (r ReplicaLag) effective() Signal {
	s := r.Signal
	if s.Off == "" && s.None() && r.Bytes.None() && r.Replicas == 0 {
		s.Off = noThreshold
	}
	return s
}

// minMissing is the minimum time for which a missing replica counts as missing.
const minMissing = time.Hour

// replicas is the largest lag of any replica, in time and in bytes.
type replicas struct {
	ReplicaLag
	// waitFor is how long a missing replica counts as missing.
	waitFor time.Duration
	log     *slog.Logger
	known   map[string]*replica
	now     func() time.Time
}

// replica is what is remembered of one.
type replica struct {
	seen time.Time // last time
	at   int64     // replay position in bytes
	// stuck is since when it has been behind without replaying anything; zero if it is
	// moving or has caught up.
	stuck time.Time
}

func newReplicas(c Config, log *slog.Logger) *replicas {
	return &replicas{ReplicaLag: c.ReplicaLag, waitFor: max(c.MaxPause, minMissing), log: log, known: map[string]*replica{}, now: time.Now}
}

// sender is a row of pg_stat_replication.
type sender struct {
	Sees   bool     // the role sees all columns
	Name   *string  // nil in a row that only carries Sees
	Lag    *float64 // seconds, as the replica last reported; nil if not lately
	Behind int64    // bytes flushed by the server but not yet replayed
	At     int64    // replay position
}

// A receiver that replays nothing is no replica: a base backup, an archive receiver.
// Table synchronization workers of subscriptions come and go. The query returns at
// least one row.
const sendersSQL = `SELECT sees, application_name, extract(epoch FROM replay_lag)::float8,
	greatest(pg_current_wal_flush_lsn() - replay_lsn, 0)::bigint, coalesce(replay_lsn - '0/0', 0)::bigint
FROM (SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS sees) role
LEFT JOIN pg_stat_replication ON replay_lsn IS NOT NULL AND application_name !~ '^pg_[0-9]+_sync_'
ORDER BY application_name, backend_start, pid`

func (r *replicas) read(ctx context.Context, db session) ([]measure, error) {
	rows, err := queryAll[sender](ctx, db, sendersSQL)
	if err != nil {
		return nil, err
	}
	if !rows[0].Sees {
		return nil, hiddenColumns("replication lag")
	}
	return r.observe(slices.DeleteFunc(rows, func(s sender) bool { return s.Name == nil }))
}

// observe applies the rows. The second of several replicas with one name is known as
// name#2, so that one that reconnects from another address stays the same. A missing
// replica is an error, next to the measures of the others.
func (r *replicas) observe(rows []sender) ([]measure, error) {
	now := r.now()
	latest := measure{key: "time", unit: Seconds, levels: r.Levels, external: true, before: "replicas are behind by "}
	most := measure{key: "bytes", unit: Bytes, levels: r.Bytes, external: true, before: "replicas are behind by "}
	count := map[string]int{}
	for _, s := range rows {
		count[*s.Name]++
		name := oneLine(*s.Name)
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
		return all, ownError(fmt.Sprintf("expected %d replicas, found %d", r.Replicas, len(rows)))
	}
	return all, nil
}

// succeed takes over what another replicas remembers.
func (r *replicas) succeed(other signal) {
	if o, ok := other.(*replicas); ok {
		r.known = o.known
	}
}

// forget drops the replicas of another server: the new primary, and those that have
// yet to follow it.
func (r *replicas) forget() { clear(r.known) }

// of returns how far a replica is behind: by its own report, which stands still while
// replay is paused, or by how long it has replayed nothing.
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

// gone describes a replica that was there and is missing; empty if none is. After
// waitFor, a missing replica is forgotten.
func (r *replicas) gone(now time.Time) string {
	first := ""
	for name, k := range r.known {
		away := now.Sub(k.seen)
		switch {
		case away > r.waitFor:
			r.log.Warn("no longer waiting for a missing replica", "replica", name, "seen", k.seen)
			delete(r.known, name)
		case away > 0 && (first == "" || name < first):
			first = name
		}
	}
	if first == "" {
		return ""
	}
	return fmt.Sprintf("the replica %s is gone; it was last seen %s", first, r.known[first].seen.UTC().Format("15:04:05 UTC"))
}
