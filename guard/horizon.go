package guard

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// horizon is how long the oldest transaction or snapshot keeps vacuum from taking
// dead rows: deleting meanwhile is growth.
type horizon struct {
	levels      Levels
	application string
	now         func() time.Time
	// first is when each of those that have no time of their own was first seen with
	// the transaction that it still holds.
	first map[string]held
}

type held struct {
	xmin  string
	since time.Time
}

func newHorizon(c Config) *horizon {
	return &horizon{levels: c.OldestTransaction.Levels, application: c.Application, now: time.Now, first: map[string]held{}}
}

// keeper is something that holds the horizon.
type keeper struct {
	Sees    bool     // the role is shown the sessions of others
	Name    *string  // nil: there is none, and this row tells only what the role sees
	Seconds *float64 // nil: it has no time of its own
	Xmin    string
}

// What holds the horizon of this database's tables: sessions of it, and those of no
// database, which speak for a replica; prepared transactions; slots. The catalogs'
// own horizon of a logical slot holds no rows of tables. A plain VACUUM holds
// nothing, nor does a transaction after which there was none yet. There is a row
// without any of them too.
const keepersSQL = `SELECT sees, name, seconds::float8, coalesce(xmin, '')
FROM (SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS sees) role LEFT JOIN (
SELECT CASE WHEN backend_type = 'walsender' THEN 'the replica ' || application_name || ' (pid ' || pid || ')'
	ELSE 'the transaction of role ' || coalesce(usename, '?') || ' (' || concat_ws(', ', nullif(application_name, ''), 'pid ' || pid, state) || ')' END AS name,
	extract(epoch FROM clock_timestamp() - xact_start) AS seconds, coalesce(backend_xmin, backend_xid)::text AS xmin
FROM pg_stat_activity
WHERE (backend_xmin IS NOT NULL OR backend_xid IS NOT NULL) AND age(coalesce(backend_xmin, backend_xid)) > 0
	AND (datname = current_database() OR datname IS NULL) AND pid <> pg_backend_pid()
	AND NOT (usename = session_user AND application_name = $1)
	AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum)
UNION ALL
SELECT 'the prepared transaction ' || gid, extract(epoch FROM clock_timestamp() - prepared), transaction::text
FROM pg_prepared_xacts WHERE database = current_database()
UNION ALL
SELECT 'the replication slot ' || slot_name, NULL, xmin::text FROM pg_replication_slots WHERE age(xmin) > 0
) keeper ON true`

func (h *horizon) read(ctx context.Context, db *pgxpool.Pool) ([]measure, error) {
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
		name := brief(*k.Name)
		var seconds float64
		if k.Seconds != nil {
			seconds = *k.Seconds
		} else {
			x, ok := h.first[name]
			if !ok || x.xmin != k.Xmin {
				x = held{k.Xmin, now}
			}
			known[name] = x
			seconds = now.Sub(x.since).Seconds()
		}
		if seconds > oldest.value {
			oldest.value, oldest.before = seconds, name+" holds back vacuum for "
		}
	}
	h.first = known
	return []measure{oldest}
}
