package guard

import (
	"context"
	"slices"
	"time"
)

// horizon is how long the oldest transaction or snapshot keeps vacuum from taking
// dead rows: deleting meanwhile is growth.
type horizon struct {
	levels      Levels
	application string
	now         func() time.Time
	// first is since when each of those that have no time of their own, or one that
	// may be too long, holds the transaction that it still does, as far as was seen.
	first map[string]held
}

type held struct {
	xmin  string
	since time.Time
}

// succeed takes over what another has remembered.
func (h *horizon) succeed(other signal) {
	if o, ok := other.(*horizon); ok {
		h.first = o.first
	}
}

// forget drops what sessions and slots of another server held.
func (h *horizon) forget() { clear(h.first) }

func newHorizon(c Config) *horizon {
	return &horizon{levels: c.OldestTransaction.Levels, application: c.Application, now: time.Now, first: map[string]held{}}
}

// keeper is something that holds the horizon.
type keeper struct {
	Sees    bool     // the role is shown the sessions of others
	Name    *string  // nil: there is none, and this row tells only what the role sees
	Seconds *float64 // nil: it has no time of its own
	// Moves tells that what it holds may have moved on within Seconds: a transaction
	// that has written nothing may take a new snapshot with each statement.
	Moves bool
	Xmin  string
	ID    string // by which it is known again
}

// What holds the horizon of this database's tables: sessions of it, and those of no
// database, which speak for a replica; prepared transactions; slots. The catalogs'
// own horizon of a logical slot holds no rows of tables. A plain VACUUM holds
// nothing, nor does a transaction after which there was none yet, nor a slot that is
// lost. There is a row without any of them too.
const keepersSQL = `SELECT sees, name, seconds::float8, coalesce(moves, false), coalesce(xmin, ''), coalesce(id, '')
FROM (SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS sees) role LEFT JOIN (
SELECT CASE WHEN backend_type = 'walsender' THEN 'the replica ' || application_name || ' (pid ' || pid || ')'
	ELSE 'the transaction of role ' || coalesce(usename, '?') || ' (' || concat_ws(', ', nullif(application_name, ''), 'pid ' || pid, state) || ')' END AS name,
	extract(epoch FROM clock_timestamp() - xact_start) AS seconds, backend_xid IS NULL AS moves,
	coalesce(backend_xmin, backend_xid)::text AS xmin, 'session ' || pid AS id
FROM pg_stat_activity
WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND age(coalesce(backend_xmin, backend_xid)) > 0
	AND (datname = current_database() OR datname IS NULL) AND pid <> pg_backend_pid()
	AND NOT (usename = session_user AND application_name = $1)
	AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
UNION ALL
SELECT 'the prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared), false, transaction::text, 'transaction ' || gid
FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL
SELECT 'the replication slot ' || slot_name, NULL, true, xmin::text, 'slot ' || slot_name
FROM pg_replication_slots WHERE age(xmin) > 0 AND wal_status IS DISTINCT FROM 'lost'
) keeper ON true`

func (h *horizon) read(ctx context.Context, db session) ([]measure, error) {
	rows, err := many[keeper](ctx, db, keepersSQL, h.application)
	if err != nil {
		return nil, err
	}
	if !rows[0].Sees {
		return nil, hidden("the transactions of other roles")
	}
	return h.take(slices.DeleteFunc(rows, func(k keeper) bool { return k.Name == nil })), nil
}

// take takes the rows in, and gives the oldest.
func (h *horizon) take(rows []keeper) []measure {
	now := h.now()
	oldest := measure{unit: Seconds, levels: h.levels, before: "the oldest transaction holds back vacuum for "}
	known := map[string]held{}
	for _, k := range rows {
		var seconds float64
		if k.Seconds != nil {
			seconds = *k.Seconds
		}
		if k.Moves {
			x, ok := h.first[k.ID]
			switch {
			case !ok: // for as long as it may be
				x = held{k.Xmin, now.Add(-time.Duration(seconds * float64(time.Second)))}
			case x.xmin != k.Xmin:
				x = held{k.Xmin, now}
			}
			known[k.ID] = x
			seconds = now.Sub(x.since).Seconds()
		}
		if seconds > oldest.value {
			oldest.value, oldest.before = seconds, brief(*k.Name)+" holds back vacuum for "
		}
	}
	h.first = known
	return []measure{oldest}
}
