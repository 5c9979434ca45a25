package vacuum

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// flushStatistics makes the run's sessions report their counters to the server, which they
// otherwise do once a second. PostgreSQL 14 has no function for it.
func (r *run) flushStatistics(ctx context.Context) {
	if r.Version < 150000 {
		return
	}
	for _, c := range r.Pool.AcquireAllIdle(ctx) {
		// Without it, the statistics are up to a second old.
		_, _ = c.Exec(ctx, `SELECT pg_stat_force_next_flush()`)
		c.Release()
	}
}

// The bounds of reading the statistics.
const (
	lockTimeout    = 10 * time.Second
	readingTimeout = 2 * time.Minute
)

const statisticsSQL = `
SELECT m.oid, n.nspname, m.relname, m.reltuples, ` + schema.MayVacuum + `,
       pg_stat_get_live_tuples(m.oid), pg_stat_get_dead_tuples(m.oid), pg_stat_get_vacuum_count(m.oid),
       coalesce(greatest(pg_stat_get_last_vacuum_time(m.oid), pg_stat_get_last_autovacuum_time(m.oid)) >= $2::timestamptz, false)
  FROM pg_class m JOIN pg_namespace n ON n.oid = m.relnamespace
 WHERE m.oid = ANY($1::oid[]) AND m.relkind = 'r'`

// due reads the statistics of the targets and returns those due for a vacuum, most dead rows
// first.
func (r *run) due(ctx context.Context, targets []Target) (due []*table, err error) {
	byOID := map[uint32]Target{}
	oids := make([]uint32, len(targets))
	for i, t := range targets {
		byOID[t.OID], oids[i] = t, t.OID
	}
	var x table
	var name schema.Name
	db := &pg.DB{Sender: r.Pool, Before: []string{pg.Timeouts(lockTimeout, readingTimeout)}}
	rows, err := db.Query(ctx, statisticsSQL, oids, r.Since)
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{
			&x.OID, &name.Schema, &name.Name, &x.estimate, &x.allowed, &x.live, &x.dead, &x.vacuums, &x.vacuumedSince,
		}, func() error {
			found := x
			found.Target = byOID[x.OID]
			found.Name = name
			if found.due() {
				due = append(due, &found)
			}
			return nil
		})
	}
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the statistics of tables: %w", err)
	}
	sortTables(due)
	return due, nil
}
