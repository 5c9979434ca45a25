package partition

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
)

const (
	// undoTries is how often attaching a partition is tried, over about seven seconds, before
	// the run continues without it. PostgreSQL finishes an interrupted detach only after all
	// older transactions have ended, and each try waits for locks no longer than a batch does.
	undoTries = 8
	// finalizeTimeout bounds one statement of a try.
	finalizeTimeout = 5 * time.Second
	// attachTimeout bounds the attach. It reads no rows unless someone has dropped the CHECK
	// constraint left by the detach, or added an index to the table.
	attachTimeout = 10 * time.Minute
)

// Detached is a partition whose noted detach was neither completed nor undone.
type Detached struct {
	Name              string // as noted
	policy            string
	parent, partition uint32
	bound             string
	checks            []string
}

// Recover undoes, at the start of a policy's run, every partition drop of any table that a
// crash or a blocked detach left unfinished. Undoing is the only safe outcome, because the
// conditions may have changed; the same run then considers the partition again. Run.Stays
// is called for a partition that cannot be attached yet, if it concerns the policy.
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
		case end == busy: // another live process is working on it
		case err != nil && (d.policy == t.Policy || d.parent == t.OID):
			t.Stays(d, err)
		case err != nil:
			t.Log.Warn("partition of another policy is still detached", "policy", d.policy, "partition", d.Name, "error", pg.ErrorText(err))
		}
	}
	return nil
}

// Attach tries once to attach a partition again, and reports whether it is no longer
// detached.
func (t *Table) Attach(ctx context.Context, d Detached) bool {
	end, err := t.undoOnce(ctx, d, false)
	return err == nil && end != busy
}

// undo attaches the partition again after an error, and reports whether the table is gone
// instead. A run that has to stop at once still spends a moment on this.
func (t *Table) undo(ctx context.Context, d Detached) bool {
	lasting, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.Patience+attachTimeout)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(endPatience, cancel) })()
	end, err := t.tryUndo(lasting, d, true)
	if err != nil {
		t.Stays(d, err)
	}
	return end == removed
}

// outcome is the outcome of undoing a detach without an error.
type outcome int

const (
	settled outcome = iota // the partition is attached, or there was nothing to do
	removed                // the table is gone
	busy                   // another process holds reaper's lock for the table
)

// tryUndo undoes a detach, retrying when a lock is in the way. locked means that this
// process holds reaper's lock for the table.
func (t *Table) tryUndo(ctx context.Context, d Detached, locked bool) (end outcome, err error) {
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

// undoOnce undoes a detach, however far it came, in one transaction.
func (t *Table) undoOnce(ctx context.Context, d Detached, locked bool) (end outcome, err error) {
	end, err = t.undoLocked(ctx, d, locked)
	if err != nil {
		return settled, fmt.Errorf("attaching %s again: %w", d.Name, err)
	}
	return end, nil
}

func (t *Table) undoLocked(ctx context.Context, d Detached, locked bool) (end outcome, err error) {
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
	if end, err = t.undoNoted(ctx, tx, d); err != nil {
		return settled, err
	}
	return end, tx.Commit(ctx)
}

// undoNoted removes the note, which waits for a drop that is committing, and undoes the detach
// if the note existed. Otherwise it checks whether the table is gone.
func (t *Table) undoNoted(ctx context.Context, tx pgx.Tx, d Detached) (end outcome, err error) {
	u := &undoTx{Tx: tx, d: d}
	noted, err := t.Ledger.ForgetDetach(ctx, tx, d.partition)
	if err != nil {
		return settled, err
	}
	if !noted {
		return u.isDropped(ctx)
	}
	err = u.undo(ctx)
	if err == nil && u.parent == "" {
		t.Log.Warn("the table of a detached partition is gone; leaving the partition detached", "policy", d.policy, "partition", d.Name)
	}
	return settled, err
}

// undoTx is the transaction that undoes a detach.
type undoTx struct {
	pgx.Tx
	d                 Detached
	parent, partition string // current quoted names; empty if there is no such table
}

func (u *undoTx) isDropped(ctx context.Context) (end outcome, err error) {
	var is bool
	err = u.QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM pg_class WHERE oid = $1::bigint::oid)`, int64(u.d.partition)).Scan(&is)
	if is {
		return removed, err
	}
	return settled, err
}

// undo determines how far the detach came, and undoes it. If the table is gone or someone
// has attached the partition, there is nothing to do.
func (u *undoTx) undo(ctx context.Context) error {
	if err := u.names(ctx); err != nil || u.parent == "" {
		return err
	}
	// Under this lock nobody else can attach or detach, not even a detach whose process died
	// while waiting.
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

// names reads the current names of the two tables.
func (u *undoTx) names(ctx context.Context) error {
	return u.QueryRow(ctx, `SELECT coalesce(min(format('%I.%I', n.nspname, c.relname)) FILTER (WHERE c.oid = $1::bigint::oid AND c.relkind = 'p'), ''),
	       coalesce(min(format('%I.%I', n.nspname, c.relname)) FILTER (WHERE c.oid = $2::bigint::oid AND c.relkind = 'r'), '')
	  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid IN ($1::bigint::oid, $2::bigint::oid)`,
		int64(u.d.parent), int64(u.d.partition)).Scan(&u.parent, &u.partition)
}

// leftoverSQL lists the CHECK constraints that only restate a partition's bound, except those
// that were there before.
const leftoverSQL = `SELECT array(SELECT conname::text FROM pg_constraint
	WHERE conrelid = $1::bigint::oid AND contype = 'c' AND coninhcount = 0 AND conname <> ALL ($2::text[])
	  AND pg_get_constraintdef(oid) = 'CHECK (' || pg_get_partition_constraintdef(conrelid) || ')')`

// attach attaches the partition where it was. The CHECK constraint added by the detach
// saves reading its rows, and is dropped afterwards.
func (u *undoTx) attach(ctx context.Context) error {
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
