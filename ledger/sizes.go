package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// SizeEvery is the minimum interval between stored sizes. They are kept for KeptSizes:
// after two days the first of each hour, after 35 days the first of each UTC day.
const (
	SizeEvery = 5 * time.Minute
	KeptSizes = 400 * 24 * time.Hour
)

// Size is a sample of the database's size and its row counters.
type Size struct {
	At       time.Time         // by the database's clock; ignored by SaveSize
	Database *int64            // bytes; nil without the privilege
	WAL      *int64            // bytes in pg_wal; nil without the privilege
	Tables   map[string]int64  // bytes, by schema.table
	Policies map[string]Counts // by name, for policies whose table is known
}

// Counts are a policy's backlog, and the rows that its root table has gained and lost
// since PostgreSQL's statistics began.
type Counts struct {
	Backlog  *int64 `json:"backlog"` // nil if unknown
	Deleted  int64  `json:"deleted"`
	Inserted int64  `json:"inserted"`
}

// SizeDue reports whether the last stored size is at least SizeEvery old, or there is
// none, and this role may store one. It allows for a timer that fires slightly early.
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

// SaveSize stores a size and thins out older ones.
func (l *Ledger) SaveSize(ctx context.Context, db *pgxpool.Pool, s Size) error {
	tables, err := countsJSON(s.Tables)
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
		return fmt.Errorf("saving a size: %w", err)
	}
	return nil
}

// thinSizes keeps the first size of each hour, and after 35 days of each day. The first
// of a period stays the first as more samples age.
func (l *Ledger) thinSizes(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM `+l.schema+`.size s USING (
		SELECT at, row_number() OVER (PARTITION BY date_trunc(CASE WHEN at < now() - interval '35 days' THEN 'day' ELSE 'hour' END, at, 'UTC'), at < now() - interval '35 days' ORDER BY at) AS n
		  FROM `+l.schema+`.size WHERE at < now() - interval '2 days') old
		 WHERE s.at = old.at AND (old.n > 1 OR old.at < now() - $1::interval)`, KeptSizes.String())
	return err
}

// Sizes returns the sizes of the past duration, oldest first.
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
