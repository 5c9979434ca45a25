package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DefaultSchema is the ledger's default schema.
const DefaultSchema = "reaper"

// leaseDuration is how long a run counts as alive after its last renewal.
const leaseDuration = 2 * time.Minute

// StoppedReason is the reason, or a part of it, of a run whose process received a signal.
// Its claim is free.
const StoppedReason = "interrupted by a signal"

// DiedReason is the reason of a run that was closed on behalf of a dead process.
const DiedReason = "the process ended without closing the run"

// Ledger gives access to the ledger in one schema.
type Ledger struct {
	// Log receives errors that do not fail the caller; nil discards them.
	Log *slog.Logger

	schema    string // quoted
	name      string
	retention time.Duration
	verified  atomic.Bool // Trusted found the schema and no objection

	process             string       // this one, in the table of processes
	signs, acknowledged atomic.Int64 // of life: how many were given, and the last that is known to be committed
	reading             atomic.Int32 // which of readings the role may read
	forgetting          atomic.Value // the id of the last run that has deleted old ones
	withoutRoots        atomic.Bool  // the ledger is older than holds by row
	emitted             atomic.Bool  // there may be events of this process without an id
}

// New returns the ledger in a schema, given by its exact name. Closed runs are kept for
// the retention; 0 keeps them forever.
func New(schema string, retention time.Duration) *Ledger {
	return &Ledger{schema: pgx.Identifier{schema}.Sanitize(), name: schema, retention: retention, process: uuid.NewString()}
}

// Schema returns the exact name of the ledger's schema.
func (l *Ledger) Schema() string { return l.name }

// OpenRun records the start of a policy's run. base is the start by the database's
// clock. It also closes runs of dead processes.
func (l *Ledger) OpenRun(ctx context.Context, db *pgxpool.Pool, runID, policy, trigger, base string) error {
	if err := l.CloseDead(ctx, db, policy); err != nil {
		return err
	}
	return l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		// Repeating the call after a lost connection changes nothing.
		return l.insertRun(ctx, tx, runID, policy, trigger, base)
	})
}

// insertRun opens a run, or sets the start of one that a claim has already opened.
func (l *Ledger) insertRun(ctx context.Context, tx pgx.Tx, runID, policy, trigger, base string) error {
	_, err := tx.Exec(ctx, `WITH begun AS (INSERT INTO `+l.schema+`.event (kind, policy, run_id, data)
			SELECT $7::text, $2::text, $1::uuid, jsonb_build_object('trigger', $3::text)
			 WHERE NOT EXISTS (SELECT FROM `+l.schema+`.run WHERE run_id = $1::uuid AND policy = $2))
		INSERT INTO `+l.schema+`.run AS r (run_id, policy, trigger, cutoff_base, lease_until, version)
		VALUES ($1::uuid, $2, $3, $4::timestamptz, clock_timestamp() + $5::interval, $6::int)
		ON CONFLICT (run_id, policy) DO UPDATE SET cutoff_base = excluded.cutoff_base, lease_until = excluded.lease_until WHERE r.status = 'running'
		RETURNING `+waitForSync,
		runID, policy, trigger, base, leaseDuration.String(), latestVersion, RunBegun)
	l.emitted.Store(true)
	return err
}

// CloseDead closes the runs of these policies whose lease has expired.
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
			return l.finish(ctx, tx, r.RunID, r.Policy, "failed", DiedReason, 0, false)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Cutoffs returns the quoted name of the table of cutoffs: run_id, policy, rank, tenant,
// cutoff.
func (l *Ledger) Cutoffs() string { return l.schema + ".cutoff" }

// FixCutoffs stores the cutoffs of a policy's run until it is closed, replacing any
// stored before, and returns their number. The source yields the tenant's key and the
// cutoff as text; tenants are ranked from 1 in its order.
func (l *Ledger) FixCutoffs(ctx context.Context, db *pgxpool.Pool, runID, policy string, tenants pgx.CopyFromSource) (n int64, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', '10min', true)`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, l.dropCutoffs(), runID, policy); err != nil {
			return err
		}
		n, err = tx.CopyFrom(ctx, pgx.Identifier{l.name, "cutoff"}, []string{"run_id", "policy", "rank", "tenant", "cutoff"},
			&rankedTenants{CopyFromSource: tenants, runID: runID, policy: policy})
		return err
	})
	return n, err
}

// rankedTenants adds the run, the policy and a rank to each tenant and cutoff.
type rankedTenants struct {
	pgx.CopyFromSource
	runID, policy string
	rank          int64
}

// Values implements pgx.CopyFromSource.
func (r *rankedTenants) Values() ([]any, error) {
	v, err := r.CopyFromSource.Values()
	if err != nil {
		return nil, err
	}
	r.rank++
	return append([]any{r.runID, r.policy, r.rank}, v...), nil
}

// dropCutoffs returns the DELETE of the cutoffs of a policy's run.
func (l *Ledger) dropCutoffs() string {
	return `DELETE FROM ` + l.Cutoffs() + ` WHERE run_id = $1::uuid AND policy = $2`
}

// RecordBatch queues the row that records what a batch deleted and nullified, by tenant and
// table. It is part of the batch's own transaction.
func (l *Ledger) RecordBatch(in *pgx.Batch, runID, policy string, seq int64, tenants []*string, deleted, nullified []map[string]int64) error {
	if len(tenants) > 1 {
		l.recordMany(in, runID, policy, seq, tenants, deleted, nullified)
		return nil
	}
	rows, err := countsJSON(deleted[0])
	if err != nil {
		return err
	}
	emptied, err := countsJSON(nullified[0])
	if err != nil {
		return err
	}
	in.Queue(`INSERT INTO `+l.schema+`.batch (run_id, policy, seq, tenant, rows, nullified)
		VALUES ($1::pg_catalog.uuid, $2::pg_catalog.text, $3::pg_catalog.int8, $4::pg_catalog.text, $5::pg_catalog.jsonb, $6::pg_catalog.jsonb)`, runID, policy, seq, tenants[0], rows, emptied)
	return nil
}

// recordMany queues the row of a batch of many tenants.
func (l *Ledger) recordMany(in *pgx.Batch, runID, policy string, seq int64, tenants []*string, deleted, nullified []map[string]int64) {
	names := map[string]bool{}
	for _, counts := range slices.Concat(deleted, nullified) {
		for table := range counts {
			names[table] = true
		}
	}
	tables := slices.Sorted(maps.Keys(names))
	var gone, emptied []int64
	for i := range tenants {
		for _, table := range tables {
			gone, emptied = append(gone, deleted[i][table]), append(emptied, nullified[i][table])
		}
	}
	in.Queue(`INSERT INTO `+l.schema+`.batch (run_id, policy, seq, rows, nullified, tables, tenants, deleted, emptied)
		VALUES ($1::pg_catalog.uuid, $2::pg_catalog.text, $3::pg_catalog.int8, '{}', '{}', $4::pg_catalog.text[], $5::pg_catalog.text[], $6::pg_catalog.int8[], $7::pg_catalog.int8[])`,
		runID, policy, seq, tables, tenants, gone, emptied)
}

// countsJSON encodes counts as JSON; nil becomes an empty object, not null.
func countsJSON(counts map[string]int64) (string, error) {
	if counts == nil {
		return "{}", nil
	}
	b, err := json.Marshal(counts)
	return string(b), err
}

// BatchCommitted reports whether a batch's row exists.
func (l *Ledger) BatchCommitted(ctx context.Context, tx pgx.Tx, runID, policy string, seq int64) (bool, error) {
	var there bool
	err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+l.schema+`.batch WHERE run_id OPERATOR(pg_catalog.=) $1::pg_catalog.uuid
		AND policy OPERATOR(pg_catalog.=) $2::pg_catalog.text AND seq OPERATOR(pg_catalog.=) $3::pg_catalog.int8)`,
		runID, policy, seq).Scan(&there)
	return there, err
}

// KeepAlive renews the lease of a run's open rows, is a sign of life of this process, and gives ids
// to the events that it has emitted. When it returns, everything committed before is on disk,
// whatever synchronous_commit says.
func (l *Ledger) KeepAlive(ctx context.Context, db *pgxpool.Pool, runID string) error {
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE `+l.schema+`.run SET lease_until = clock_timestamp() + $2::interval WHERE run_id = $1::uuid AND status = 'running'`,
			runID, leaseDuration.String())
		return err
	})
	if err == nil {
		_, err = l.Alive(ctx, db)
	}
	if err == nil {
		l.NumberEmitted(ctx, db)
	}
	return err
}

// DoneTenants counts the tenants from which a run deleted something, without those in
// except; "null" stands for a policy without tenants.
func (l *Ledger) DoneTenants(ctx context.Context, db *pgxpool.Pool, runID, policy string, except []string) (int64, error) {
	var n int64
	err := l.on(db).QueryRow(ctx, `SELECT count(*) FROM (
		SELECT tenant FROM `+l.schema+`.deletion WHERE run_id = $1::uuid AND policy = $2
		UNION SELECT t FROM `+l.schema+`.batch, unnest(coalesce(tenants, ARRAY[tenant])) t WHERE run_id = $1::uuid AND policy = $2
	) t WHERE coalesce(tenant, 'null') <> ALL (coalesce($3::text[], '{}'))`, runID, policy, except).Scan(&n)
	return n, err
}

// forceSyncCommit makes the transaction's commit wait for the disk; waitForSync is the expression
// that does so inside another statement.
const (
	forceSyncCommit = `SELECT ` + waitForSync
	waitForSync     = `set_config('synchronous_commit', replace(current_setting('synchronous_commit'), 'off', 'on'), true)`
)

// Totals returns the rows that a policy's run deleted, by table, the rows it nullified,
// and its batches.
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

// Written sums what the policy's latest runs deleted and wrote: rows over all tables, and
// bytes of WAL. Both are 0 without a ledger.
func (l *Ledger) Written(ctx context.Context, db *pgxpool.Pool, policy string) (rows, wal int64, err error) {
	err = l.on(db).QueryRow(ctx, `SELECT coalesce(sum(rows_total), 0)::bigint, coalesce(sum(wal_bytes), 0)::bigint FROM (
		SELECT rows_total, wal_bytes FROM `+l.schema+`.run
		 WHERE policy = $1 AND status <> 'running' AND rows_total > 0 AND wal_bytes > 0 ORDER BY started_at DESC LIMIT 5) r`, policy).Scan(&rows, &wal)
	if isMissing(err) {
		return 0, 0, nil
	}
	return rows, wal, err
}

// CloseRun records how a policy's run ended, once and durably, whatever
// synchronous_commit says. ours is false if another process took this one for dead and
// closed the run. Afterwards it deletes runs past the ledger's retention, once for all policies of
// a run; a failure of that is logged as a warning.
func (l *Ledger) CloseRun(ctx context.Context, db *pgxpool.Pool, runID, policy, status, reason string, walBytes int64, success bool) (ours bool, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if err := l.finish(ctx, tx, runID, policy, status, reason, walBytes, success); err != nil {
			return err
		}
		// A call repeated after a lost connection finds its own result.
		return tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+l.schema+`.run WHERE run_id = $1::uuid AND policy = $2 AND status = $3 AND reason = $4)`,
			runID, policy, status, reason).Scan(&ours)
	})
	if err == nil && l.forgetting.Swap(runID) != runID {
		l.forgetRuns(ctx, db, runID)
	}
	return ours, err
}

// finish folds the batches of a run into sums and closes it.
func (l *Ledger) finish(ctx context.Context, tx pgx.Tx, runID, policy, status, reason string, walBytes int64, success bool) error {
	var batches int64
	var waiting string
	err := tx.QueryRow(ctx, `WITH closed AS (UPDATE `+l.schema+`.run r
		   SET status = $3, reason = $4, wal_bytes = $5::bigint, success = $6::bool, finished_at = clock_timestamp(), rows_total = v.rows_total, batches = v.batches
		  FROM `+l.schema+`.runs v
		 WHERE r.run_id = $1::uuid AND r.policy = $2 AND r.status = 'running' AND v.run_id = r.run_id AND v.policy = r.policy
		RETURNING r.batches, r.rows_total),
		told AS (INSERT INTO `+l.schema+`.event (kind, policy, run_id, data)
			SELECT $7::text, $2::text, $1::uuid, jsonb_build_object('status', $3::text, 'rows_total', rows_total, 'batches', batches) FROM closed),
		throttled AS (`+l.endAdvice()+`),
		settled AS (`+l.dropCutoffs()+` AND EXISTS (SELECT FROM closed))
		SELECT batches, `+waitForSync+` FROM closed`,
		runID, policy, status, reason, walBytes, success, RunEnded).Scan(&batches, &waiting)
	l.emitted.Store(true)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil // already closed
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
	// RowsNullified is set for a run in progress; Totals has it for finished ones.
	RowsNullified int64 `json:"rows_nullified"`
	Batches       int64 `json:"batches"`
	WALBytes      int64 `json:"wal_bytes"`
}

// isMissing reports whether an error means that the ledger does not exist.
func isMissing(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000")
}
