package pg_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
)

// A loop deletes what statements of their own would delete, whatever the values, and counts each.
func TestLoop(t *testing.T) {
	t.Parallel()
	pool := connect(t, `
		CREATE TABLE things (id int, name text, p1 text, reaper_affected int DEFAULT 9);
		INSERT INTO things SELECT n, chr(96 + n), 'it''s, "a" {b} \ '||n||E'\n' FROM generate_series(1, 6) n;
		INSERT INTO things VALUES (7, NULL, NULL)`)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	statement := func(ids []int64, text any, extra string) *pg.Statement {
		s := pg.InLoop()
		return s.Add("DELETE FROM things WHERE id = ANY (", s.Cast(ids, "int[]"), ") AND p1 IS NOT DISTINCT FROM ", s.Cast(text, "text"),
			" AND id < reaper_loop.given AND things.reaper_affected = 9 AND reaper_affected = 9 -- '; RAISE", extra, "\n")
	}
	text := func(n string) any { return `it's, "a" {b} \ ` + n + "\n" }
	var got [][]int64
	var parts []string
	loop := pg.Loop{
		Given: func(s *pg.Statement, first, end int) {
			parts = append(parts, strings.Repeat("x", end-first))
			s.Add("WITH bound AS (SELECT ", s.Cast(int64(100), "int"), " AS most) SELECT pg_catalog.array_agg(most + n) FROM bound, pg_catalog.generate_series(1, ", s.Cast(end-first, "int"), ") n")
		},
		GivenType: "int[]",
		Numbers:   func(s *pg.Statement) string { return s.Cast(int64(5), "int8") + ", (SELECT count(*) FROM things)" },
		Read: func(i int, n int64, numbers []int64) error {
			got = append(got, append([]int64{int64(i), n}, numbers...))
			return nil
		},
	}
	b := &pgx.Batch{}
	b.Queue("BEGIN")
	b.Queue("SELECT set_config('standard_conforming_strings', 'on', true)")
	if err := loop.Queue(b, conn.Conn().TypeMap(), []*pg.Statement{
		statement([]int64{1, 2}, text("1"), ""), statement([]int64{2, 3}, text("3"), ""), statement(nil, text("4"), ""),
		statement([]int64{4, 4, 5}, text("4"), " another text"), statement([]int64{7}, nil, ""),
	}); err != nil {
		t.Fatal(err)
	}
	b.Queue("COMMIT")
	if err := pg.Send(t.Context(), conn, b); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]int64{{0, 1, 5, 6}, {1, 1, 5, 5}, {2, 0, 5, 5}, {3, 1, 5, 4}, {4, 1, 5, 3}}, got); diff != "" {
		t.Errorf("ordinal, rows, numbers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"xxx", "x", "x"}, parts); diff != "" {
		t.Errorf("statements of each loop (-want +got):\n%s", diff)
	}
	var left string
	if err := conn.QueryRow(t.Context(), "SELECT string_agg(id::text, ',' ORDER BY id) || coalesce(current_setting('reaper.lines', true), '') FROM things").Scan(&left); err != nil || left != "2,5,6" {
		t.Errorf("left %q, %v: want 2,5,6, and no setting", left, err)
	}
}
