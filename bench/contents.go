package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

// content is a summary of a table: its number of rows and the sum of their ids.
type content struct {
	rows int64
	ids  string
}

// contents reads all tables of the schema public.
func contents(ctx context.Context, dsn string) (map[string]content, error) {
	all := map[string]content{}
	err := lab.OnDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'`)
		if err != nil {
			return err
		}
		tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			return err
		}
		for _, t := range tables {
			var c content
			if err := conn.QueryRow(ctx, `SELECT count(*), coalesce(sum(id), 0)::text FROM `+pgx.Identifier{t}.Sanitize()).Scan(&c.rows, &c.ids); err != nil {
				return err
			}
			all[t] = c
		}
		return nil
	})
	return all, err
}

// difference names the tables whose contents differ; empty if there are none.
func difference(x, y map[string]content) string {
	var found []string
	for t := range x {
		if x[t] != y[t] {
			found = append(found, fmt.Sprintf("%s: %d and %d rows stay", t, x[t].rows, y[t].rows))
		}
	}
	slices.Sort(found)
	return strings.Join(found, "; ")
}

// rowsDeleted returns the number of rows deleted, over all tables.
func rowsDeleted(before, after map[string]content) (rows int64) {
	for t := range before {
		rows += before[t].rows - after[t].rows
	}
	return rows
}
