package erasing

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
)

// Bounds of a batch: each wait for a lock, and each statement.
const (
	mostLockWait     = 500 * time.Millisecond
	statementTimeout = time.Minute
)

var (
	errPausedByHand = errors.New("paused by hand")
	errMoved        = errors.New("WAL is written in another timeline")
	errVanished     = errors.New("the tenant's row is gone")
)

// transaction is one batch.
type transaction struct {
	tx      pgx.Tx
	seq     int64
	began   time.Time
	counts  map[ledger.ErasedRows]int64 // by table and action; Rows is 0 in the keys
	toldOf  *pgx.Batch                  // what the ledger is told besides
	rows    int64
	wal     int64
	settled bool  // it ended the erasure
	stuck   error // why the steps of the last batch do not come to an end; nil: they do
}

// statusSQL asks the ledger, and reads the position in the WAL.
func (x *run) statusSQL() string {
	return `SELECT ` + pg.WALPosition + `, ` + x.Ledger.PausedSQL(`$1::text`) + `, ` + x.Ledger.MovedSQL() + `, ` +
		x.Ledger.ErasureUnderWaySQL(`$2::uuid`, `$3::uuid`) + `, ` + x.Ledger.TenantHeldSQL(`$4::text`) + `, current_setting('session_replication_role') <> 'origin'`
}

// transact runs one batch: do is between its beginning and the counts.
func (x *run) transact(ctx context.Context, do func(context.Context, *transaction) error) (*transaction, error) {
	x.seq++
	t := &transaction{seq: x.seq, began: time.Now(), counts: map[ledger.ErasedRows]int64{}, toldOf: &pgx.Batch{}}
	tx, err := pg.Begin(ctx, x.Pool, pgx.ReadWrite)
	if err != nil {
		return nil, fmt.Errorf("beginning batch: %w", err)
	}
	defer pg.Rollback(tx)
	t.tx = tx
	if err := x.begin(ctx, t); err != nil {
		return nil, err
	}
	if err := do(ctx, t); err != nil {
		return nil, err
	}
	return t, x.commit(ctx, t)
}

// lockSQL takes advisory locks in the order given.
const lockSQL = `SELECT pg_advisory_xact_lock(k) FROM unnest($1::bigint[]) WITH ORDINALITY l(k, n)`

// begin takes the locks, asks whether to go on, and makes the settings.
func (x *run) begin(ctx context.Context, t *transaction) error {
	if err := pg.ExecAll(ctx, t.tx, pg.Timeouts(x.lockWait(), statementTimeout)); err != nil {
		return fmt.Errorf("beginning batch: %w", err)
	}
	if _, err := t.tx.Exec(ctx, lockSQL, x.lockKeys()); err != nil {
		return fmt.Errorf("waiting for the lock of the tenant: %w", err)
	}
	var paused, moved, underWay, held, replica bool
	err := t.tx.QueryRow(ctx, x.statusSQL(), policy.ErasurePolicy, x.e.ID, x.report.RunID, x.key).Scan(&t.wal, &paused, &moved, &underWay, &held, &replica)
	switch {
	case err != nil:
		return fmt.Errorf("beginning batch: %w", err)
	case moved:
		return errMoved
	case replica:
		return plan.ErrReplicaRole
	case paused:
		return errPausedByHand
	case !underWay:
		return stopf("the erasure was cancelled, or another run has it")
	case held:
		return stopf("the tenant is held (reaper holds)")
	}
	if _, err := t.tx.Exec(ctx, x.Plan.Settings(statementTimeout, x.lockWait())); err != nil {
		return fmt.Errorf("beginning batch: %w", err)
	}
	return x.lockTenant(ctx, t)
}

// lockWait is how long a statement waits for a lock.
func (x *run) lockWait() time.Duration { return min(x.Plan.Section.Limits.Time, mostLockWait) }

// lockKeys are the advisory locks under which rows of the tenant are deleted, by this and by the
// policies of the file, in an order that all erasures share.
func (x *run) lockKeys() []int64 {
	keys := []int64{purge.LockKey(policy.ErasurePolicy, &x.key)}
	for i := range x.Plan.File.Policies {
		if p := &x.Plan.File.Policies[i]; !p.Tenant.None {
			keys = append(keys, purge.LockKey(p.Name, &x.key))
		}
	}
	slices.Sort(keys[1:])
	return keys
}

// lockTenant locks the tenant's row, and looks whether it is still to be erased.
func (x *run) lockTenant(ctx context.Context, t *transaction) error {
	if x.gone {
		return x.unused(ctx, t)
	}
	there, err := x.Plan.LockTenant(ctx, t.tx, x.key, false)
	if err != nil {
		return fmt.Errorf("locking the tenant's row: %w", err)
	}
	if !there {
		return errVanished
	}
	look, err := x.Plan.Look(ctx, t.tx, x.key)
	switch {
	case err != nil:
		return fmt.Errorf("looking at the tenant's row: %w", err)
	case look.Held:
		return stopf("the tenant is held by the policy file (hold)")
	case x.e.Origin == ledger.ByWhen && x.e.State != ledger.ErasureEnded && !look.Due:
		return errNotDue
	}
	return nil
}

// errNotDue: `when` no longer holds.
var errNotDue = errors.New("when no longer holds for the tenant")

// inUse is the reason of a run, and the note of a sweep, that found a new tenant of the same key.
const inUse = "key in use again"

// unused refuses to go on where the tenants' table has such a key: it is another tenant's. It comes
// last in a transaction that deletes, too.
func (x *run) unused(ctx context.Context, t *transaction) error {
	look, err := x.Plan.Look(ctx, t.tx, x.key)
	if err != nil {
		return fmt.Errorf("looking for a tenant of this key: %w", err)
	}
	if look.Exists {
		return stopf("%s: the tenants' table has a row of this key, so nothing more was deleted", inUse)
	}
	return nil
}

// step does a step once, and counts what it did.
func (x *run) step(ctx context.Context, t *transaction, s *erasure.Step, limit int) (erasure.Outcome, error) {
	out, err := s.Run(ctx, t.tx, x.key, limit)
	if err != nil {
		return out, err
	}
	for i, n := range out.Rows {
		if n > 0 {
			t.counts[ledger.ErasedRows{Table: s.Tables[i].Name(), Action: actionOf(s.Kind)}] += n
			t.rows += n
		}
	}
	x.remember(t, s, out)
	return out, nil
}

// remember tells the ledger the values that rows are owned through.
func (x *run) remember(t *transaction, s *erasure.Step, out erasure.Outcome) {
	for i, columns := range out.Remembered {
		for k, values := range columns {
			if len(values) > 0 {
				x.Ledger.RememberKeys(t.toldOf, x.e.ID, s.Tables[i].Name(), s.Tables[i].Remember[k], values)
			}
		}
	}
}

// actionOf is what a step of a kind does, as the ledger has it.
func actionOf(kind erasure.Kind) string {
	switch kind {
	case erasure.StepRedact:
		return "redact"
	case erasure.StepClear:
		return "nullify"
	}
	return "delete"
}

// commit writes the ledger's rows and commits. Where no row is left of the tenant's in its table, it
// looks first whether another one has come.
func (x *run) commit(ctx context.Context, t *transaction) error {
	if x.gone {
		if err := x.unused(ctx, t); err != nil {
			return err
		}
	}
	if err := x.account(t); err != nil {
		return err
	}
	var wal int64
	t.toldOf.Queue("SELECT " + pg.WALPosition).QueryRow(func(row pgx.Row) error { return row.Scan(&wal) })
	if err := t.tx.SendBatch(ctx, t.toldOf).Close(); err != nil {
		return fmt.Errorf("writing the ledger: %w", err)
	}
	t.wal = wal - t.wal
	if err := t.tx.Commit(ctx); err != nil {
		if !pg.Away(err) {
			return fmt.Errorf("committing batch: %w", err)
		}
		return x.resolve(ctx, t, err)
	}
	return nil
}

// account queues the counts of a batch.
func (x *run) account(t *transaction) error {
	if len(t.counts) == 0 {
		return nil
	}
	deleted, changed := map[string]int64{}, map[string]int64{}
	var counts []ledger.ErasedRows
	for c, n := range t.counts {
		if c.Action == "delete" {
			deleted[c.Table] += n
		} else {
			changed[c.Table] += n
		}
		c.Rows = n
		counts = append(counts, c)
	}
	x.Ledger.CountErased(t.toldOf, x.e.ID, counts)
	return x.Ledger.RecordBatch(t.toldOf, x.report.RunID, policy.ErasurePolicy, t.seq, []*string{&x.key}, []map[string]int64{deleted}, []map[string]int64{changed})
}

// resolve finds out whether a batch was committed whose connection was lost in COMMIT: a batch that
// did something is in the ledger. The lock is waited for first, which the lost transaction has until
// it has ended. One that did nothing is done again.
func (x *run) resolve(ctx context.Context, t *transaction, lost error) error {
	var done bool
	err := x.patiently(ctx, func() error {
		return pg.InTx(ctx, x.Pool, pgx.ReadWrite, func(tx pgx.Tx) error {
			if err := pg.ExecAll(ctx, tx, pg.Timeouts(0, 10*time.Second)); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1::bigint)`, x.lockKeys()[0]); err != nil {
				return err
			}
			var err error
			done, err = x.Ledger.BatchCommitted(ctx, tx, x.report.RunID, policy.ErasurePolicy, t.seq)
			return err
		})
	})
	if err == nil && !done && t.settled {
		var now *ledger.Erasure
		now, err = x.Ledger.Erasure(ctx, x.Pool, x.e.ID)
		done = now != nil && now.State == ledger.ErasureEnded
	}
	if err != nil {
		return fmt.Errorf("resolving a lost commit: %w", err)
	}
	if !done {
		return fmt.Errorf("committing batch: %w", lost)
	}
	return nil
}
