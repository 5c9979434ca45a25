package purge_test

import (
	"testing"

	"github.com/reaperdb/reaper/purge"
)

// Planning, waiting, dropping and undoing run no planted functions: each one here matches a
// call more exactly than pg_catalog's, which is variadic or polymorphic, and leaves a trace
// when called.
func TestPartitionDrop_PlantedObjects(t *testing.T) {
	t.Parallel()
	b := prepare(t, yard+`
		CREATE SEQUENCE ran;
		CREATE FUNCTION trace() RETURNS void LANGUAGE plpgsql AS $$ BEGIN IF current_setting('application_name') = 'reaper' THEN PERFORM nextval('public.ran'); END IF; END $$;
		CREATE FUNCTION format(text, name, name) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trace(); RETURN pg_catalog.format($1, $2::text, $3::text); END $$;
		CREATE FUNCTION overlap(text[], text[]) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN PERFORM public.trace(); RETURN false; END $$;
		CREATE OPERATOR && (LEFTARG = text[], RIGHTARG = text[], PROCEDURE = overlap);
		CREATE FUNCTION nothing() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
		CREATE EVENT TRIGGER ours ON ddl_command_end WHEN TAG IN ('CREATE SCHEMA') EXECUTE FUNCTION nothing()`, yardPolicy)
	plans, shape, detaches := b.plans(), b.shape(), 0
	b.lockedOut(&detaches)
	b.purgeWith(plans).is(purge.Complete).dropped()
	b.sameShape(shape)
	if detaches == 0 {
		t.Error("no partition was detached")
	}
	if b.Bool(t, `SELECT is_called FROM ran`) {
		t.Error("a planted function was called")
	}
	s := b.session()
	s.do(`SET application_name = 'reaper'`)
	for _, sql := range []string{`SELECT format('%I.%I', nspname, nspname) FROM pg_namespace LIMIT 1`, `SELECT ARRAY['a'] && ARRAY['b']`} {
		s.do(`SELECT setval('ran', 1, false)`)
		s.do(sql)
		if !b.Bool(t, `SELECT is_called FROM ran`) {
			t.Errorf("nothing planted is called by %s", sql)
		}
	}
}
