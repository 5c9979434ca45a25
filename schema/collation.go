package schema

import (
	"context"
	"fmt"
	"slices"
)

// bytewiseCollations are "C" and "POSIX" (pg_collation.dat).
var bytewiseCollations = []uint32{950, 951}

// bytewiseSQL reports whether the database's own collation compares text byte by byte. The builtin
// provider of PostgreSQL 17 does so in all its locales; before 15 there is no provider but libc.
const bytewiseSQL = `SELECT CASE coalesce(to_jsonb(d) ->> 'datlocprovider', 'c') WHEN 'b' THEN true WHEN 'c' THEN d.datcollate IN ('C', 'POSIX') ELSE false END
  FROM pg_database d WHERE d.datname = current_database()`

// BytewiseCollation reports whether a collation is known to compare text byte by byte.
func BytewiseCollation(oid uint32) bool { return slices.Contains(bytewiseCollations, oid) }

// Bytewise reports whether a column of this collation compares text byte by byte.
func Bytewise(ctx context.Context, q Querier, oid uint32) (is bool, err error) {
	if oid != defaultCollation {
		return BytewiseCollation(oid), nil
	}
	if err := q.QueryRow(ctx, bytewiseSQL).Scan(&is); err != nil {
		return false, fmt.Errorf("reading the collation of the database: %w", err)
	}
	return is, nil
}
