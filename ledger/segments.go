package ledger

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// RecordSegment queues the row that says which object of the archive has the copy of what a batch
// deletes, and the list, as JSON, of the roots that it deletes, for the store to have too. It is part
// of the batch's own transaction, whose commit then waits for the disk, whatever synchronous_commit
// says: the store must not be told of rows that come back after a crash.
func (l *Ledger) RecordSegment(in *pgx.Batch, runID, policy string, seq int64, name string, list []byte) {
	in.Queue(`INSERT INTO `+l.schema+`.segment (name, run_id, policy, seq, list)
		VALUES ($1::pg_catalog.text, $2::pg_catalog.uuid, $3::pg_catalog.text, $4::pg_catalog.int8, $5::pg_catalog.jsonb)
		RETURNING pg_catalog.set_config('synchronous_commit', pg_catalog.replace(pg_catalog.current_setting('synchronous_commit'), 'off', 'on'), true)`,
		name, runID, policy, seq, string(list))
}

// UnlistedSegments returns lists of a policy's segments, of any run, that nobody has written into the
// store: at most so many, the oldest first. Their batches are on disk.
func (l *Ledger) UnlistedSegments(ctx context.Context, db *pgxpool.Pool, policy string, limit int) ([][]byte, error) {
	return l.unlisted(ctx, db, `policy = $1 ORDER BY at, name LIMIT $2::int`, policy, limit)
}

// UnlistedOf returns the lists, as JSON, of all policies' segments that are not known to be in the
// store: those of one run, or of all if its id is empty. There are none where the ledger does not
// exist, or is older than archives are.
func (l *Ledger) UnlistedOf(ctx context.Context, db *pgxpool.Pool, runID string) ([][]byte, error) {
	lists, err := l.unlisted(ctx, db, `($1 = '' OR run_id::text = $1) ORDER BY at, name`, runID)
	if isMissing(err) {
		return nil, nil
	}
	return lists, err
}

// Missing is how many lists of a policy's segments are not known to be in the store.
type Missing struct {
	Lists  int64
	Oldest time.Time // when the batch of the oldest deleted
}

// MissingLists returns that by policy; policies without such lists are left out.
func (l *Ledger) MissingLists(ctx context.Context, db *pgxpool.Pool) (map[string]Missing, error) {
	rows, err := l.on(db).Query(ctx, `SELECT policy, count(*), min(at) FROM `+l.schema+`.segment WHERE list IS NOT NULL GROUP BY policy`)
	if err != nil {
		return nil, err
	}
	all := map[string]Missing{}
	var policy string
	var m Missing
	_, err = pgx.ForEachRow(rows, []any{&policy, &m.Lists, &m.Oldest}, func() error {
		all[policy] = m
		return nil
	})
	return all, err
}

// KnownSegments is how many segments batches have used since a time.
func (l *Ledger) KnownSegments(ctx context.Context, db *pgxpool.Pool, since time.Time) (n int64, err error) {
	err = l.on(db).QueryRow(ctx, `SELECT count(*) FROM `+l.schema+`.segment WHERE at > $1`, since).Scan(&n)
	return n, err
}

// unlisted reads the lists that satisfy a condition, which an order and a limit may follow.
func (l *Ledger) unlisted(ctx context.Context, db *pgxpool.Pool, which string, args ...any) ([][]byte, error) {
	rows, err := l.on(db).Query(ctx, `SELECT list::text FROM `+l.schema+`.segment WHERE list IS NOT NULL AND `+which, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]byte, error) {
		var list string
		err := row.Scan(&list)
		return []byte(list), err
	})
}

// SegmentListed records that the store has the list of a segment. If a crash undoes that, the list is
// written once more.
func (l *Ledger) SegmentListed(ctx context.Context, db *pgxpool.Pool, name string) error {
	return l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `WITH s AS (SELECT set_config('synchronous_commit', 'off', true)) UPDATE `+l.schema+`.segment SET list = NULL FROM s WHERE name = $1`, name)
		return err
	})
}
