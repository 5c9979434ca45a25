// Package vacuum removes the dead rows that a run leaves behind.
//
// It runs when every policy of the run is closed: a vacuum may outlast the run's lease, and a
// table of two policies needs only one.
//
// A table is due when the run's dead rows are more than a tenth of the rows it had, or when a
// policy asks to vacuum always. That is a function of numbers (Target): the rows deleted by the
// run's own count, the size of the table by PostgreSQL's statistics. For partitions, and after a
// vacuum in the middle of the run, only the statistics know what is dead, so the pool's sessions
// are asked to report theirs first. PostgreSQL 14 has no function for that; there, a run shorter
// than a second may miss a partition.
//
// VACUUM cannot run in a transaction, and a session setting would leak through a pooler. So
// the client cancels it: after a timeout, when the run is stopping, or when pg_locks shows
// that someone waits for the table. VACUUM only raises a notice when it skips a table because
// of a lock or a missing privilege. The privilege is therefore checked first, and a lock
// shows as a vacuum count that did not increase.
//
// A vacuum writes WAL like batches do: while a guard pauses or stops, none begins and a
// running one is canceled. It waits only if a checkpoint frees what is missing; otherwise it
// leaves the table to autovacuum.
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
	// Pool is the one that the run deleted with.
	Pool *pgxpool.Pool
	Log  *slog.Logger
	// Since is the start of the run by the database's clock, a timestamptz as text.
	Since string
	// Timeout bounds the vacuum of one table.
	Timeout time.Duration
	// Stopping ends vacuums early when it is canceled.
	Stopping context.Context
	// Guard decides whether a table may be vacuumed now; nil means always.
	Guard Guard
	// MaxWait is how long to wait for checkpoints, for all tables together.
	MaxWait time.Duration
	// Role and Version (server_version_num) are those of the sessions, for the remedy where
	// the role may not vacuum a table.
	Role    string
	Version int
}

// command precedes a table's name. INDEX_CLEANUP ON: by default a vacuum skips the indexes
// where few pages have dead rows, and after a purge it is their entries that slow down
// searches. SKIP_LOCKED: never queue for a lock. TRUNCATE OFF: returning pages to the file
// system takes ACCESS EXCLUSIVE and ends queries on standbys. PARALLEL 0: use one process.
const command = "VACUUM (INDEX_CLEANUP ON, SKIP_LOCKED, TRUNCATE OFF, PARALLEL 0) "

var (
	errTimeout       = errors.New("its time is used up")
	errStopping      = errors.New("the run is stopping")
	errLockRequested = errors.New("another session is waiting for the table")
)

// Run vacuums the targets that are due, most dead rows first, and returns those it vacuumed.
// Obstacles are logged.
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
		r.Log.Warn("not vacuumed: this role may not vacuum these tables", "tables", names, "fix", schema.VacuumRemedy(r.Version, r.Role, names))
	}
	return done
}

// run is one call of Run.
type run struct {
	Config
	checkpointDeadline time.Time // deadline for checkpoints; zero until a table waits
}

// vacuum vacuums one table and reports whether it did. It ends early when it times out, when
// the run is stopping, when another session waits for the table, or when a guard objects.
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
	took := time.Since(started).Seconds()
	r.reportWAL(ctx, t)
	switch {
	case errors.Is(err, errStopping):
		r.Log.Info("vacuum ended early", "table", t.Name.String(), "duration_seconds", took, "error", err)
	case err != nil:
		r.Log.Warn("vacuum ended early", "table", t.Name.String(), "duration_seconds", took, "error", pg.ErrorText(err))
	case r.wasSkipped(ctx, t):
		r.Log.Info("not vacuumed: another session, perhaps autovacuum, has locked the table", "table", t.Name.String())
	default:
		r.Log.Info("vacuumed", "table", t.Name.String(), "rows", t.remaining(), "duration_seconds", took)
		return true
	}
	return false
}

// bounded runs a vacuum. No setting can bound it: it runs outside a transaction, and a
// session setting would leak through a pooler. So the client cancels it.
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

// watchEvery is how often a vacuum is checked for being in someone's way.
const watchEvery = 100 * time.Millisecond

const lockRequestedSQL = `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation' AND relation = $1::oid
   AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`

// watch cancels a vacuum when a guard objects, or when another session waits for a lock on
// its table, as autovacuum does: an ALTER TABLE that waits for a vacuum makes every query on
// the table wait behind it.
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
		// Without an answer, the timeout still applies.
		if err := pg.Pinned(r.Pool).QueryRow(ctx, lockRequestedSQL, t.OID).Scan(&waiting); err == nil && waiting {
			cancel(errLockRequested)
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

// wasSkipped reports whether VACUUM skipped the table, which is no error: only the server's
// vacuum count shows it. PostgreSQL 14 updates it half a second late.
func (r *run) wasSkipped(ctx context.Context, t *table) bool {
	for range 10 {
		var counted, late bool
		err := pg.Pinned(r.Pool).QueryRow(ctx, countedSQL, t.OID, t.vacuums).Scan(&counted, &late)
		if err != nil || counted {
			return false // in doubt, trust that the vacuum succeeded
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
