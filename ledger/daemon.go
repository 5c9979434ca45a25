package ledger

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// tickRetention is how long ticks are kept, counted back from the newest one.
const tickRetention = 7 * 24 * time.Hour

// presence is how long a process that has claimed a tick counts as alive after its last
// renewal. Its run's own lease is much longer.
const presence = 8 * time.Second

// PresenceEvery is how often a process with claims renews its presence.
const PresenceEvery = 2 * time.Second

// ErrFuture is returned for a tick that is still ahead by the database's clock.
var ErrFuture = errors.New("this time is still ahead by the database's clock: correct the clock of this machine")

// Claim claims a policy's tick and opens the run for it. It returns false if another
// process holds the claim, unless that process or its run has died, or the run was ended by a
// signal: then it takes over. It returns ErrFuture if the tick is more than an hour ahead.
func (l *Ledger) Claim(ctx context.Context, db *pgxpool.Pool, policy string, at time.Time, runID, trigger, instance string) (won bool, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		var now string
		var future bool
		if err := tx.QueryRow(ctx, `SELECT clock_timestamp()::text, $1::timestamptz > clock_timestamp() + interval '1 hour'`, at).Scan(&now, &future); err != nil {
			return err
		}
		if future {
			return ErrFuture
		}
		tag, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.tick (policy, at, run_id, instance, version) VALUES ($1, $2::timestamptz, $3::uuid, $4, $5::int) ON CONFLICT DO NOTHING`,
			policy, at, runID, instance, latestVersion)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			if taken, err := l.takeOver(ctx, tx, policy, at, runID, instance); err != nil || !taken {
				return err
			}
		}
		if err := l.insertRun(ctx, tx, runID, policy, trigger, now); err != nil {
			return err
		}
		if err := l.present(ctx, tx, instance); err != nil {
			return err
		}
		won = true
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("claiming a tick: %w", err)
	}
	if won {
		l.forgetTicks(ctx, db, policy, at)
	}
	return won, nil
}

// TakeOver has a run that is under way beside a tick's own take its place, if that one
// has died or was ended by a signal: the claim and the trigger are its own from then on.
func (l *Ledger) TakeOver(ctx context.Context, db *pgxpool.Pool, policy string, at time.Time, runID, trigger, instance string) (won bool, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE `+l.schema+`.run SET trigger = $3 WHERE run_id = $1::uuid AND policy = $2 AND status = 'running'`, runID, policy, trigger)
		if err != nil || tag.RowsAffected() == 0 {
			return err
		}
		if won, err = l.takeOver(ctx, tx, policy, at, runID, instance); err != nil {
			return err
		}
		if !won {
			return errNotTaken // the trigger stays as it was
		}
		return l.present(ctx, tx, instance)
	})
	if errors.Is(err, errNotTaken) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("taking over a tick: %w", err)
	}
	return won, nil
}

var errNotTaken = errors.New("the tick is another's")

// executor is a pool or a transaction.
type executor interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

// present is the sign of life of a process that has claimed ticks.
func (l *Ledger) present(ctx context.Context, db executor, instance string) error {
	_, err := db.Exec(ctx, `INSERT INTO `+l.schema+`.lease (name, instance, lease_until) VALUES ($1, $2, clock_timestamp() + $3::interval)
		ON CONFLICT (name) DO UPDATE SET lease_until = excluded.lease_until`, processLease+instance, instance, presence.String())
	return err
}

// processLease begins the names of the leases that are signs of life of processes.
const processLease = "process "

// Present says that a process which has claimed ticks is there. Without it, others take
// its claims over a few seconds later.
func (l *Ledger) Present(ctx context.Context, db *pgxpool.Pool, instance string) error {
	if err := l.present(ctx, l.on(db), instance); err != nil {
		return fmt.Errorf("saying that this process is there: %w", err)
	}
	return nil
}

// Leave ends the signs of life of a process that has no claims any more.
func (l *Ledger) Leave(ctx context.Context, db *pgxpool.Pool, instance string) error {
	return l.Release(ctx, db, processLease+instance, instance)
}

// takeOver reassigns a tick whose run or process has died, or whose run was ended by a
// signal. A process that never reported its presence is judged by its run alone. The first
// statement waits for concurrent claims. The second then sees the run they opened, which
// a subquery of the first would not
func (l *Ledger) takeOver(ctx context.Context, tx pgx.Tx, policy string, at time.Time, runID, instance string) (bool, error) {
	if _, err := tx.Exec(ctx, `SELECT FROM `+l.schema+`.tick WHERE policy = $1 AND at = $2::timestamptz FOR UPDATE`, policy, at); err != nil {
		return false, err
	}
	tag, err := tx.Exec(ctx, `UPDATE `+l.schema+`.tick t SET run_id = $3::uuid, instance = $4, claimed_at = clock_timestamp()
		 WHERE policy = $1 AND at = $2::timestamptz AND coalesce(
		   (SELECT CASE r.status WHEN 'running' THEN r.lease_until < clock_timestamp()
		          OR EXISTS (SELECT FROM `+l.schema+`.lease p WHERE p.name = $6 || t.instance AND p.lease_until < clock_timestamp()) ELSE r.reason LIKE ANY ($5::text[]) END
		      FROM `+l.schema+`.run r WHERE r.run_id = t.run_id AND r.policy = t.policy), true)`,
		policy, at, runID, instance, []string{"%" + DiedReason, "%" + StoppedReason + "%"}, processLease)
	return tag.RowsAffected() > 0, err
}

// LastTick returns the newest claimed tick of a policy, or the zero time if there is
// none. Ticks that a wrong clock claimed ahead of time do not count.
func (l *Ledger) LastTick(ctx context.Context, db *pgxpool.Pool, policy string) (time.Time, error) {
	var at *time.Time
	err := l.on(db).QueryRow(ctx, `SELECT max(at) FROM `+l.schema+`.tick WHERE policy = $1 AND at <= clock_timestamp() + interval '1 hour'`, policy).Scan(&at)
	if err != nil {
		return time.Time{}, fmt.Errorf("reading the last tick: %w", err)
	}
	if at == nil {
		return time.Time{}, nil
	}
	return *at, nil
}

// Running reports whether the run that claimed a tick is in progress. A dead run counts
// until its lease expires and it is closed.
func (l *Ledger) Running(ctx context.Context, db *pgxpool.Pool, policy string, at time.Time) (bool, error) {
	var running bool
	err := l.on(db).QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+l.schema+`.tick t JOIN `+l.schema+`.run r USING (run_id, policy)
		WHERE t.policy = $1 AND t.at = $2::timestamptz AND r.status = 'running')`, policy, at).Scan(&running)
	if err != nil {
		return false, fmt.Errorf("looking for a tick's run: %w", err)
	}
	return running, nil
}

// Lease takes or renews a lease for a duration and returns its holder.
func (l *Ledger) Lease(ctx context.Context, db *pgxpool.Pool, name, instance string, length time.Duration) (holder string, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
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

// Holder returns the instance that holds a lease now, or "" if none does.
func (l *Ledger) Holder(ctx context.Context, db *pgxpool.Pool, name string) (string, error) {
	var holder string
	err := l.on(db).QueryRow(ctx, `SELECT coalesce((SELECT instance FROM `+l.schema+`.lease WHERE name = $1 AND lease_until > clock_timestamp()), '')`, name).Scan(&holder)
	if err != nil {
		return "", fmt.Errorf("reading the lease %s: %w", name, err)
	}
	return holder, nil
}

// Release gives up a lease if this instance holds it.
func (l *Ledger) Release(ctx context.Context, db *pgxpool.Pool, name, instance string) error {
	if _, err := l.on(db).Exec(ctx, `DELETE FROM `+l.schema+`.lease WHERE name = $1 AND instance = $2`, name, instance); err != nil {
		return fmt.Errorf("releasing the lease %s: %w", name, err)
	}
	return nil
}

// Scan is the result of measuring a policy's table.
type Scan struct {
	At      time.Time
	Lag     float64    // seconds; 0 if nothing is due
	Oldest  *time.Time // age of the oldest expired row; nil if nothing is due
	Tenants int64      // tenants with expired rows
	Rows    *int64     // expired rows; nil if counting took too long
	Worst   []Overdue  // most overdue tenants first
	Unowned *Unowned   // nil if not measured
}

// Unowned is how many rows of a sample reach no tenant.
type Unowned struct {
	SampledRows int64 `json:"sampled_rows"`
	Rows        int64 `json:"rows"`
	Exact       bool  `json:"exact"`
}

// Overdue is a tenant with expired rows. Key is nil if the policy has no tenants.
type Overdue struct {
	Key *string `json:"key"`
	Lag float64 `json:"lag_seconds"`
}

// SaveScan stores a scan, replacing the previous one.
func (l *Ledger) SaveScan(ctx context.Context, db *pgxpool.Pool, policy string, s Scan) error {
	if s.Worst == nil {
		s.Worst = []Overdue{}
	}
	worst, err := json.Marshal(s.Worst)
	if err != nil {
		return err
	}
	unowned, err := json.Marshal(s.Unowned)
	if err != nil {
		return err
	}
	_, err = l.on(db).Exec(ctx, `INSERT INTO `+l.schema+`.scan (policy, scanned_at, lag_seconds, oldest, tenants, rows, worst, unowned)
		VALUES ($1, $2::timestamptz, $3::float8, $4::timestamptz, $5::bigint, $6::bigint, $7::jsonb, nullif($8, 'null')::jsonb)
		ON CONFLICT (policy) DO UPDATE SET scanned_at = excluded.scanned_at, lag_seconds = excluded.lag_seconds, oldest = excluded.oldest,
			tenants = excluded.tenants, rows = excluded.rows, worst = excluded.worst, unowned = excluded.unowned`,
		policy, s.At, s.Lag, s.Oldest, s.Tenants, s.Rows, string(worst), string(unowned))
	if err != nil {
		return fmt.Errorf("saving a scan: %w", err)
	}
	return nil
}

// Scans returns the latest scans, by policy.
func (l *Ledger) Scans(ctx context.Context, db *pgxpool.Pool, policies []string) (map[string]*Scan, error) {
	rows, err := l.on(db).Query(ctx, `SELECT policy, scanned_at, lag_seconds, oldest, tenants, rows, worst::text, coalesce(unowned::text, 'null') FROM `+l.schema+`.scan WHERE policy = ANY($1::text[])`, policies)
	if err != nil {
		return nil, fmt.Errorf("reading the last scans: %w", err)
	}
	scans := map[string]*Scan{}
	var policy, worst, unowned string
	var s Scan
	_, err = pgx.ForEachRow(rows, []any{&policy, &s.At, &s.Lag, &s.Oldest, &s.Tenants, &s.Rows, &worst, &unowned}, func() error {
		found := s
		scans[policy] = &found
		return errors.Join(json.Unmarshal([]byte(worst), &found.Worst), json.Unmarshal([]byte(unowned), &found.Unowned))
	})
	if err != nil {
		return nil, fmt.Errorf("reading the last scans: %w", err)
	}
	return scans, nil
}

// History summarizes the runs of a policy.
type History struct {
	Last    *LastRun // newest run, in progress or not; nil if there is none
	Runs    []Ended  // last finished runs, latest end first
	Success *time.Time
	// Failure is the first unsuccessful run since the last success; nil if there is none.
	Failure *Ended
}

// Ended is a finished run. Success reports whether it counts as a success of the
// policy; a narrowed run never does.
type Ended struct {
	LastRun
	Success bool
}

// Histories returns the histories of policies. Runs with a trigger in aside do not
// count as failures.
func (l *Ledger) Histories(ctx context.Context, db *pgxpool.Pool, policies []string, limit int, aside ...string) (map[string]*History, error) {
	const columns = `r.policy, r.run_id::text, r.trigger, r.status, r.reason, r.started_at, r.finished_at, r.rows_total, r.batches, r.wal_bytes, `
	nullified := `CASE r.status WHEN 'running' THEN (SELECT coalesce(sum(d.rows_nullified), 0)::bigint
		FROM ` + l.schema + `.deletions d WHERE d.run_id = r.run_id AND d.policy = r.policy) ELSE 0 END`
	rows, err := l.on(db).Query(ctx, `SELECT 0, r.success, `+columns+`0 FROM unnest($1::text[]) p(policy) CROSS JOIN LATERAL (
			SELECT * FROM `+l.schema+`.run WHERE policy = p.policy AND status <> 'running' ORDER BY started_at DESC LIMIT $2::int) r
		UNION ALL SELECT 1, false, `+columns+nullified+` FROM unnest($1::text[]) p(policy) CROSS JOIN LATERAL (
			SELECT * FROM `+l.schema+`.runs WHERE policy = p.policy ORDER BY started_at DESC LIMIT 1) r
		UNION ALL SELECT 2, true, `+columns+`0 FROM unnest($1::text[]) p(policy) CROSS JOIN LATERAL (
			SELECT * FROM `+l.schema+`.run WHERE policy = p.policy AND success ORDER BY started_at DESC LIMIT 1) r
		UNION ALL SELECT 3, false, `+columns+`0 FROM unnest($1::text[]) p(policy) CROSS JOIN LATERAL (
			SELECT * FROM `+l.schema+`.run f WHERE policy = p.policy AND status <> 'running' AND NOT success AND trigger <> ALL (coalesce($3::text[], '{}'))
			   AND NOT EXISTS (SELECT FROM `+l.schema+`.run s WHERE s.policy = p.policy AND s.success AND s.started_at > f.started_at)
			 ORDER BY started_at LIMIT 1) r
		ORDER BY 1, 9 DESC`, policies, limit, aside)
	if err != nil {
		return nil, fmt.Errorf("reading the last runs: %w", err)
	}
	all := map[string]*History{}
	for _, p := range policies {
		all[p] = &History{}
	}
	var kind int
	var policy string
	var e Ended
	r := &e.LastRun
	_, err = pgx.ForEachRow(rows, []any{&kind, &e.Success, &policy, &r.RunID, &r.Trigger, &r.Status, &r.Reason, &r.StartedAt, &r.FinishedAt, &r.RowsTotal, &r.Batches, &r.WALBytes, &r.RowsNullified}, func() error {
		h, run := all[policy], e.LastRun
		switch kind {
		case 0:
			h.Runs = append(h.Runs, e)
		case 1:
			h.Last = &run
		case 2:
			h.Success = run.FinishedAt
		case 3:
			h.Failure = &Ended{LastRun: run}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the last runs: %w", err)
	}
	return all, nil
}
