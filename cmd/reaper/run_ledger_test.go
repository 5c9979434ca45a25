package main

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/ledger"
)

// A process that may not make its ledger can run nothing, and must not look well.
func TestRun_NoLedger(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	role := db.Role(t, "worker")
	db.Exec(t, `GRANT SELECT, DELETE, UPDATE ON ALL TABLES IN SCHEMA public TO `+pgx.Identifier{role}.Sanitize())
	s := serve(t, db.As(role), lettersPolicy("@every 1h", ""))
	s.await("unhealthy, and it says why", 10*time.Second, func() bool {
		code, body := s.get("/health")
		return code == 503 && strings.Contains(body, "may not create the ledger")
	})
	s.ends()
}

// A role that lacks a privilege on an upgraded ledger runs nothing, says which, and
// goes on once it has it.
func TestRun_LedgerWithoutGrants(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	name := db.Role(t, "worker")
	role := pgx.Identifier{name}.Sanitize()
	l := ledger.New(ledger.DefaultSchema, 0)
	if _, err := l.Migrate(t.Context(), db.Pool(t)); err != nil {
		t.Fatal(err)
	}
	db.Exec(t, `GRANT SELECT, DELETE, UPDATE ON ALL TABLES IN SCHEMA public TO `+role+`; `+strings.Join(l.Grants(name), " ")+`REVOKE ALL ON reaper.throttle FROM `+role)
	s := serve(t, db.As(name), lettersPolicy("@every 1s", ""))
	s.await("unhealthy, and it says why", 10*time.Second, func() bool {
		code, body := s.get("/health")
		return code == 503 && strings.Contains(body, "lacks privileges on the ledger") && strings.Contains(body, "throttle")
	})
	if n := db.Int(t, `SELECT count(*) FROM reaper.tick`); n != 0 {
		t.Errorf("%d runs were claimed", n)
	}
	db.Exec(t, strings.Join(l.Grants(name), " "))
	s.await("it runs", 20*time.Second, func() bool { return db.Int(t, `SELECT count(*) FROM reaper.runs WHERE status = 'complete'`) > 0 })
	s.ends()
}

// A daemon does not touch a ledger's schema that somebody else has made. It says so,
// and runs once the schema is gone.
func TestRun_LedgerOfOthers(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	mallory := db.Role(t, "mallory")
	db.Exec(t, `CREATE TABLE read_by (role text); GRANT ALL ON read_by TO PUBLIC;
		CREATE SCHEMA reaper AUTHORIZATION `+mallory+`;
		CREATE FUNCTION reaper.own() RETURNS int LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.read_by VALUES (current_user); RETURN 0; END $$;
		CREATE VIEW reaper.schema_version AS SELECT 7 + reaper.own() AS version;
		CREATE VIEW reaper.pause AS SELECT reaper.own()::bigint AS id, NULL::text AS policy, '' AS reason, '' AS who, now() AS created_at, now() AS ends_at, now() AS resumed_at;
		ALTER VIEW reaper.schema_version OWNER TO `+mallory+`; ALTER VIEW reaper.pause OWNER TO `+mallory)
	s := serve(t, db.DSN(), lettersPolicy("@every 1s", ""))
	s.await("unhealthy, and it says why", 10*time.Second, func() bool {
		code, body := s.get("/health")
		return code == 503 && strings.Contains(body, mallory+", which is not trusted")
	})
	if n := db.Int(t, `SELECT count(*) FROM read_by`); n != 0 {
		t.Errorf("the function of another role was executed %d times", n)
	}
	db.Exec(t, `DROP SCHEMA reaper CASCADE`)
	s.await("it runs", 20*time.Second, func() bool {
		return db.Bool(t, `SELECT to_regclass('reaper.run') IS NOT NULL`) && db.Int(t, `SELECT count(*) FROM reaper.runs WHERE status = 'complete'`) > 0
	})
	s.ends()
}
