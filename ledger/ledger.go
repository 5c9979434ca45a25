// Package ledger keeps reaper's own tables: which runs there were, what each
// deleted, and how it ended. They stand in the database that is cleaned, so
// that a batch and its record are one transaction.
//
// Its statements run under the path of package pg. Some run in transactions of
// others, which may have another path: RecordBatch, BatchCommitted, ForgetDetach,
// RecordCounts, PausedSQL. These qualify every name, operators included.
package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DefaultSchema is the ledger's schema unless a setting says otherwise.
const DefaultSchema = "reaper"

// lease is how long a run counts as alive without a sign of life.
const lease = 2 * time.Minute

// StoppedReason is that of a run whose process was told to end, alone or among others:
// its claim is free again.
const StoppedReason = "interrupted by a signal"

// diedReason is that of a run that was closed for its dead process.
const diedReason = "the process ended without closing the run"

// Ledger is the ledger in one schema.
type Ledger struct {
	// Log is told what went wrong that fails nothing; nil: nobody is.
	Log *slog.Logger

	schema    string // quoted
	name      string
	retention time.Duration
	verified  atomic.Bool // Trusted has found the schema, and nothing against it
}

// New makes a ledger for a schema's exact name. Closed runs are kept for the
// retention; 0 keeps them for ever.
func New(schema string, retention time.Duration) *Ledger {
	return &Ledger{schema: pgx.Identifier{schema}.Sanitize(), name: schema, retention: retention}
}

// Schema is the exact name of the ledger's schema.
func (l *Ledger) Schema() string { return l.name }

// OpenRun records that a policy's run has begun. base is the run's start by
// the database's clock. Runs whose process has died are closed on the way.
func (l *Ledger) OpenRun(ctx context.Context, db *pgxpool.Pool, runID, policy, trigger, base string) error {
	if err := l.CloseDead(ctx, db, policy); err != nil {
		return err
	}
	return l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		// A repeated call, after a lost answer, changes nothing.
		return l.insertRun(ctx, tx, runID, policy, trigger, base)
	})
}

// insertRun opens a run, or says of one that a claim has opened when it began.
func (l *Ledger) insertRun(ctx context.Context, tx pgx.Tx, runID, policy, trigger, base string) error {
	_, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.run AS r (run_id, policy, trigger, cutoff_base, lease_until)
		VALUES ($1::uuid, $2, $3, $4::timestamptz, clock_timestamp() + $5::interval)
		ON CONFLICT (run_id, policy) DO UPDATE SET cutoff_base = excluded.cutoff_base, lease_until = excluded.lease_until WHERE r.status = 'running'
		RETURNING `+waits,
		runID, policy, trigger, base, lease.String())
	return err
}

// CloseDead closes the runs of these policies whose lease has lapsed.
func (l *Ledger) CloseDead(ctx context.Context, db *pgxpool.Pool, policies ...string) error {
	rows, err := l.on(db).Query(ctx, `SELECT run_id::text, policy FROM `+l.schema+`.run
		WHERE policy = ANY ($1::text[]) AND status = 'running' AND lease_until < clock_timestamp()`, policies)
	if err != nil {
		return err
	}
	dead, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct{ RunID, Policy string }])
	if err != nil {
		return err
	}
	for _, r := range dead {
		err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
			return l.end(ctx, tx, r.RunID, r.Policy, "failed", diedReason, 0, false)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Cutoffs is the quoted name of the table of cutoffs: run_id, policy, rank,
// tenant, cutoff.
func (l *Ledger) Cutoffs() string { return l.schema + ".cutoff" }

// FixCutoffs keeps the cutoffs that count for a policy's run until it is
// closed, in place of any kept before, and gives their number. The source gives
// a tenant's key and a cutoff each, as text; they are ranked from 1 in its order.
func (l *Ledger) FixCutoffs(ctx context.Context, db *pgxpool.Pool, runID, policy string, tenants pgx.CopyFromSource) (n int64, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', '10min', true)`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, l.dropCutoffs(), runID, policy); err != nil {
			return err
		}
		n, err = tx.CopyFrom(ctx, pgx.Identifier{l.name, "cutoff"}, []string{"run_id", "policy", "rank", "tenant", "cutoff"},
			&ranked{CopyFromSource: tenants, runID: runID, policy: policy})
		return err
	})
	return n, err
}

// ranked adds a run, a policy and a rank to tenants and their cutoffs.
type ranked struct {
	pgx.CopyFromSource
	runID, policy string
	rank          int64
}

// Values is pgx.CopyFromSource's.
func (r *ranked) Values() ([]any, error) {
	v, err := r.CopyFromSource.Values()
	if err != nil {
		return nil, err
	}
	r.rank++
	return append([]any{r.runID, r.policy, r.rank}, v...), nil
}

// dropCutoffs deletes the cutoffs of a policy's run.
func (l *Ledger) dropCutoffs() string {
	return `DELETE FROM ` + l.Cutoffs() + ` WHERE run_id = $1::uuid AND policy = $2`
}

// RecordBatch queues the row that says what a batch deleted and emptied, by
// table, for the batch's own transaction.
func (l *Ledger) RecordBatch(in *pgx.Batch, runID, policy string, seq int64, tenant *string, rows, nullified map[string]int64) error {
	deleted, err := object(rows)
	if err != nil {
		return err
	}
	emptied, err := object(nullified)
	if err != nil {
		return err
	}
	in.Queue(`INSERT INTO `+l.schema+`.batch (run_id, policy, seq, tenant, rows, nullified)
		VALUES ($1::pg_catalog.uuid, $2::pg_catalog.text, $3::pg_catalog.int8, $4::pg_catalog.text, $5::pg_catalog.jsonb, $6::pg_catalog.jsonb)`, runID, policy, seq, tenant, deleted, emptied)
	return nil
}

// object is counts as a JSON object; no counts are an empty one, not null.
func object(counts map[string]int64) (string, error) {
	if counts == nil {
		return "{}", nil
	}
	b, err := json.Marshal(counts)
	return string(b), err
}

// BatchCommitted reports whether a batch's row is there.
func (l *Ledger) BatchCommitted(ctx context.Context, tx pgx.Tx, runID, policy string, seq int64) (bool, error) {
	var there bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+l.schema+`.batch WHERE run_id OPERATOR(pg_catalog.=) $1::pg_catalog.uuid
		AND policy OPERATOR(pg_catalog.=) $2::pg_catalog.text AND seq OPERATOR(pg_catalog.=) $3::pg_catalog.int8)`,
		runID, policy, seq).Scan(&there)
	return there, err
}

// KeepAlive renews the lease of a run's open rows. When it returns, all that was
// committed before is on disk, whatever synchronous_commit says.
func (l *Ledger) KeepAlive(ctx context.Context, db *pgxpool.Pool, runID string) error {
	return l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, synchronous); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE `+l.schema+`.run SET lease_until = clock_timestamp() + $2::interval WHERE run_id = $1::uuid AND status = 'running'`,
			runID, lease.String())
		return err
	})
}

// DoneTenants counts the tenants of which a run deleted something, those named
// left out; "null" stands for a policy without tenants.
func (l *Ledger) DoneTenants(ctx context.Context, db *pgxpool.Pool, runID, policy string, except []string) (int64, error) {
	var n int64
	err := l.on(db).QueryRow(ctx, `SELECT count(*) FROM (SELECT DISTINCT tenant FROM `+l.schema+`.batch
		WHERE run_id = $1::uuid AND policy = $2 AND coalesce(tenant, 'null') <> ALL ($3::text[])) t`, runID, policy, except).Scan(&n)
	return n, err
}

// synchronous makes the commit of a transaction wait for the disk; waits is the
// expression in it, for a statement that does something besides.
const (
	synchronous = `SELECT ` + waits
	waits       = `set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true)`
)

// Totals gives the rows deleted and emptied by a policy's run, by table, and its
// batches.
func (l *Ledger) Totals(ctx context.Context, db *pgxpool.Pool, runID, policy string) (rows map[string]int64, nullified, batches int64, err error) {
	rows = map[string]int64{}
	sums, err := l.on(db).Query(ctx, `SELECT table_name, sum(rows)::bigint, sum(rows_nullified)::bigint FROM `+l.schema+`.deletions
		WHERE run_id = $1::uuid AND policy = $2 GROUP BY table_name`, runID, policy)
	if err != nil {
		return nil, 0, 0, err
	}
	var table string
	var n, emptied int64
	if _, err := pgx.ForEachRow(sums, []any{&table, &n, &emptied}, func() error {
		rows[table] = n
		nullified += emptied
		return nil
	}); err != nil {
		return nil, 0, 0, err
	}
	err = l.on(db).QueryRow(ctx, `SELECT batches FROM `+l.schema+`.runs WHERE run_id = $1::uuid AND policy = $2`, runID, policy).Scan(&batches)
	return rows, nullified, batches, err
}

// Written sums what the policy's latest runs have deleted and written: rows over
// all tables, and bytes of WAL. Without a ledger there were none.
func (l *Ledger) Written(ctx context.Context, db *pgxpool.Pool, policy string) (rows, wal int64, err error) {
	err = l.on(db).QueryRow(ctx, `SELECT coalesce(sum(rows_total), 0)::bigint, coalesce(sum(wal_bytes), 0)::bigint FROM (
		SELECT rows_total, wal_bytes FROM `+l.schema+`.run
		 WHERE policy = $1 AND status <> 'running' AND rows_total > 0 AND wal_bytes > 0 ORDER BY started_at DESC LIMIT 5) r`, policy).Scan(&rows, &wal)
	if missing(err) {
		return 0, 0, nil
	}
	return rows, wal, err
}

// CloseRun records how a policy's run ended: durably, whatever
// synchronous_commit says, and only once. ours is false when another process has
// closed it, which took this one for dead. Then it deletes runs older than the
// ledger's own retention; if that fails, it logs a warning.
func (l *Ledger) CloseRun(ctx context.Context, db *pgxpool.Pool, runID, policy, status, reason string, walBytes int64, success bool) (ours bool, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if err := l.end(ctx, tx, runID, policy, status, reason, walBytes, success); err != nil {
			return err
		}
		// A call that is repeated after a lost answer finds its own end.
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+l.schema+`.run WHERE run_id = $1::uuid AND policy = $2 AND status = $3 AND reason = $4)`,
			runID, policy, status, reason).Scan(&ours)
	})
	if err == nil {
		l.forgetRuns(ctx, db, runID)
	}
	return ours, err
}

// end folds the batches of a run into sums and closes it.
func (l *Ledger) end(ctx context.Context, tx pgx.Tx, runID, policy, status, reason string, walBytes int64, success bool) error {
	var batches int64
	var waiting string
	err := tx.QueryRow(ctx, `WITH closed AS (UPDATE `+l.schema+`.run r
		   SET status = $3, reason = $4, wal_bytes = $5::bigint, success = $6::bool, finished_at = clock_timestamp(), rows_total = v.rows_total, batches = v.batches
		  FROM `+l.schema+`.runs v
		 WHERE r.run_id = $1::uuid AND r.policy = $2 AND r.status = 'running' AND v.run_id = r.run_id AND v.policy = r.policy
		RETURNING r.batches),
		throttled AS (`+l.endAdvice()+`),
		settled AS (`+l.dropCutoffs()+` AND EXISTS (SELECT FROM closed))
		SELECT batches, `+waits+` FROM closed`,
		runID, policy, status, reason, walBytes, success).Scan(&batches, &waiting)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // closed before
	}
	if err != nil || batches == 0 {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.deletion (run_id, policy, tenant, table_name, rows, rows_nullified)
		SELECT run_id, policy, tenant, table_name, rows, rows_nullified FROM `+l.schema+`.deletions WHERE run_id = $1::uuid AND policy = $2`,
		runID, policy); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM `+l.schema+`.batch WHERE run_id = $1::uuid AND policy = $2`, runID, policy)
	return err
}

// LastRun is the newest run of a policy.
type LastRun struct {
	RunID      string     `json:"run_id"`
	Trigger    string     `json:"trigger"`
	Status     string     `json:"status"`
	Reason     string     `json:"reason"`
	StartedAt  time.Time  `json:"started_at"`
	FinishedAt *time.Time `json:"finished_at"`
	RowsTotal  int64      `json:"rows_total"`
	// RowsNullified is that of a run under way; Totals has those of ended ones.
	RowsNullified int64 `json:"rows_nullified"`
	Batches       int64 `json:"batches"`
	WALBytes      int64 `json:"wal_bytes"`
}

// missing reports whether an error means that the ledger is not there.
func missing(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000")
}
