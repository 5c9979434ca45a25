package purge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
)

const (
	// undoTries is how often a partition is tried to be attached again, over about
	// seven seconds, before the run goes on without it. PostgreSQL finishes a detach
	// that was interrupted only after all transactions that began before, and each
	// try waits for locks no longer than a batch does.
	undoTries = 8
	// finalizeTimeout bounds one statement of a try.
	finalizeTimeout = 5 * time.Second
	// attachTimeout bounds the attaching. It reads nothing, unless somebody took
	// the CHECK constraint away that the detach has left, or gave the table an index.
	attachTimeout = 10 * time.Minute
)

// detached is a partition whose detach was noted, and neither carried through
// nor undone.
type detached struct {
	policy            string
	parent, partition uint32
	name, bound       string
	checks            []string
}

// recoverPartitions undoes, at the start of a policy's run, every drop of a
// partition that a crash or a blocked detach has left in the middle. Undone is the
// only safe end: the conditions of then may not be those of now, and the same run
// looks at the partition again. A partition that cannot be attached yet is named
// in the report of the policy that it concerns.
func (w *work) recoverPartitions(ctx context.Context) {
	if w.ended() {
		return
	}
	var found []detached
	err := w.run.withServer(ctx, func() error {
		found = nil
		return w.run.ledger.EachDetach(ctx, w.run.pool, func(policy string, parent, partition uint32, name, bound string, checks []string) {
			found = append(found, detached{policy, parent, partition, name, bound, checks})
		})
	})
	if err != nil {
		w.fail(fmt.Errorf("reading the ledger's detaches: %w", err))
		return
	}
	for _, d := range found {
		_, err := w.tryUndo(ctx, d, false)
		switch {
		case errors.Is(err, errBusy): // another process is at it, and alive
		case err != nil && (d.policy == w.plan.Policy.Name || d.parent == w.plan.Root.Table.OID):
			w.stays(d, err)
		case err != nil:
			w.run.log.Warn("partition of another policy is still detached", "policy", d.policy, "partition", d.name, "error", plain(err))
		}
	}
}

// undo attaches the partition again after an error, and tells whether the table is
// gone instead. A run that has to end at once still does this, for a moment.
func (w *work) undo(ctx context.Context, d detached) (gone bool) {
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.run.patience+attachTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(haltPatience, cancel) })()
	gone, err := w.tryUndo(lasting, d, true)
	if err != nil {
		w.stays(d, err)
	}
	return gone
}

// stays notes that a partition is still detached: the run ends incomplete.
func (w *work) stays(d detached, err error) {
	w.run.log.Warn("partition is detached, and cannot be attached again yet", "policy", w.plan.Policy.Name, "partition", d.name, "error", plain(err))
	w.parts.left, w.parts.why = append(w.parts.left, d), plain(err)
}

// attachAtLast tries once more, at the end of a run, with what could not be
// attached before.
func (w *work) attachAtLast(ctx context.Context) {
	for _, d := range w.parts.left {
		if _, err := w.undoOnce(ctx, d, false); err == nil {
			w.run.log.Info("partition attached again", "policy", w.plan.Policy.Name, "partition", d.name)
			w.parts.late = append(w.parts.late, d.name)
		}
	}
}

// tryUndo undoes a detach, again after a pause when a lock was in the way.
// guarded: this process has the table's lock among reapers.
func (w *work) tryUndo(ctx context.Context, d detached, guarded bool) (gone bool, err error) {
	for try := 0; ; try++ {
		err = w.run.withServer(ctx, func() error {
			gone, err = w.undoOnce(ctx, d, guarded)
			return err
		})
		if err == nil || decideUndo(err, try) != retryBatch {
			return gone, err
		}
		w.run.sleep(ctx, w.run.backoff(try+1))
	}
}

// undoOnce undoes a detach, as far as it came, in one transaction.
func (w *work) undoOnce(ctx context.Context, d detached, guarded bool) (gone bool, err error) {
	tx, err := pg.Begin(ctx, w.run.pool, pgx.ReadWrite)
	if err != nil {
		return false, fmt.Errorf("attaching %s again: %w", d.name, err)
	}
	defer rollback(tx)
	u := &undoing{Tx: tx, d: d}
	s := &statement{}
	lock := "true"
	if !guarded {
		lock = "pg_try_advisory_xact_lock(" + s.cast(partitionsKey(d.parent), "bigint") + ")"
	}
	s.add("SELECT ", lock, ", ", settings(s, pg.Path, finalizeTimeout, w.plan.lockTimeout()))
	var got bool
	if err := tx.QueryRow(ctx, s.String(), s.args...).Scan(&got, new(int)); err != nil {
		return false, fmt.Errorf("attaching %s again: %w", d.name, err)
	}
	if !got {
		return false, errBusy
	}
	// It waits for a drop whose COMMIT is under way.
	noted, err := w.run.ledger.ForgetDetach(ctx, tx, d.partition)
	if err == nil && !noted {
		gone, err = u.gone(ctx)
	} else if err == nil {
		err = u.undo(ctx)
	}
	if err == nil && u.parent == "" && noted {
		w.run.log.Warn("the table of a detached partition is gone: the partition stays by itself", "policy", d.policy, "partition", d.name)
	}
	if err == nil {
		err = tx.Commit(ctx)
	}
	if err != nil {
		return false, fmt.Errorf("attaching %s again: %w", d.name, err)
	}
	return gone, nil
}

// undoing is the transaction that undoes a detach.
type undoing struct {
	pgx.Tx
	d                 detached
	parent, partition string // quoted names of today; empty: there is no such table
}

func (u *undoing) gone(ctx context.Context) (gone bool, err error) {
	err = u.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM pg_class WHERE oid = $1::bigint::oid)`, int64(u.d.partition)).Scan(&gone)
	return gone, err
}

// undo finds out how far the detach came, and undoes it. A table that is not
// there any more, and one that somebody attached, need nothing.
func (u *undoing) undo(ctx context.Context) error {
	if err := u.names(ctx); err != nil || u.parent == "" {
		return err
	}
	// Nobody can attach or detach beside this lock, not even a detach of a process
	// that died while it waited.
	if _, err := u.Exec(ctx, "LOCK TABLE ONLY "+u.parent+" IN SHARE UPDATE EXCLUSIVE MODE"); err != nil {
		return err
	}
	if err := u.names(ctx); err != nil || u.parent == "" || u.partition == "" {
		return err
	}
	var attached, pending bool
	err := u.QueryRow(ctx, `SELECT count(*) > 0, coalesce(bool_or(inhdetachpending AND inhparent = $2::bigint::oid), false) FROM pg_inherits WHERE inhrelid = $1::bigint::oid`,
		int64(u.d.partition), int64(u.d.parent)).Scan(&attached, &pending)
	if err != nil || attached && !pending {
		return err
	}
	if pending {
		if _, err := u.Exec(ctx, "ALTER TABLE "+u.parent+" DETACH PARTITION "+u.partition+" FINALIZE"); err != nil {
			return err
		}
	}
	return u.attach(ctx)
}

// names looks up what the two tables are called now.
func (u *undoing) names(ctx context.Context) error {
	return u.QueryRow(ctx, `SELECT coalesce(min(format('%I.%I', n.nspname, c.relname)) FILTER (WHERE c.oid = $1::bigint::oid AND c.relkind = 'p'), ''),
	       coalesce(min(format('%I.%I', n.nspname, c.relname)) FILTER (WHERE c.oid = $2::bigint::oid AND c.relkind = 'r'), '')
	  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN ($1::bigint::oid, $2::bigint::oid)`,
		int64(u.d.parent), int64(u.d.partition)).Scan(&u.parent, &u.partition)
}

// leftoverSQL are the CHECK constraints that say no more than a partition's
// bound, those left out that were there before.
const leftoverSQL = `SELECT array(SELECT conname::text FROM pg_constraint
	WHERE conrelid = $1::bigint::oid AND contype = 'c' AND coninhcount = 0 AND conname <> ALL ($2::text[])
	  AND pg_get_constraintdef(oid) = 'CHECK (' || pg_get_partition_constraintdef(conrelid) || ')')`

// attach attaches the partition where it was. The CHECK constraint that the detach
// has added saves reading its rows, and is taken away again.
func (u *undoing) attach(ctx context.Context) error {
	if _, err := u.Exec(ctx, `SELECT set_config('statement_timeout', $1, true)`, fmt.Sprintf("%dms", attachTimeout.Milliseconds())); err != nil {
		return err
	}
	if _, err := u.Exec(ctx, "ALTER TABLE "+u.parent+" ATTACH PARTITION "+u.partition+" "+u.d.bound); err != nil {
		return err
	}
	var leftover []string
	checks := u.d.checks
	if checks == nil {
		checks = []string{} // NULL would match nothing
	}
	if err := u.QueryRow(ctx, leftoverSQL, int64(u.d.partition), checks).Scan(&leftover); err != nil {
		return err
	}
	for _, name := range leftover {
		if _, err := u.Exec(ctx, "ALTER TABLE "+u.partition+" DROP CONSTRAINT "+ident(name)); err != nil {
			return err
		}
	}
	return nil
}
