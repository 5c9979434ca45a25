package guard

import (
	"context"
)

// lockWaits counts the sessions that wait for a lock held by one of reaper's batches.
type lockWaits struct {
	levels      Levels
	application string
}

// Batches are the sessions with this database, role and application_name. They may wait
// for each other without hurting anyone else. At most a hundred waiters are examined,
// because each costs the lock manager something.
const lockWaitsSQL = `WITH batch AS (
	SELECT pid FROM pg_stat_activity
	WHERE datname = current_database() AND usename = session_user AND application_name = $1 AND pid <> pg_backend_pid()
), waiting AS (
	SELECT DISTINCT pid FROM pg_locks WHERE NOT granted AND pid NOT IN (SELECT pid FROM batch) LIMIT 100
)
SELECT count(*)::int FROM waiting WHERE EXISTS (SELECT FROM batch WHERE batch.pid = ANY (pg_blocking_pids(waiting.pid)))`

func (s lockWaits) read(ctx context.Context, db session) ([]measure, error) {
	var waiting int
	if err := queryOne(ctx, db, lockWaitsSQL, []any{s.application}, &waiting); err != nil {
		return nil, err
	}
	m := measure{value: float64(waiting), unit: Sessions, levels: s.levels, after: " sessions are waiting for a lock held by reaper"}
	if waiting == 1 {
		m.after = " session is waiting for a lock held by reaper"
	}
	return []measure{m}, nil
}
