package purge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// vacuumTime bounds the vacuum of one table where the Runner says nothing else.
const vacuumTime = 10 * time.Minute

// vacuumSQL is put before a table's name. INDEX_CLEANUP ON: by default a vacuum
// leaves the indexes alone where few pages have dead rows, and after a purge it
// is their entries that searches walk over. SKIP_LOCKED: it queues behind
// nobody. TRUNCATE off: giving pages back to the disk takes ACCESS EXCLUSIVE,
// and ends queries on standbys. PARALLEL 0: one table is one process's work.
const vacuumSQL = "VACUUM (INDEX_CLEANUP ON, SKIP_LOCKED, TRUNCATE OFF, PARALLEL 0) "

var (
	errVacuumTime = errors.New("its time is used up")
	errGaveWay    = errors.New("somebody else waits for the table")
)

// vacuum sees to the dead rows that the run leaves. It comes when every policy
// is closed: a vacuum may take long, a run's lease does not last that long, and
// a table of two policies gets one. Whatever becomes of it, the run has ended
// as it has.
func (r *Run) vacuum(ctx context.Context, works []*work) {
	for _, w := range works {
		w.report.Vacuumed = []string{}
	}
	litters := littered(works)
	if len(litters) == 0 {
		return
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.halt, func() { cancel(errHalted) })()
	select {
	case r.shared.vacuuming <- struct{}{}:
		defer func() { <-r.shared.vacuuming }()
	case <-ctx.Done():
		return
	}
	r.flushStatistics(ctx, works[0].plan)
	due, err := r.due(ctx, litters)
	if errors.Is(err, errHalted) {
		r.log.Info("not vacuumed", "error", errHalted)
		return
	}
	if err != nil {
		r.log.Warn("not vacuumed", "error", plain(err))
		return
	}
	var denied []*litter
	for _, l := range due {
		if !l.allowed {
			denied = append(denied, l)
			continue
		}
		if r.vacuumTable(ctx, l) {
			for _, w := range l.works {
				w.report.Vacuumed = append(w.report.Vacuumed, l.name.String())
			}
		}
	}
	if len(denied) > 0 {
		r.log.Warn("not vacuumed: this role may not", "tables", namesOf(denied), "fix", works[0].plan.server.vacuumFix(namesOf(denied)))
	}
}

func namesOf(litters []*litter) string {
	return list(len(litters), func(i int) string { return ident(litters[i].name.Schema, litters[i].name.Name) })
}

// flushStatistics makes the sessions of the run tell the server what they have
// counted: by themselves they do so once a second. PostgreSQL 14 cannot be
// asked to.
func (r *Run) flushStatistics(ctx context.Context, p *Plan) {
	if p.server.Version < 150000 {
		return
	}
	for _, c := range r.pool.AcquireAllIdle(ctx) {
		// Without it the statistics are those of a second ago.
		_, _ = c.Exec(ctx, `SELECT pg_stat_force_next_flush()`)
		c.Release()
	}
}

const litterSQL = `
SELECT m.oid, n.nspname, m.relname, m.reltuples, ` + schema.MayVacuum + `,
       pg_stat_get_live_tuples(m.oid), pg_stat_get_dead_tuples(m.oid), pg_stat_get_vacuum_count(m.oid),
       coalesce(greatest(pg_stat_get_last_vacuum_time(m.oid), pg_stat_get_last_autovacuum_time(m.oid)) >= $2::timestamptz, false)
  FROM pg_class m JOIN pg_namespace n ON n.oid = m.relnamespace
 WHERE m.oid = ANY($1::oid[]) AND m.relkind = 'r'`

// due reads what there is to know of the tables, and gives those whose time has
// come, the most dead rows first.
func (r *Run) due(ctx context.Context, litters map[uint32]*litter) (due []*litter, err error) {
	oids := make([]uint32, 0, len(litters))
	for oid := range litters {
		oids = append(oids, oid)
	}
	err = r.read(ctx, pg.Path, searchTimeout, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, litterSQL, oids, r.base)
		if err != nil {
			return err
		}
		var oid uint32
		var x litter
		_, err = pgx.ForEachRow(rows, []any{
			&oid, &x.name.Schema, &x.name.Name, &x.estimate, &x.allowed, &x.live, &x.dead, &x.vacuums, &x.visited,
		}, func() error {
			l := litters[oid]
			x.oid, x.works, x.deleted, x.whole, x.always = oid, l.works, l.deleted, l.whole, l.always
			if found := x; found.due() {
				due = append(due, &found)
			}
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the statistics of tables: %w", err)
	}
	sortLitters(due)
	return due, nil
}

// vacuumTable vacuums one table, and tells whether that was done. It ends early
// when its time is used up, when the run is to end, when somebody waits for the
// table, or when a guard says so.
func (r *Run) vacuumTable(ctx context.Context, l *litter) bool {
	if ctx.Err() != nil {
		r.log.Info("not vacuumed", "table", l.name.String(), "error", plain(context.Cause(ctx)))
		return false
	}
	if err := r.clear(ctx, l); err != nil {
		r.log.Warn("not vacuumed", "table", l.name.String(), "error", plain(err))
		return false
	}
	r.weigh(ctx, l)
	started := time.Now()
	err := r.bounded(ctx, l, func(ctx context.Context) error {
		_, err := r.pool.Exec(ctx, vacuumSQL+ident(l.name.Schema, l.name.Name))
		return err
	})
	took := time.Since(started).Round(time.Millisecond)
	r.weigh(ctx, l)
	switch {
	case errors.Is(err, errHalted):
		r.log.Info("vacuum ended early", "table", l.name.String(), "duration", took, "error", err)
	case err != nil:
		r.log.Warn("vacuum ended early", "table", l.name.String(), "duration", took, "error", plain(err))
	case r.passedOver(ctx, l):
		r.log.Info("not vacuumed: others have the table locked, autovacuum perhaps", "table", l.name.String())
	default:
		r.log.Info("vacuumed", "table", l.name.String(), "rows", l.left(), "duration", took)
		return true
	}
	return false
}

// bounded runs a vacuum. No setting can bound it: it runs in no transaction, and
// a setting of the session would stay behind in a pooler. So the client cancels.
func (r *Run) bounded(ctx context.Context, l *litter, vacuum func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	limit := time.AfterFunc(r.vacuumTime, func() { cancel(errVacuumTime) })
	defer limit.Stop()
	var watch sync.WaitGroup
	watch.Go(func() { r.giveWay(ctx, l, cancel) })
	err := vacuum(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	cancel(nil)
	watch.Wait()
	return err
}

// wayEvery is how often a vacuum looks whether it is in somebody's way.
const wayEvery = 100 * time.Millisecond

const waitedForSQL = `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation' AND relation = $1::oid
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`

// giveWay cancels a vacuum when a guard says pause, or when somebody waits for a lock
// on its table, as autovacuum does: an ALTER TABLE that waits for a vacuum has every
// query on the table wait behind it.
func (r *Run) giveWay(ctx context.Context, l *litter, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(wayEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var waiting bool
		// Without an answer the time limit still holds.
		if err := pg.Pinned(r.pool).QueryRow(ctx, waitedForSQL, l.oid).Scan(&waiting); err == nil && waiting {
			cancel(errGaveWay)
			return
		}
		r.weigh(ctx, l)
		if wrong := r.against(l); wrong != nil {
			cancel(wrong)
			return
		}
	}
}

// passedOver tells whether the vacuum left the table out: that is no error, and
// only the server's count shows it. PostgreSQL 14 counts half a second late.
func (r *Run) passedOver(ctx context.Context, l *litter) bool {
	for range 10 {
		var counted, late bool
		err := pg.Pinned(r.pool).QueryRow(ctx, `SELECT pg_stat_get_vacuum_count($1::oid) > $2::bigint OR current_setting('track_counts') = 'off',
			current_setting('server_version_num')::int < 150000`, l.oid, l.vacuums).Scan(&counted, &late)
		if err != nil || counted {
			return false // in doubt the vacuum's own word counts
		}
		if !late {
			return true
		}
		r.sleep(ctx, 100*time.Millisecond)
	}
	return true
}
