package guard

import (
	"context"
	"slices"
	"time"
)

// horizon is how long the oldest transaction or snapshot has kept vacuum from
// removing dead rows. Deleting meanwhile only adds bloat.
type horizon struct {
	levels      Levels
	application string
	now         func() time.Time
	// first is when each holder without a reliable time of its own was first seen with
	// its current xmin.
	first map[string]held
}

type held struct {
	xmin  string
	since time.Time
}

// succeed takes over what another horizon remembers.
func (h *horizon) succeed(other signal) {
	if o, ok := other.(*horizon); ok {
		h.first = o.first
	}
}

// forget drops the sessions and slots of another server.
func (h *horizon) forget() { clear(h.first) }

func newHorizon(c Config) *horizon {
	return &horizon{levels: c.OldestTransaction.Levels, application: c.Application, now: time.Now, first: map[string]held{}}
}

// xminHolder is something that holds back the xmin horizon.
type xminHolder struct {
	Sees    bool     // the role sees other roles' sessions
	Name    *string  // nil in a row that only carries Sees
	Seconds *float64 // nil if it has no time of its own
	// Moves reports whether its xmin may have advanced within Seconds: a transaction that
	// has written nothing may take a new snapshot with each statement.
	Moves bool
	Xmin  string
	ID    string // stable between readings
}

// What holds back the horizon of this database's tables: its own sessions, sessions
// without a database (which act for a replica), prepared transactions and slots. A
// logical slot's catalog_xmin holds back no user tables. A plain VACUUM, the newest
// transaction and a lost slot hold back nothing. The query returns at least one row.
const xminHoldersSQL = `SELECT sees, name, seconds::float8, coalesce(moves, false), coalesce(xmin, ''), coalesce(id, '')
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
	rows, err := queryAll[xminHolder](ctx, db, xminHoldersSQL, h.application)
	if err != nil {
		return nil, err
	}
	if !rows[0].Sees {
		return nil, hiddenColumns("the transactions of other roles")
	}
	return h.observe(slices.DeleteFunc(rows, func(k xminHolder) bool { return k.Name == nil })), nil
}

// observe applies the rows and returns the oldest.
func (h *horizon) observe(rows []xminHolder) []measure {
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
			case !ok: // assume the longest possible
				x = held{k.Xmin, now.Add(-time.Duration(seconds * float64(time.Second)))}
			case x.xmin != k.Xmin:
				x = held{k.Xmin, now}
			}
			known[k.ID] = x
			seconds = now.Sub(x.since).Seconds()
		}
		if seconds > oldest.value {
			oldest.value, oldest.before = seconds, oneLine(*k.Name)+" holds back vacuum for "
		}
	}
	h.first = known
	return []measure{oldest}
}
