package pg_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pg"
)

// connect returns a pool with one connection, like reaper's without prepared statements.
func connect(t *testing.T, schema string) *pgxpool.Pool {
	t.Helper()
	db := dbtest.New(t, schema)
	config, err := pgxpool.ParseConfig(db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.DefaultQueryExecMode, config.MaxConns = pgx.QueryExecModeExec, 1
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// stolen contains functions and operators that an exact match prefers to those of pg_catalog,
// wherever pg_catalog stands in the path.
const stolen = `
	CREATE FUNCTION public.unnest(int2[]) RETURNS SETOF int2 LANGUAGE sql AS 'SELECT 7::int2';
	CREATE FUNCTION public.yes(varchar, varchar) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT true';
	CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, PROCEDURE = public.yes);
	CREATE FUNCTION public.set_config(text, text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE 'stolen'; END $$;
	CREATE FUNCTION public.num_nonnulls(text, text, text, text, text) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RAISE 'stolen'; END $$;`

const query = `SELECT array(SELECT unnest(ARRAY[1, 2]::int2[]))::text || ('a'::varchar = 'b'::varchar)::text`

func TestPinnedIgnoresObjectsOfOthers(t *testing.T) {
	t.Parallel()
	pool := connect(t, stolen)
	var plain, pinned string
	if err := pool.QueryRow(t.Context(), query).Scan(&plain); err != nil {
		t.Fatal(err)
	}
	if err := pg.Pinned(pool).QueryRow(t.Context(), query).Scan(&pinned); err != nil {
		t.Fatal(err)
	}
	if plain != "{7}true" || pinned != "{1,2}false" {
		t.Errorf("without a pinned path %s, want {7}true; with one %s, want {1,2}false", plain, pinned)
	}
	var path string
	if err := pool.QueryRow(t.Context(), `SELECT current_setting('search_path')`).Scan(&path); err != nil {
		t.Fatal(err)
	}
	if path == pg.Path {
		t.Error("the path outlives its statement")
	}
}

func TestPinnedTransaction(t *testing.T) {
	t.Parallel()
	pool := connect(t, stolen)
	var got string
	err := pg.InTx(t.Context(), pool, pgx.ReadOnly, func(tx pgx.Tx) error { return tx.QueryRow(t.Context(), query).Scan(&got) })
	if err != nil || got != "{1,2}false" {
		t.Errorf("got %q (%v), want {1,2}false", got, err)
	}
}

func TestPinnedGivesErrorsAndConnectionsBack(t *testing.T) {
	t.Parallel()
	db := pg.Pinned(connect(t, stolen))
	ctx := t.Context()
	if err := db.QueryRow(ctx, `SELECT 1 WHERE false`).Scan(new(int)); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("no row: %v, want pgx.ErrNoRows", err)
	}
	if err := db.QueryRow(ctx, `SELECT 1 / 0`).Scan(new(int)); err == nil {
		t.Error("a division by zero gives no error")
	}
	if err := db.QueryRow(ctx, `SELECT nowhere`).Scan(new(int)); err == nil {
		t.Error("a column that is not there gives no error")
	}
	rows, err := db.Query(ctx, `SELECT generate_series(1, 1000)`)
	if err != nil {
		t.Fatal(err)
	}
	rows.Next()
	rows.Close() // not read to the end; the only connection must be released
	tag, err := db.Exec(ctx, `CREATE TABLE public.t (x int)`)
	if err != nil || tag.String() != "CREATE TABLE" {
		t.Errorf("Exec gives %q, %v", tag, err)
	}
}
