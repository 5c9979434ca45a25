// Package vacuum removes the dead rows that a run has left.
//
// What is due is a function of numbers (Target): the rows deleted are the run's own
// count, the size of the table is that of PostgreSQL's statistics. Of partitions, and
// after a vacuum in the middle of the run, only the statistics know what is dead, so
// the pool's sessions are asked to report theirs first; PostgreSQL 14 cannot be asked,
// and there a run of a second may leave out a partition.
//
// VACUUM runs in no transaction, and a setting of the session would stay behind in a
// pooler: so the client cancels it, by time, when the run is to end, or when it sees in
// pg_locks that somebody waits for the table. VACUUM tells only by a notice that it left
// a table out, because of a lock or a missing privilege: the privilege is looked up
// first, and the lock shows by a count of vacuums that did not grow.
//
// A vacuum writes WAL as batches do: while a guard pauses or stops none begins, and one
// under way is cancelled. Only where a checkpoint gives back what is missing is it waited
// for; autovacuum sees to the rest.
package vacuum

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// Config holds what a run's vacuums need.
type Config struct {
	// Pool is the one that the run has deleted with.
	Pool *pgxpool.Pool
	Log  *slog.Logger
	// Since is when the run began, by the database's clock: a timestamptz as text.
	Since string
	// Timeout bounds the vacuum of one table.
	Timeout time.Duration
	// Stopping ends vacuums early when it is cancelled.
	Stopping context.Context
	// Guard says whether a table may be vacuumed now; nil: it always may.
	Guard Guard
	// MaxWait is for how long a checkpoint is waited for, for all tables together.
	MaxWait time.Duration
	// Role and Version, the server_version_num, are those of the sessions: for the remedy
	// where the role may not vacuum a table.
	Role    string
	Version int
}

// command is put before a table's name. INDEX_CLEANUP ON: by default a vacuum
// leaves the indexes alone where few pages have dead rows, and after a purge it
// is their entries that searches walk over. SKIP_LOCKED: it queues behind
// nobody. TRUNCATE off: giving pages back to the disk takes ACCESS EXCLUSIVE,
// and ends queries on standbys. PARALLEL 0: one table is one process's work.
const command = "VACUUM (INDEX_CLEANUP ON, SKIP_LOCKED, TRUNCATE OFF, PARALLEL 0) "

var (
	errTimeout  = errors.New("its time is used up")
	errStopping = errors.New("the run is to end")
	errWaitedOn = errors.New("somebody else waits for the table")
)

// Run vacuums the targets whose time has come, the most dead rows first, and gives
// those that it has vacuumed. What stands in its way is logged.
func Run(ctx context.Context, c Config, targets []Target) (done []Target) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.Stopping, func() { cancel(errStopping) })()
	r := &run{Config: c}
	r.flushStatistics(ctx)
	due, err := r.due(ctx, targets)
	if errors.Is(err, errStopping) {
		r.Log.Info("not vacuumed", "error", errStopping)
		return nil
	}
	if err != nil {
		r.Log.Warn("not vacuumed", "error", pg.ErrorText(err))
		return nil
	}
	var denied []string
	for _, t := range due {
		if !t.allowed {
			denied = append(denied, t.Name.SQL())
		} else if r.vacuum(ctx, t) {
			done = append(done, t.Target)
		}
	}
	if len(denied) > 0 {
		names := strings.Join(denied, ", ")
		r.Log.Warn("not vacuumed: this role may not", "tables", names, "fix", schema.VacuumRemedy(r.Version, r.Role, names))
	}
	return done
}

// run is one call of Run.
type run struct {
	Config
	waitsUntil time.Time // for checkpoints; zero: no table has waited
}

// vacuum vacuums one table, and reports whether that was done. It ends early when
// its time is used up, when the run is to end, when somebody waits for the table, or
// when a guard says so.
func (r *run) vacuum(ctx context.Context, t *table) bool {
	if ctx.Err() != nil {
		r.Log.Info("not vacuumed", "table", t.Name.String(), "error", pg.ErrorText(context.Cause(ctx)))
		return false
	}
	if err := r.waitForGuard(ctx, t); err != nil {
		r.Log.Warn("not vacuumed", "table", t.Name.String(), "error", pg.ErrorText(err))
		return false
	}
	r.reportWAL(ctx, t)
	started := time.Now()
	err := r.bounded(ctx, t, func(ctx context.Context) error {
		_, err := r.Pool.Exec(ctx, command+t.Name.SQL())
		return err
	})
	took := time.Since(started).Round(time.Millisecond)
	r.reportWAL(ctx, t)
	switch {
	case errors.Is(err, errStopping):
		r.Log.Info("vacuum ended early", "table", t.Name.String(), "duration", took, "error", err)
	case err != nil:
		r.Log.Warn("vacuum ended early", "table", t.Name.String(), "duration", took, "error", pg.ErrorText(err))
	case r.leftOut(ctx, t):
		r.Log.Info("not vacuumed: others have the table locked, autovacuum perhaps", "table", t.Name.String())
	default:
		r.Log.Info("vacuumed", "table", t.Name.String(), "rows", t.remaining(), "duration", took)
		return true
	}
	return false
}

// bounded runs a vacuum. No setting can bound it: it runs in no transaction, and
// a setting of the session would stay behind in a pooler. So the client cancels.
func (r *run) bounded(ctx context.Context, t *table, vacuum func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	limit := time.AfterFunc(r.Timeout, func() { cancel(errTimeout) })
	defer limit.Stop()
	var watch sync.WaitGroup
	watch.Go(func() { r.watch(ctx, t, cancel) })
	err := vacuum(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	cancel(nil)
	watch.Wait()
	return err
}

// watchEvery is how often a vacuum looks whether it is in somebody's way.
const watchEvery = 100 * time.Millisecond

const waitedOnSQL = `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation' AND relation = $1::oid
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`

// watch cancels a vacuum when a guard stands against it, or when somebody waits for a
// lock on its table, as autovacuum does: an ALTER TABLE that waits for a vacuum has every
// query on the table wait behind it.
func (r *run) watch(ctx context.Context, t *table, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		var waiting bool
		// Without an answer the time limit still holds.
		if err := pg.Pinned(r.Pool).QueryRow(ctx, waitedOnSQL, t.OID).Scan(&waiting); err == nil && waiting {
			cancel(errWaitedOn)
			return
		}
		r.reportWAL(ctx, t)
		if objection := r.objection(t); objection != nil {
			cancel(objection)
			return
		}
	}
}

const countedSQL = `SELECT pg_stat_get_vacuum_count($1::oid) > $2::bigint OR current_setting('track_counts') = 'off',
	current_setting('server_version_num')::int < 150000`

// leftOut reports whether the vacuum left the table out: that is no error, and only
// the server's count shows it. PostgreSQL 14 counts half a second late.
func (r *run) leftOut(ctx context.Context, t *table) bool {
	for range 10 {
		var counted, late bool
		err := pg.Pinned(r.Pool).QueryRow(ctx, countedSQL, t.OID, t.vacuums).Scan(&counted, &late)
		if err != nil || counted {
			return false // in doubt the vacuum's own word counts
		}
		if !late {
			return true
		}
		pause := time.NewTimer(100 * time.Millisecond)
		select {
		case <-pause.C:
		case <-ctx.Done():
		}
		pause.Stop()
	}
	return true
}
