package partition

import (
	"context"
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

// Detached is a partition whose detach was noted, and neither carried through
// nor undone.
type Detached struct {
	Name              string // as it was noted
	policy            string
	parent, partition uint32
	bound             string
	checks            []string
}

// Recover undoes, at the start of a policy's run, every drop of a partition, of any
// table, that a crash or a blocked detach has left in the middle. Undone is the only
// safe end: the conditions of then may not be those of now, and the same run looks at
// the partition again. Run is told of a partition that cannot be attached yet, if it
// concerns the policy.
func (t *Table) Recover(ctx context.Context) error {
	var found []Detached
	err := t.WithServer(ctx, func() error {
		found = nil
		return t.Ledger.EachDetach(ctx, t.Pool, func(policy string, parent, partition uint32, name, bound string, checks []string) {
			found = append(found, Detached{name, policy, parent, partition, bound, checks})
		})
	})
	if err != nil {
		return fmt.Errorf("reading the ledger's detaches: %w", err)
	}
	for _, d := range found {
		end, err := t.tryUndo(ctx, d, false)
		switch {
		case end == busy: // another process is at it, and alive
		case err != nil && (d.policy == t.Policy || d.parent == t.OID):
			t.Stays(d, err)
		case err != nil:
			t.Log.Warn("partition of another policy is still detached", "policy", d.policy, "partition", d.Name, "error", pg.ErrorText(err))
		}
	}
	return nil
}

// Attach tries once to attach a partition again, and reports whether it is not
// detached any more.
func (t *Table) Attach(ctx context.Context, d Detached) bool {
	end, err := t.undoOnce(ctx, d, false)
	return err == nil && end != busy
}

// undo attaches the partition again after an error, and reports whether the table is
// gone instead. A run that has to end at once still does this, for a moment.
func (t *Table) undo(ctx context.Context, d Detached) bool {
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Patience+attachTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(endPatience, cancel) })()
	end, err := t.tryUndo(lasting, d, true)
	if err != nil {
		t.Stays(d, err)
	}
	return end == gone
}

// undone is how undoing a detach ended, where it ended without an error.
type undone int

const (
	settled undone = iota // it is attached, or nothing had to be done
	gone                  // the table is gone
	busy                  // another process has the table's lock among reapers
)

// tryUndo undoes a detach, again after a pause when a lock was in the way.
// locked: this process has the table's lock among reapers.
func (t *Table) tryUndo(ctx context.Context, d Detached, locked bool) (end undone, err error) {
	for try := range undoTries {
		if try > 0 {
			t.Backoff(ctx, try)
		}
		err = t.WithServer(ctx, func() error {
			end, err = t.undoOnce(ctx, d, locked)
			return err
		})
		if !pg.HasCode(err, "55P03", "40P01") {
			return end, err
		}
	}
	return end, err
}

// undoOnce undoes a detach, as far as it came, in one transaction.
func (t *Table) undoOnce(ctx context.Context, d Detached, locked bool) (end undone, err error) {
	end, err = t.inUndo(ctx, d, locked)
	if err != nil {
		return settled, fmt.Errorf("attaching %s again: %w", d.Name, err)
	}
	return end, nil
}

func (t *Table) inUndo(ctx context.Context, d Detached, locked bool) (end undone, err error) {
	tx, err := pg.Begin(ctx, t.Pool, pgx.ReadWrite)
	if err != nil {
		return settled, err
	}
	defer pg.Rollback(tx)
	lock := fmt.Sprintf("pg_try_advisory_xact_lock('%d'::bigint)", lockKey(d.parent))
	if locked {
		lock = "true"
	}
	var got bool
	err = tx.QueryRow(ctx, "SELECT "+lock+", "+pg.Settings(pg.Path, milliseconds(finalizeTimeout), milliseconds(t.LockTimeout))).Scan(&got, new(int))
	if err != nil {
		return settled, err
	}
	if !got {
		return busy, nil
	}
	if end, err = t.undoIn(ctx, tx, d); err != nil {
		return settled, err
	}
	return end, tx.Commit(ctx)
}

// undoIn takes the note back, which waits for a drop whose COMMIT is under way, and
// undoes the detach if it was there. Else it looks whether the table is gone.
func (t *Table) undoIn(ctx context.Context, tx pgx.Tx, d Detached) (end undone, err error) {
	u := &undoing{Tx: tx, d: d}
	noted, err := t.Ledger.ForgetDetach(ctx, tx, d.partition)
	if err != nil {
		return settled, err
	}
	if !noted {
		return u.isGone(ctx)
	}
	err = u.undo(ctx)
	if err == nil && u.parent == "" {
		t.Log.Warn("the table of a detached partition is gone: the partition stays by itself", "policy", d.policy, "partition", d.Name)
	}
	return settled, err
}

// undoing is the transaction that undoes a detach.
type undoing struct {
	pgx.Tx
	d                 Detached
	parent, partition string // quoted names of today; empty: there is no such table
}

func (u *undoing) isGone(ctx context.Context) (end undone, err error) {
	var is bool
	err = u.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM pg_class WHERE oid = $1::bigint::oid)`, int64(u.d.partition)).Scan(&is)
	if is {
		return gone, err
	}
	return settled, err
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
		if _, err := u.Exec(ctx, "ALTER TABLE "+u.partition+" DROP CONSTRAINT "+pgx.Identifier{name}.Sanitize()); err != nil {
			return err
		}
	}
	return nil
}
