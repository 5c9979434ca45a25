package dbtest_test

import (
	"os"
	"testing"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// All tests run as if these were set for a person's database.
func TestMain(m *testing.M) {
	for name, value := range map[string]string{
		"PGHOST": "nowhere.invalid", "PGPORT": "1", "PGUSER": "nobody", "PGDATABASE": "none", "PGSERVICE": "none", "PGAPPNAME": "psql",
		"PGOPTIONS": "-c default_transaction_read_only=on", "PGTARGETSESSIONATTRS": "standby", "PGCONNECT_TIMEOUT": "none",
	} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	os.Exit(dbtest.Main(m))
}

const setup = `
	CREATE TABLE counted (id int PRIMARY KEY);
	INSERT INTO counted SELECT generate_series(1, 10)`

// Each test changes its own copy, in parallel with the others.
func TestNewIsolates(t *testing.T) {
	t.Parallel()
	for range 8 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			db := dbtest.New(t, setup)
			if n := db.Exec(t, `DELETE FROM counted WHERE id <= $1`, 4); n != 4 {
				t.Errorf("%d rows deleted, want 4", n)
			}
			if got := db.Int(t, `SELECT count(*) FROM counted`); got != 6 {
				t.Errorf("%d rows, want 6", got)
			}
			if got := db.Text(t, `SELECT current_database()::text`); got != db.Name() {
				t.Errorf("in database %s, want %s", got, db.Name())
			}
		})
	}
}

func TestNewEmpty(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	if got := db.Int(t, `SELECT count(*) FROM pg_tables WHERE schemaname = 'public'`); got != 0 {
		t.Errorf("%d tables, want none", got)
	}
	if got := db.Text(t, `SHOW autovacuum`); got != "on" {
		t.Errorf("autovacuum is %s, want what production has", got)
	}
}

func TestRole(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, setup)
	role := db.Role(t, "reader")
	db.Exec(t, `GRANT SELECT ON counted TO `+role)
	conn := dbtest.Connect(t, db.As(role))
	var user string
	if err := conn.QueryRow(t.Context(), `SELECT current_user::text FROM counted LIMIT 1`).Scan(&user); err != nil || user != role {
		t.Errorf("user %q (%v), want %q", user, err, role)
	}
}

func TestServerTakesSettings(t *testing.T) {
	t.Parallel()
	s := dbtest.Server(t, pgtemp.Options{Settings: map[string]string{"track_counts": "off"}})
	conn := dbtest.Connect(t, s.DSN("postgres"))
	var track, fsync string
	if err := conn.QueryRow(t.Context(), `SELECT current_setting('track_counts'), current_setting('fsync')`).Scan(&track, &fsync); err != nil {
		t.Fatal(err)
	}
	if track != "off" || fsync != "off" {
		t.Errorf("track_counts %s, fsync %s, want both off", track, fsync)
	}
}
