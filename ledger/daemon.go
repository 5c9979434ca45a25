package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// claimGrace is how long a claimed tick waits for its run to be opened.
const claimGrace = 30 * time.Second

// keptTicks is for how long before the newest one ticks are kept.
const keptTicks = 7 * 24 * time.Hour

// Claim claims a policy's tick for a run that is to be opened at once; false:
// another has it. A claim is taken over when its run has died, was ended by a
// signal, or was never opened.
func (l *Ledger) Claim(ctx context.Context, db *pgxpool.Pool, policy string, at time.Time, runID, instance string) (won bool, err error) {
	err = inTx(ctx, db, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.tick AS t (policy, at, run_id, instance) VALUES ($1, $2::timestamptz, $3::uuid, $4)
			ON CONFLICT (policy, at) DO UPDATE SET run_id = excluded.run_id, instance = excluded.instance, claimed_at = clock_timestamp()
			 WHERE coalesce(
			   (SELECT CASE r.status WHEN 'running' THEN r.lease_until < clock_timestamp() ELSE r.reason LIKE ANY ($6::text[]) END
			      FROM `+l.schema+`.run r WHERE r.run_id = t.run_id AND r.policy = t.policy),
			   t.claimed_at < clock_timestamp() - $5::interval)`,
			policy, at, runID, instance, claimGrace.String(), []string{"%" + diedReason, "%" + stoppedReason})
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		won = true
		_, err = tx.Exec(ctx, `DELETE FROM `+l.schema+`.tick WHERE policy = $1 AND at < $2::timestamptz - $3::interval`, policy, at, keptTicks.String())
		return err
	})
	if err != nil {
		return false, fmt.Errorf("claiming a tick: %w", err)
	}
	return won, nil
}

// LastTick is the newest tick of a policy that was ever claimed; the zero time:
// none was.
func (l *Ledger) LastTick(ctx context.Context, db *pgxpool.Pool, policy string) (time.Time, error) {
	var at *time.Time
	err := db.QueryRow(ctx, `SELECT max(at) FROM `+l.schema+`.tick WHERE policy = $1`, policy).Scan(&at)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the last tick: %w", err)
	}
	if at == nil {
		return time.Time{}, nil
	}
	return *at, nil
}

// Running tells whether the run that a tick was claimed for is under way. One
// that has died counts as well, until it is known to have.
func (l *Ledger) Running(ctx context.Context, db *pgxpool.Pool, policy string, at time.Time) (bool, error) {
	var running bool
	err := db.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+l.schema+`.tick t JOIN `+l.schema+`.run r USING (run_id, policy)
		WHERE t.policy = $1 AND t.at = $2::timestamptz AND r.status = 'running')`, policy, at).Scan(&running)
	if err != nil {
		return false, fmt.Errorf("looking for a tick's run: %w", err)
	}
	return running, nil
}

// Lease takes or renews a lease for a time, and gives its holder.
func (l *Ledger) Lease(ctx context.Context, db *pgxpool.Pool, name, instance string, length time.Duration) (holder string, err error) {
	err = inTx(ctx, db, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.lease AS l (name, instance, lease_until) VALUES ($1, $2, clock_timestamp() + $3::interval)
			ON CONFLICT (name) DO UPDATE SET instance = excluded.instance, lease_until = excluded.lease_until
			 WHERE l.instance = excluded.instance OR l.lease_until < clock_timestamp()`, name, instance, length.String())
		if err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT instance FROM `+l.schema+`.lease WHERE name = $1`, name).Scan(&holder)
	})
	if err != nil {
		return "", fmt.Errorf("renewing the lease %s: %w", name, err)
	}
	return holder, nil
}

// Holder is the instance that has a lease now; empty: none.
func (l *Ledger) Holder(ctx context.Context, db *pgxpool.Pool, name string) (string, error) {
	var holder string
	err := db.QueryRow(ctx, `SELECT coalesce((SELECT instance FROM `+l.schema+`.lease WHERE name = $1 AND lease_until > clock_timestamp()), '')`, name).Scan(&holder)
	if err != nil {
		return "", fmt.Errorf("reading the lease %s: %w", name, err)
	}
	return holder, nil
}

// Release gives a lease back, if this instance has it.
func (l *Ledger) Release(ctx context.Context, db *pgxpool.Pool, name, instance string) error {
	if _, err := db.Exec(ctx, `DELETE FROM `+l.schema+`.lease WHERE name = $1 AND instance = $2`, name, instance); err != nil {
		return fmt.Errorf("releasing the lease %s: %w", name, err)
	}
	return nil
}

// Scan is what a look at a policy's table found.
type Scan struct {
	At      time.Time
	Lag     float64    // seconds; 0: nothing is due
	Oldest  *time.Time // age of the oldest expired row; nil: nothing is due
	Tenants int64      // that have something due
	Rows    *int64     // that are due; nil: counting took too long
	Worst   []Overdue  // tenants, the most overdue first
}

// Overdue is a tenant with something due; a nil Key: the policy has no tenants.
type Overdue struct {
	Key *string `json:"key"`
	Lag float64 `json:"lag_seconds"`
}

// SaveScan keeps what a look found in place of the one before.
func (l *Ledger) SaveScan(ctx context.Context, db *pgxpool.Pool, policy string, s Scan) error {
	if s.Worst == nil {
		s.Worst = []Overdue{}
	}
	worst, err := json.Marshal(s.Worst)
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, `INSERT INTO `+l.schema+`.scan (policy, scanned_at, lag_seconds, oldest, tenants, rows, worst)
		VALUES ($1, $2::timestamptz, $3::float8, $4::timestamptz, $5::bigint, $6::bigint, $7::jsonb)
		ON CONFLICT (policy) DO UPDATE SET scanned_at = excluded.scanned_at, lag_seconds = excluded.lag_seconds, oldest = excluded.oldest,
			tenants = excluded.tenants, rows = excluded.rows, worst = excluded.worst`,
		policy, s.At, s.Lag, s.Oldest, s.Tenants, s.Rows, string(worst))
	if err != nil {
		return fmt.Errorf("keeping a scan: %w", err)
	}
	return nil
}

// LastScan is what the last look at a policy's table found; nil: there was none.
func (l *Ledger) LastScan(ctx context.Context, db *pgxpool.Pool, policy string) (*Scan, error) {
	var s Scan
	var worst string
	err := db.QueryRow(ctx, `SELECT scanned_at, lag_seconds, oldest, tenants, rows, worst::text FROM `+l.schema+`.scan WHERE policy = $1`, policy).
		Scan(&s.At, &s.Lag, &s.Oldest, &s.Tenants, &s.Rows, &worst)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(worst), &s.Worst)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the last scan: %w", err)
	}
	return &s, nil
}

// Ended is a run that has ended, with what it deleted by table.
type Ended struct {
	LastRun
	Nullified int64
	Rows      map[string]int64
}

// Runs gives the newest ended runs of a policy, newest first.
func (l *Ledger) Runs(ctx context.Context, db *pgxpool.Pool, policy string, limit int) ([]Ended, error) {
	rows, err := db.Query(ctx, `SELECT r.run_id::text, r.trigger, r.status, r.reason, r.started_at, r.finished_at, r.rows_total, r.batches, r.wal_bytes,
		coalesce(d.nullified, 0)::bigint, coalesce(d.rows, '{}')::text
		FROM (SELECT * FROM `+l.schema+`.run WHERE policy = $1 AND status <> 'running' ORDER BY started_at DESC LIMIT $2::int) r
		LEFT JOIN LATERAL (SELECT sum(x.nullified) AS nullified, jsonb_object_agg(x.table_name, x.rows) AS rows
			FROM (SELECT table_name, sum(rows) AS rows, sum(rows_nullified) AS nullified FROM `+l.schema+`.deletion d
				WHERE d.run_id = r.run_id AND d.policy = r.policy GROUP BY table_name) x) d ON true
		ORDER BY r.started_at DESC`, policy, limit)
	if err != nil {
		return nil, fmt.Errorf("reading the last runs: %w", err)
	}
	ended, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e Ended, err error) {
		var counts string
		if err := row.Scan(&e.RunID, &e.Trigger, &e.Status, &e.Reason, &e.StartedAt, &e.FinishedAt, &e.RowsTotal, &e.Batches, &e.WALBytes, &e.Nullified, &counts); err != nil {
			return e, err
		}
		return e, json.Unmarshal([]byte(counts), &e.Rows)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the last runs: %w", err)
	}
	return ended, nil
}
