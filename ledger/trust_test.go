package ledger_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/ledger"
)

// untrusted fails the test unless err is an *UntrustedError containing these words.
func untrusted(t *testing.T, doing string, err error, words ...string) {
	t.Helper()
	if _, ok := errors.AsType[*ledger.UntrustedError](err); !ok {
		t.Errorf("%s: %v, want an untrusted ledger", doing, err)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%s: %v, want %q in it", doing, err, w)
		}
	}
}

// A schema created by another role before reaper first ran is neither read nor written: its
// view would execute code as the reading role.
func TestSquattedSchemaIsNotTouched(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	mallory := db.Role(t, "mallory")
	db.Exec(t, `GRANT CREATE ON DATABASE `+db.Name()+` TO `+mallory)
	as := connect(t, db, func(c *pgxpool.Config) { c.ConnConfig.User = mallory })
	for _, sql := range []string{
		`CREATE SCHEMA reaper`, `GRANT ALL ON SCHEMA reaper TO public`,
		`CREATE FUNCTION reaper.own() RETURNS int LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE ` + mallory + ` SUPERUSER; RETURN 0; EXCEPTION WHEN OTHERS THEN RETURN 0; END $$`,
		`CREATE VIEW reaper.schema_version AS SELECT 0 + reaper.own() AS version, now() AS applied_at`, `GRANT ALL ON reaper.schema_version TO public`,
	} {
		if _, err := as.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	l, p := ledger.New(ledger.DefaultSchema, 0), connect(t, db)
	_, err := l.NeedsMigration(t.Context(), p)
	untrusted(t, "reading the version", err, "schema \"reaper\" belongs to role "+mallory, `DROP SCHEMA "reaper" CASCADE`, "REAPER_LEDGER_SCHEMA")
	_, err = l.Migrate(t.Context(), p)
	untrusted(t, "migrating", err)
	untrusted(t, "usable", l.Usable(t.Context(), p))
	_, err = l.Pauses(t.Context(), p)
	untrusted(t, "reading pauses", err)
	untrusted(t, "pausing", l.Pause(t.Context(), p, nil, time.Hour, "why", ""))
	_, _, _, err = l.Totals(t.Context(), p, "00000000-0000-0000-0000-000000000000", "p")
	untrusted(t, "reading totals", err)
	if db.Bool(t, `SELECT rolsuper FROM pg_roles WHERE rolname = $1`, mallory) {
		t.Error("the owner of the schema became a superuser")
	}
}

// What makes a ledger untrusted, and what does not.
func TestTrusted(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sql   string // as superuser; {M} is a role without any privilege, {R} runs reaper
		words []string
	}{
		"as it was made":               {``, nil},
		"the database's owner's":       {`ALTER DATABASE {DB} OWNER TO {M}; ALTER SCHEMA reaper OWNER TO {M}; ALTER TABLE reaper.run OWNER TO {M}`, nil},
		"a role that reaper is in":     {`GRANT {M} TO {R}; ALTER SCHEMA reaper OWNER TO {M}; ALTER TABLE reaper.run OWNER TO {M}`, nil},
		"its own":                      {`ALTER SCHEMA reaper OWNER TO {R}; ALTER TABLE reaper.run OWNER TO {R}`, nil},
		"a superuser's trigger":        {`CREATE FUNCTION reaper.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; CREATE TRIGGER x BEFORE INSERT ON reaper.run FOR EACH ROW EXECUTE FUNCTION reaper.f()`, nil},
		"an object that is not used":   {`CREATE TABLE reaper.other (); ALTER TABLE reaper.other OWNER TO {M}`, nil},
		"the schema's owner":           {`ALTER SCHEMA reaper OWNER TO {M}`, []string{"schema \"reaper\" belongs to role {M}", "ALTER SCHEMA"}},
		"a table's owner":              {`ALTER TABLE reaper.batch OWNER TO {M}`, []string{`"reaper"."batch"`, "belongs to role {M}", `ALTER TABLE "reaper"."batch" OWNER TO`}},
		"a view's owner":               {`ALTER VIEW reaper.runs OWNER TO {M}`, []string{`"reaper"."runs"`, "belongs to role {M}"}},
		"a view for a table":           {`DROP TABLE reaper.size; CREATE VIEW reaper.size AS SELECT now() AS at`, []string{`"reaper"."size"`, "is not what reaper creates"}},
		"a table for a view":           {`DROP VIEW reaper.runs; CREATE TABLE reaper.runs ()`, []string{`"reaper"."runs"`, "is not what reaper creates"}},
		"a foreign trigger":            {`CREATE FUNCTION reaper.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'; ALTER FUNCTION reaper.f() OWNER TO {M}; CREATE TRIGGER x BEFORE INSERT ON reaper.run FOR EACH ROW EXECUTE FUNCTION reaper.f()`, []string{`trigger "x"`, `"reaper"."run"`, "role {M}", `DROP TRIGGER "x" ON "reaper"."run"`}},
		"a rule of the database's own": {`ALTER DATABASE {DB} OWNER TO {M}; ALTER TABLE reaper.tick OWNER TO {M}; CREATE RULE x AS ON INSERT TO reaper.tick DO ALSO SELECT 1`, []string{`rule "x"`, "role {M}", `DROP RULE "x"`}},
		"CREATE for a role":            {`GRANT CREATE ON SCHEMA reaper TO {M}`, []string{"role {M} may create objects", `REVOKE CREATE ON SCHEMA "reaper" FROM {M}`}},
		"CREATE for all":               {`GRANT ALL ON SCHEMA reaper TO PUBLIC`, []string{"role PUBLIC may create objects"}},
		"TRIGGER for a role":           {`GRANT ALL ON reaper.lease TO {M}`, []string{"role {M} may create triggers", `REVOKE TRIGGER ON "reaper"."lease" FROM {M}`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t)
			l := ledger.New(ledger.DefaultSchema, 0)
			if _, err := l.Migrate(t.Context(), connect(t, db)); err != nil {
				t.Fatal(err)
			}
			mallory, role := db.Role(t, "m"), db.Role(t, "r")
			db.Exec(t, strings.Join(l.Grants(role), "\n"))
			t.Cleanup(func() { db.Exec(t, `REASSIGN OWNED BY `+mallory+`, `+role+` TO postgres`) })
			names := strings.NewReplacer("{M}", mallory, "{R}", role, "{DB}", db.Name())
			db.Exec(t, names.Replace(c.sql))
			p := connect(t, db, func(c *pgxpool.Config) { c.ConnConfig.User = role })
			for what, err := range map[string]error{"trusted": l.Trusted(t.Context(), p), "usable": l.Usable(t.Context(), p)} {
				if c.words == nil && err != nil {
					t.Errorf("%s: %v", what, err)
				}
				if c.words != nil {
					untrusted(t, what, err, strings.Split(names.Replace(strings.Join(c.words, "\n")), "\n")...)
				}
			}
		})
	}
}

// Before PostgreSQL 15 a role can grant itself to any other. That does not make it
// trusted; a grant by a role administrator does.
func TestMembershipThatNobodyGranted(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	mallory, role := db.Role(t, "m"), db.Role(t, "r")
	db.Exec(t, `CREATE SCHEMA reaper AUTHORIZATION `+mallory)
	_, err := connect(t, db, func(c *pgxpool.Config) { c.ConnConfig.User = mallory }).Exec(t.Context(), `GRANT `+mallory+` TO `+role)
	if newer := db.Int(t, `SELECT current_setting('server_version_num')::int`) >= 150000; newer != (err != nil) {
		t.Fatalf("granting itself: %v", err)
	}
	l, p := ledger.New(ledger.DefaultSchema, 0), connect(t, db, func(c *pgxpool.Config) { c.ConnConfig.User = role })
	untrusted(t, "granted by itself", l.Trusted(t.Context(), p), mallory)
	untrusted(t, "for a superuser", l.Trusted(t.Context(), connect(t, db)), mallory)
	db.Exec(t, `REVOKE `+mallory+` FROM `+role+`; GRANT `+mallory+` TO `+role)
	if err := l.Trusted(t.Context(), p); err != nil {
		t.Errorf("granted by a superuser: %v", err)
	}
}

// Excessive default privileges are reported at once, not at the next start.
func TestMigrateLooksAtWhatItMade(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	role := db.Role(t, "m")
	db.Exec(t, `ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO `+role)
	t.Cleanup(func() { db.Exec(t, `DROP OWNED BY `+role) })
	l := ledger.New(ledger.DefaultSchema, 0)
	_, err := l.Migrate(t.Context(), connect(t, db))
	untrusted(t, "migrating", err, "may create triggers", "REVOKE TRIGGER ON")
	db.Exec(t, `REVOKE TRIGGER ON ALL TABLES IN SCHEMA reaper FROM `+role)
	if applied, err := l.Migrate(t.Context(), connect(t, db)); len(applied) > 0 || err != nil {
		t.Errorf("again: %v, %v", applied, err)
	}
}
