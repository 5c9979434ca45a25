package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SizeEvery is how often a size is kept at most. KeptSizes is for how long: the
// first of each hour after two days, the first of each day (UTC) after 35.
const (
	SizeEvery = 5 * time.Minute
	KeptSizes = 400 * 24 * time.Hour
)

// Size is how large the database was, and how far the counters of its rows were.
type Size struct {
	At       time.Time         // by the database's clock; SaveSize takes its own
	Database *int64            // bytes; nil: no privilege
	WAL      *int64            // bytes in pg_wal; nil: they may not be read
	Tables   map[string]int64  // bytes, by schema.table
	Policies map[string]Counts // by name; of those whose table is known
}

// Counts are what is due of a policy, and the rows that its root table ever gained
// and lost, as PostgreSQL counts them since its statistics began.
type Counts struct {
	Backlog  *int64 `json:"backlog"` // nil: not known
	Deleted  int64  `json:"deleted"`
	Inserted int64  `json:"inserted"`
}

// SizeDue tells whether the last size that is kept is SizeEvery old, or there is
// none, and this role may keep one. A clock that ticks a little early counts as on
// time.
func (l *Ledger) SizeDue(ctx context.Context, db *pgxpool.Pool) (bool, error) {
	var due bool
	err := l.on(db).QueryRow(ctx, `SELECT NOT EXISTS (SELECT FROM `+l.schema+`.size WHERE at > clock_timestamp() - $1::interval)
		AND has_table_privilege(`+literal(l.schema+".size")+`, 'INSERT') AND has_table_privilege(`+literal(l.schema+".size")+`, 'DELETE')`,
		(SizeEvery * 9 / 10).String()).Scan(&due)
	if err != nil {
		return false, fmt.Errorf("looking for the last size: %w", err)
	}
	return due, nil
}

// SaveSize keeps a size, and thins out the older ones.
func (l *Ledger) SaveSize(ctx context.Context, db *pgxpool.Pool, s Size) error {
	tables, err := object(s.Tables)
	if err != nil {
		return err
	}
	policies, err := json.Marshal(s.Policies)
	if err != nil {
		return err
	}
	if s.Policies == nil {
		policies = []byte("{}")
	}
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.size (at, database_bytes, wal_bytes, tables, policies)
			VALUES (clock_timestamp(), $1::bigint, $2::bigint, $3::jsonb, $4::jsonb)`, s.Database, s.WAL, tables, string(policies)); err != nil {
			return err
		}
		return l.thinSizes(ctx, tx)
	})
	if err != nil {
		return fmt.Errorf("keeping a size: %w", err)
	}
	return nil
}

// thinSizes keeps the first size of each hour, and after 35 days of each day. Which
// one is the first does not change when more of them grow old.
func (l *Ledger) thinSizes(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM `+l.schema+`.size s USING (
		SELECT at, row_number() OVER (PARTITION BY date_trunc(CASE WHEN at < now() - interval '35 days' THEN 'day' ELSE 'hour' END, at, 'UTC'), at < now() - interval '35 days' ORDER BY at) AS n
		  FROM `+l.schema+`.size WHERE at < now() - interval '2 days') old
		 WHERE s.at = old.at AND (old.n > 1 OR old.at < now() - $1::interval)`, KeptSizes.String())
	return err
}

// Sizes are those kept of so long ago or later, the oldest first.
func (l *Ledger) Sizes(ctx context.Context, db *pgxpool.Pool, past time.Duration) ([]Size, error) {
	rows, err := l.on(db).Query(ctx, `SELECT at, database_bytes, wal_bytes, tables::text, policies::text FROM `+l.schema+`.size
		WHERE at >= now() - $1::interval ORDER BY at`, past.String())
	if err != nil {
		return nil, fmt.Errorf("reading sizes: %w", err)
	}
	var sizes []Size
	var s Size
	var tables, policies string
	_, err = pgx.ForEachRow(rows, []any{&s.At, &s.Database, &s.WAL, &tables, &policies}, func() error {
		next := s
		if err := json.Unmarshal([]byte(tables), &next.Tables); err != nil {
			return err
		}
		sizes = append(sizes, next)
		return json.Unmarshal([]byte(policies), &sizes[len(sizes)-1].Policies)
	})
	if err != nil {
		return nil, fmt.Errorf("reading sizes: %w", err)
	}
	return sizes, nil
}
