package ledger

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Baseline is what the ledger knows of how a policy was, for a gate.
type Baseline struct {
	Print  []byte // JSON of the print that the next run is compared with; nil: there is none
	Digest string // of that print
	// Others are other policies that have one for the same root table, and came before this one.
	Others []string
	// Approved are the gates that a person has opened for the print that is asked about.
	Approved []string
}

// Baseline reads what a policy's print is compared with: root is schema.table, digest that of the
// print of now. All is empty where the ledger does not exist yet, or is older than gates are.
func (l *Ledger) Baseline(ctx context.Context, db *pgxpool.Pool, policy, root, digest string) (b Baseline, err error) {
	err = l.on(db).QueryRow(ctx, `SELECT p.body::text, coalesce(p.digest, ''),
		array(SELECT o.policy FROM `+l.schema+`.baseline o WHERE o.root = $2 AND o.policy <> $1 AND $1 <> ALL (o.siblings) ORDER BY 1),
		array(SELECT DISTINCT g FROM `+l.schema+`.approval a, unnest(a.gates) g WHERE a.policy = $1 AND a.print = $3 AND a.ends_at > now() ORDER BY 1)
		FROM (SELECT 1) AS one LEFT JOIN (`+l.schema+`.baseline b JOIN `+l.schema+`.print p ON p.digest = b.print) ON b.policy = $1`,
		policy, root, digest).Scan(&b.Print, &b.Digest, &b.Others, &b.Approved)
	if err != nil && !isMissing(err) {
		return b, fmt.Errorf("reading what the policy was: %w", err)
	}
	return b, nil
}

// KeepPrint records the print of a policy's run, as JSON and by its digest. With accept, the next
// run is compared with it. siblings are the policies of the same file.
func (l *Ledger) KeepPrint(ctx context.Context, db *pgxpool.Pool, runID, policy, root, digest string, body []byte, siblings []string, accept bool) error {
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `WITH kept AS (INSERT INTO `+l.schema+`.print (digest, body) VALUES ($4, $5::text::jsonb) ON CONFLICT DO NOTHING),
	accepted AS (INSERT INTO `+l.schema+`.baseline AS b (policy, root, print, run_id, siblings) SELECT $2, $3, $4, $1::uuid, $7::text[] WHERE $6::bool
		ON CONFLICT (policy) DO UPDATE SET root = excluded.root, print = excluded.print, run_id = excluded.run_id, siblings = excluded.siblings, set_at = now() WHERE b.print <> excluded.print)
	UPDATE `+l.schema+`.run SET print = $4 WHERE run_id = $1::uuid AND policy = $2 AND print IS DISTINCT FROM $4`,
			runID, policy, root, digest, string(body), accept, siblings)
		return err
	})
	if err != nil {
		return fmt.Errorf("recording the print of policy %s: %w", policy, err)
	}
	return nil
}

// Pace is how fast rows of a policy became due between its complete runs.
type Pace struct {
	Known bool // the policy has run before, however that ended
	// Runs is how many of the last ten complete runs tell the pace, of those since whose
	// predecessor anything was deleted, by whichever run: the median of roots an hour.
	Runs    int
	PerHour float64
	Hours   float64 // from the last complete run to the start of this one
	// Approved is how many roots may be due by what a person has approved for the print, until a
	// run has been complete since.
	Approved int64
}

// Pace reads it for a run that starts at base, a timestamptz as text.
func (l *Ledger) Pace(ctx context.Context, db *pgxpool.Pool, policy, digest, base string) (p Pace, err error) {
	err = l.on(db).QueryRow(ctx, `WITH recent AS MATERIALIZED (SELECT roots, cutoff_base AS at, success AND trigger <> 'assist' AS done FROM `+l.schema+`.run WHERE policy = $1 AND status <> 'running' ORDER BY started_at DESC LIMIT 500),
		done AS (SELECT r.at, lag(r.at) OVER (ORDER BY r.at) AS before FROM recent r WHERE r.done),
		rates AS (SELECT x.roots / (extract(epoch FROM d.at - d.before) / 3600) AS rate
		  FROM done d CROSS JOIN LATERAL (SELECT sum(r.roots) AS roots FROM recent r WHERE r.at > d.before AND r.at <= d.at) x WHERE x.roots > 0 AND d.before < d.at ORDER BY d.at DESC LIMIT 10)
		SELECT EXISTS (SELECT FROM `+l.schema+`.run WHERE policy = $1 AND status NOT IN ('running', 'refused')),
		       (SELECT count(*) FROM rates), coalesce((SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY rate) FROM rates), 0)::float8,
		       coalesce(extract(epoch FROM $3::timestamptz - (SELECT max(at) FROM done)) / 3600, 0)::float8,
		       coalesce((SELECT max(a.most_roots) FROM `+l.schema+`.approval a WHERE a.policy = $1 AND a.print = $2
		          AND (a.ends_at > now() OR EXISTS (SELECT FROM `+l.schema+`.run r WHERE r.policy = $1 AND r.status <> 'refused' AND r.started_at BETWEEN a.created_at AND a.ends_at))
		          AND NOT EXISTS (SELECT FROM `+l.schema+`.run r WHERE r.policy = $1 AND r.success AND r.started_at > a.created_at)), 0)`,
		policy, digest, base).Scan(&p.Known, &p.Runs, &p.PerHour, &p.Hours, &p.Approved)
	if err != nil && !isMissing(err) {
		return p, fmt.Errorf("reading how fast rows became due: %w", err)
	}
	return p, nil
}

// KeepRoots records how many roots a run deleted.
func (l *Ledger) KeepRoots(ctx context.Context, db *pgxpool.Pool, runID, policy string, roots int64) error {
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE `+l.schema+`.run SET roots = $3 WHERE run_id = $1::uuid AND policy = $2`, runID, policy, roots)
		return err
	})
	if err != nil {
		return fmt.Errorf("recording how many rows were due: %w", err)
	}
	return nil
}

// Approve records that a person lets a policy's print, and at most so many roots due, pass gates for
// a length of time (text of an interval). If by is empty, the database user and the application name
// are recorded.
func (l *Ledger) Approve(ctx context.Context, db *pgxpool.Pool, policy, digest string, mostRoots int64, gates []string, length, reason, by string) error {
	return l.approve(ctx, db, &policy, digest, mostRoots, gates, length, reason, by)
}

// approve records what a person approves of a policy; nil: of the database.
func (l *Ledger) approve(ctx context.Context, db *pgxpool.Pool, policy *string, digest string, mostRoots int64, gates []string, length, reason, by string) error {
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.approval (policy, gates, print, most_roots, reason, who, ends_at)
			VALUES ($1, $2::text[], $3, $7, $4, `+person(`$5`)+`, now() + $6::interval)`,
			policy, gates, digest, reason, by, length, mostRoots)
		return err
	})
	if err != nil {
		return fmt.Errorf("approving: %w", err)
	}
	l.forgetApprovals(ctx, db)
	return nil
}

// ApprovedRoots is how many roots may be due by what a person has approved for a policy's print, and
// has not expired.
func (l *Ledger) ApprovedRoots(ctx context.Context, db *pgxpool.Pool, policy, digest string) (n int64, err error) {
	err = l.on(db).QueryRow(ctx, `SELECT coalesce(max(most_roots), 0) FROM `+l.schema+`.approval WHERE policy = $1 AND print = $2 AND ends_at > now()`, policy, digest).Scan(&n)
	if err != nil && !isMissing(err) {
		return 0, fmt.Errorf("reading approvals: %w", err)
	}
	return n, nil
}
