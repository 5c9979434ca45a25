package guard_test

import (
	"testing"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
)

// planted are functions and operators that match the guards' statements more exactly
// than the polymorphic, variadic or coercing ones of pg_catalog. Each one that runs
// leaves a trace in the sequence ran.
const planted = `
	CREATE SEQUENCE ran;
	CREATE FUNCTION trace() RETURNS bigint LANGUAGE plpgsql AS $$ BEGIN RETURN nextval('public.ran'); END $$;
	CREATE FUNCTION unnest(oid[]) RETURNS SETOF oid LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trace(); RETURN QUERY SELECT pg_catalog.unnest($1); END $$;
	CREATE FUNCTION pg_has_role(text, text) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trace(); RETURN true; END $$;
	CREATE FUNCTION concat_ws(text, text, text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trace(); RETURN $2; END $$;
	CREATE FUNCTION concat_ws(text, text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trace(); RETURN $2; END $$;
	CREATE FUNCTION divided(bigint, float8) RETURNS float8 LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trace(); RETURN 0; END $$;
	CREATE OPERATOR / (LEFTARG = bigint, RIGHTARG = float8, PROCEDURE = divided);
	CREATE FUNCTION joined(text, int) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trace(); RETURN $1; END $$;
	CREATE OPERATOR || (LEFTARG = text, RIGHTARG = int, PROCEDURE = joined);`

// No guard statement runs planted objects; the policy file's own query keeps its meaning
// under the role's search_path.
func TestPlantedObjects(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, planted, "CREATE TABLE t AS SELECT n AS id FROM generate_series(1, 20000) n; ANALYZE t", queueTable)
	c := queue(levels(none, 100, none), false)
	c.Storage = guard.Storage{Signal: levels(none, 1<<50, none), Limit: 1 << 50}
	c.WALBacklog, c.WALRate.Signal = levels(none, 1<<50, none), levels(none, 1<<50, none)
	c.ReplicaLag.Signal, c.Connections, c.LockWaits = levels(none, 60, none), levels(none, 1, none), levels(none, 3, none)
	c.OldestTransaction, c.DeadRows.Signal, c.Latency = levels(none, 7200, none), levels(none, 0.5, none), levels(none, 5, none)
	c.DeadRows.Vacuuming, c.Checkpoint = guard.Slow, levels(none, 1000, none)
	old := connect(t, db.DSN(), "")
	old.exec("BEGIN", "CREATE TABLE mine()") // holds back the horizon
	w := watch(t, db, c)
	w.Touch([]uint32{uint32(db.Int(t, "SELECT 't'::regclass::oid::int"))})
	await(t, w, guard.Go)
	rounds(t, w, 2)
	for _, r := range w.Readings() {
		if r.Off == "" && r.Unknown != "" {
			t.Errorf("%s is unknown: %s", r.Guard, r.Unknown)
		}
	}
	if _, err := w.Room(t.Context()); err != nil {
		t.Error(err)
	}
	guard.Check(t.Context(), db.Pool(t, control), quick(c))
	if db.Bool(t, "SELECT is_called FROM ran") {
		t.Error("a planted function was called")
	}
	// Under the role's search_path, which a custom query keeps, they are called.
	own := queue(levels(none, 100, none), false)
	own.Custom[0].Query.SQL = "SELECT n / 1::float8 FROM (SELECT 300::bigint AS n) x"
	says(t, await(t, watch(t, db, own), guard.Pause), "queue_depth", "cannot execute nextval() in a read-only transaction")
	for _, sql := range []string{
		"SELECT count(*)::int FROM unnest('{1}'::text::oid[])", "SELECT pg_has_role('pg_read_all_stats', 'USAGE')::int", "SELECT length(concat_ws(':', 'a'::text, 'b'::text))",
		"SELECT (1::bigint / 1::float8)::int", "SELECT length('a'::text || 1)",
	} {
		db.Int(t, "SELECT setval('ran', 1, false)::int")
		db.Int(t, sql)
		if !db.Bool(t, "SELECT is_called FROM ran") {
			t.Errorf("nothing planted is called by %s", sql)
		}
	}
}
