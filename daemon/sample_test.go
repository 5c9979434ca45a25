package daemon

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// The samples and the ping run nothing that others have planted, however exactly it
// matches what they call.
func TestPlantedObjects(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `
		CREATE SEQUENCE ran;
		CREATE FUNCTION unnest(oid[]) RETURNS SETOF oid LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('public.ran'); RETURN QUERY SELECT pg_catalog.unnest($1); END $$;
		CREATE FUNCTION has_database_privilege(name, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM nextval('public.ran'); RETURN true; END $$;
		CREATE TABLE t AS SELECT 1 AS n`)
	pool := db.Pool(t, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec })
	table := uint32(db.Int(t, "SELECT 't'::regclass::oid::int"))
	s, err := takeSample(t.Context(), pool, []uint32{table})
	if err != nil || len(s.tables) != 1 || s.tables[0].oid != table || s.tables[0].name != "public.t" || *s.tables[0].bytes == 0 || s.database == nil || s.wal == nil {
		t.Errorf("sample %+v (%v)", s, err)
	}
	if err := askDatabase(pool)(t.Context()); err != nil {
		t.Errorf("the ping says %v, want it up", err)
	}
	if db.Bool(t, "SELECT is_called FROM ran") {
		t.Error("a planted function was called")
	}
	for _, sql := range []string{"SELECT count(*)::int FROM unnest('{1}'::oid[])", "SELECT has_database_privilege(current_database(), 'CONNECT')::int"} {
		db.Int(t, "SELECT setval('ran', 1, false)::int")
		db.Int(t, sql)
		if !db.Bool(t, "SELECT is_called FROM ran") {
			t.Errorf("nothing planted is called by %s", sql)
		}
	}
}
