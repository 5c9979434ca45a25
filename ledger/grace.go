package ledger

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Retentions is the quoted name of the table of the retentions that runs have seen.
func (l *Ledger) Retentions() string { return l.schema + ".grace" }

// RecordedRetentions reads what is recorded of the retentions that a policy's runs have seen: its
// version (0: nothing), the digest of all tenants (nil: not known), and whether some of it no longer
// counts for a run that starts at base, a timestamptz as text.
func (l *Ledger) RecordedRetentions(ctx context.Context, db *pgxpool.Pool, policy, base string) (version int64, digest *int64, ended bool, err error) {
	err = l.on(db).QueryRow(ctx, `SELECT version, digest, next_end <= $2::timestamptz FROM `+l.schema+`.grace_policy WHERE policy = $1`, policy, base).
		Scan(&version, &digest, &ended)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil, false, nil
	}
	return version, digest, ended, err
}

// seenAtOnce is how many tenants one statement records.
const seenAtOnce = 10_000

// RecordRetentions records what a run that starts at base has seen of a policy's tenants: those of
// which something else was recorded (the key; the retention as the text of an interval, or nil if
// nothing of the tenant may go). A retention that is no longer in force counts for the grace (the text
// of an interval) from base on; a tenant of which nothing was recorded counts as kept forever until
// then, but in a policy's first run. digest is called after the last tenant, for that of all of them;
// nil: the run has seen only some. ours is false if the version of what is recorded is no longer that
// which the run has read: then it records nothing, and reads the tenants again.
func (l *Ledger) RecordRetentions(ctx context.Context, db *pgxpool.Pool, policy string, version int64, base, grace string, digest func() *int64, tenants pgx.CopyFromSource) (ours bool, err error) {
	errTheirs := errors.New("another run has recorded retentions")
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT set_config('statement_timeout', '10min', true)`); err != nil {
			return err
		}
		// The row serializes those who record.
		sql := `UPDATE ` + l.schema + `.grace_policy SET version = version + 1 WHERE policy = $1 AND version = $2::bigint`
		if version == 0 {
			sql = `INSERT INTO ` + l.schema + `.grace_policy (policy, version, next_end) VALUES ($1, $2::bigint + 1, 'infinity') ON CONFLICT DO NOTHING`
		}
		tag, err := tx.Exec(ctx, sql, policy, version)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return errTheirs
		}
		if _, err := tx.Exec(ctx, `DELETE FROM `+l.Retentions()+` WHERE policy = $1 AND ends_at <= $2::timestamptz`, policy, base); err != nil {
			return err
		}
		if err := l.recordSeen(ctx, tx, policy, base, grace, version == 0, tenants); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `UPDATE `+l.schema+`.grace_policy SET digest = $2::bigint, next_end = coalesce((SELECT min(ends_at) FROM `+l.Retentions()+` WHERE policy = $1), 'infinity') WHERE policy = $1`,
			policy, digest())
		return err
	})
	switch {
	case errors.Is(err, errTheirs):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("recording the retentions of policy %s: %w", policy, err)
	}
	return true, nil
}

// recordSeen records all tenants that a source yields.
func (l *Ledger) recordSeen(ctx context.Context, tx pgx.Tx, policy, base, grace string, first bool, tenants pgx.CopyFromSource) error {
	var keys []string
	var had []*string
	record := func() error {
		_, err := tx.Exec(ctx, l.recordSQL(), policy, keys, had, base, grace, first)
		keys, had = nil, nil
		return err
	}
	for tenants.Next() {
		v, err := tenants.Values()
		if err != nil {
			return err
		}
		keys, had = append(keys, v[0].(string)), append(had, nil)
		if retention, some := v[1].(string); some {
			had[len(had)-1] = &retention
		}
		if len(keys) == seenAtOnce {
			if err := record(); err != nil {
				return err
			}
		}
	}
	if err := tenants.Err(); err != nil || len(keys) == 0 {
		return err
	}
	return record()
}

// recordSQL records what was seen of tenants. Of one that has no retention now, nothing stays
// recorded, which means that it was kept forever.
func (l *Ledger) recordSQL() string {
	table := l.Retentions()
	return `WITH seen AS MATERIALIZED (SELECT DISTINCT tenant COLLATE "C" AS tenant, had::interval AS had, had AS spelled FROM unnest($2::text[], $3::text[]) s(tenant, had)),
	gone AS (DELETE FROM ` + table + ` g USING seen s WHERE g.policy = $1 AND g.tenant = s.tenant AND s.had IS NULL),
	ended AS (UPDATE ` + table + ` g SET ends_at = $4::timestamptz + $5::text::interval FROM seen s
		WHERE g.policy = $1 AND g.tenant = s.tenant AND s.had IS NOT NULL AND g.ends_at = 'infinity' AND g.had::text <> s.spelled)
	INSERT INTO ` + table + ` (policy, tenant, had, ends_at)
	SELECT $1, s.tenant, s.had, 'infinity' FROM seen s
	 WHERE s.had IS NOT NULL AND NOT EXISTS (SELECT FROM ` + table + ` g WHERE g.policy = $1 AND g.tenant = s.tenant AND g.ends_at = 'infinity' AND g.had::text = s.spelled)
	UNION ALL
	SELECT $1, s.tenant, NULL, $4::timestamptz + $5::text::interval FROM seen s
	 WHERE s.had IS NOT NULL AND NOT $6::bool AND NOT EXISTS (SELECT FROM ` + table + ` g WHERE g.policy = $1 AND g.tenant = s.tenant)`
}
