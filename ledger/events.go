package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
)

// Kinds of events. The ledger itself emits those of runs.
const (
	RunBegun       = "run_begun"
	RunEnded       = "run_ended"
	ErasureBegun   = "erasure_begun"
	ErasureDone    = "erasure_done"
	LeftoversFound = "leftovers_found"
)

// Event is what the public view events tells of something that reaper has done.
type Event struct {
	Kind   string
	Policy string  // empty: none
	Tenant *string // its key as PostgreSQL prints it; nil: none
	RunID  string  // empty: none
	// Data is encoded as a JSON object of counts and ids, never lists of rows; nil: an empty one.
	Data map[string]any
}

// Emit queues an event, for the transaction of what it tells of. It is invisible until
// NumberEvents gives it an id after the commit: a process does so at its end.
func (l *Ledger) Emit(in *pgx.Batch, e Event) error {
	data := []byte("{}")
	if e.Data != nil {
		var err error
		if data, err = json.Marshal(e.Data); err != nil {
			return fmt.Errorf("encoding an event: %w", err)
		}
	}
	in.Queue(`INSERT INTO `+l.schema+`.event (kind, policy, tenant, run_id, data)
		VALUES ($1::pg_catalog.text, $2::pg_catalog.text, $3::pg_catalog.text, $4::pg_catalog.uuid, $5::pg_catalog.jsonb)`,
		e.Kind, orNull(e.Policy), e.Tenant, orNull(e.RunID), string(data))
	l.emitted.Store(true)
	return nil
}

// orNull returns nil for an empty text.
func orNull(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// numberLock is the advisory lock under which events get their ids.
const numberLock = 0x7265617065725f65 // "reaper_e"

// How many events get their ids at a time, and the bounds of the statement.
const (
	numberedAtOnce = 10_000
	numberLockWait = 5 * time.Second
	numberTimeout  = 10 * time.Second
)

// numberSQL is a whole transaction in one message: the lock is free again even if this process dies
// meanwhile. READ COMMITTED gives the UPDATE a snapshot taken under the lock: it sees the ids that
// the last holder has given, whose commit comes before the lock is free, and every event
// committed by then. The ids become visible together, and after all smaller ones. The commit
// waits for the disk: an id that somebody has seen must not be given again after a crash.
func (l *Ledger) numberSQL() string {
	return fmt.Sprintf(`BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; %s; %s; %s; SELECT pg_advisory_xact_lock(%d);
		WITH pending AS (SELECT n, row_number() OVER (ORDER BY n) AS place FROM %[5]s.event WHERE id IS NULL ORDER BY n LIMIT %[6]d)
		UPDATE %[5]s.event e SET id = last.id + p.place
		  FROM pending p, (SELECT coalesce(max(id), 0) AS id FROM %[5]s.event) last
		 WHERE e.n = p.n AND e.id IS NULL;
		COMMIT`, pg.Pin, pg.Timeouts(numberLockWait, numberTimeout), forceSyncCommit, int64(numberLock), l.schema, numberedAtOnce)
}

// NumberEvents gives ids to the events that are committed and have none, in one transaction under a
// lock, which makes them visible. It returns how many they were. Another call at the same time
// waits for it, at most some seconds.
func (l *Ledger) NumberEvents(ctx context.Context, db *pgxpool.Pool) (numbered int64, err error) {
	if err := l.on(db).ensure(ctx); err != nil {
		return 0, err
	}
	for {
		l.emitted.Store(false)
		n, err := l.numberSome(ctx, db)
		numbered += n
		if err != nil {
			l.emitted.Store(true)
			return numbered, fmt.Errorf("giving ids to events: %w", err)
		}
		if n < numberedAtOnce {
			return numbered, nil
		}
	}
}

// numberSome numbers as many events as go into one transaction.
func (l *Ledger) numberSome(ctx context.Context, db *pgxpool.Pool) (int64, error) {
	c, err := db.Acquire(ctx)
	if err != nil {
		return 0, err
	}
	defer c.Release() // which closes a connection whose transaction has failed
	results, err := c.Conn().PgConn().Exec(ctx, l.numberSQL()).ReadAll()
	if err != nil {
		return 0, err
	}
	for _, r := range results {
		if r.CommandTag.Update() {
			return r.CommandTag.RowsAffected(), nil
		}
	}
	return 0, nil
}

// NumberEmitted does what NumberEvents does if this process has emitted an event since. It costs
// nothing otherwise. An error is logged; the next numbering makes up for it.
func (l *Ledger) NumberEmitted(ctx context.Context, db *pgxpool.Pool) {
	if !l.emitted.Load() {
		return
	}
	if _, err := l.NumberEvents(ctx, db); err != nil && l.Log != nil {
		l.Log.Warn("events have no ids yet; will retry", "schema", l.name, "error", pg.ErrorText(err))
	}
}
