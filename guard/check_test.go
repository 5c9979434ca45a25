package guard_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
)

// sessions configures the guards that look at other roles' sessions.
func sessions() guard.Config {
	return guard.Config{
		ReplicaLag:        guard.ReplicaLag{Signal: levels(none, 60, none)},
		OldestTransaction: levels(none, 7200, none),
		Connections:       levels(none, 0.99, none),
	}
}

// Revoking a privilege makes a readable signal unknown; granting it again makes it
// count again.
func TestPrivilegeRevoked(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	role := db.Role(t, "reader")
	db.Exec(t, "GRANT pg_read_all_stats TO "+role)
	c := sessions()
	c.Implicit = true
	w := run(t, guard.New(quick(c), as(t, db.As(role)), nil))
	await(t, w, guard.Go)
	db.Exec(t, "REVOKE pg_read_all_stats FROM "+role)
	until(t, w, "pause of the replicas' guard", func() bool { return w.Advice("").Guard == "replica_lag" })
	says(t, await(t, w, guard.Pause), "replica_lag", "unknown|this role may not see replication lag; it needs pg_read_all_stats")
	if r := reading(t, w, "connections"); r.State != guard.Go {
		t.Errorf("connections: %+v, want go", r)
	}
	db.Exec(t, "GRANT pg_read_all_stats TO "+role)
	await(t, w, guard.Go)
}

// refused checks guards that a role may not read: explicit ones pause with the reason,
// implicit ones are off with the reason. It returns the Watch of the implicit ones.
func refused(t *testing.T, dsn string, c guard.Config, pauses, off, why string) *guard.Watch {
	t.Helper()
	asked := run(t, guard.New(quick(c), as(t, dsn), nil))
	says(t, await(t, asked, guard.Pause), pauses, "unknown|"+why)
	c.Implicit = true
	unasked := run(t, guard.New(quick(c), as(t, dsn), nil))
	await(t, unasked, guard.Go)
	if r := reading(t, unasked, off); !strings.Contains(r.Off, why) || r.Unknown != "" {
		t.Errorf("nobody asked: %+v, want it off with the reason", r)
	}
	return unasked
}

// A signal that the role may not read from the start is unknown if it was asked for,
// and otherwise off, with the reason.
func TestPrivilegeMissing(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	role := db.Role(t, "reader")
	unasked := refused(t, db.As(role), sessions(), "replica_lag", "oldest_transaction", "it needs pg_read_all_stats")
	db.Exec(t, "GRANT pg_read_all_stats TO "+role)
	until(t, unasked, "reading of what may be read now", func() bool {
		return reading(t, unasked, "oldest_transaction").Value != nil
	})
}

// On a hardened server, implicit guards that the role may not read are off, whichever
// function refuses.
func TestFunctionRevoked(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, "REVOKE EXECUTE ON FUNCTION pg_control_checkpoint() FROM PUBLIC")
	role := db.Role(t, "reader")
	c := guard.Config{Checkpoint: levels(none, 1000, none), WALBacklog: levels(none, 1<<50, none)}
	refused(t, db.As(role), c, "wal_backlog", "checkpoint", "permission denied for function pg_control_checkpoint")
}

// A managed server that refuses to list pg_wal even to a privileged role gets the upper
// bound.
func TestListingRefused(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `ALTER FUNCTION pg_catalog.pg_ls_waldir() RENAME TO pg_ls_waldir_of_postgres;
		CREATE FUNCTION pg_catalog.pg_ls_waldir(OUT name text, OUT size bigint, OUT modification timestamptz) RETURNS SETOF record LANGUAGE plpgsql AS
			$$ BEGIN RAISE insufficient_privilege USING MESSAGE = 'permission denied for function pg_ls_waldir'; END $$`)
	c := guard.Config{WALBacklog: levels(none, 1<<50, none)}
	c.Storage = guard.Storage{Signal: levels(none, 1, none), Limit: 1 << 50}
	w := run(t, guard.New(quick(c), db.Pool(t, control), nil))
	says(t, await(t, w, guard.Pause), "storage", "database and WAL take|with an upper bound for the WAL")
	if r := reading(t, w, "wal_backlog"); r.State != guard.Go || r.Unknown != "" {
		t.Errorf("wal_backlog: %+v, want it known", r)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, queueTable)
	role := db.Role(t, "reader")
	c := sessions()
	c.WALBacklog = levels(none, 1<<40, none)
	c.DeadRows.Vacuuming = guard.Slow
	c.Custom = queue(guard.Signal{Levels: levels(none, 1, none).Levels, Ignore: true}, false).Custom
	describe := func(c guard.Config) []string {
		var lines []string
		for _, p := range guard.Check(t.Context(), as(t, db.As(role)), quick(c)) {
			lines = append(lines, p.Guard+": "+p.Text+" | "+p.Fix)
			if stops := p.Guard == "oldest_transaction" || p.Guard == "replica_lag"; p.Stops != stops {
				t.Errorf("%s: stops is %v", p.Guard, p.Stops)
			}
		}
		return lines
	}
	want := []string{
		"replica_lag: the guard replica_lag cannot be read: this role may not see replication lag; it needs pg_read_all_stats; purges would pause" +
			" | GRANT pg_read_all_stats TO " + role + "; -- or set replica_lag: off",
		"oldest_transaction: the guard oldest_transaction cannot be read: this role may not see the transactions of other roles; it needs pg_read_all_stats; purges would pause" +
			" | GRANT pg_read_all_stats TO " + role + "; -- or set oldest_transaction: off",
		"queue_depth: the guard queue_depth cannot be read: permission denied for table queue (42501); it is ignored, because of unknown: ignore | fix its query, or set unknown: ignore for it",
		": this role may not list pg_wal: the upper bound that the server may keep is used as its size, and growth beyond max_wal_size goes unnoticed" +
			" | GRANT pg_monitor TO " + role + ";",
	}
	if got := describe(c); !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	c.Implicit, c.Custom = true, nil
	want = []string{": not watched, because this role may not read them: replica_lag, oldest_transaction | GRANT pg_monitor TO " + role + "; -- or add a guards section that turns them off"}
	if got := describe(c); !slices.Equal(got, want) {
		t.Errorf("nobody asked:\ngot\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, name := range guard.Grants(c, db.Int(t, "SELECT current_setting('server_version_num')::int")) {
		db.Exec(t, "GRANT "+name+" TO "+role)
	}
	db.Exec(t, "GRANT SELECT ON queue TO "+role)
	c = sessions()
	c.WALBacklog = levels(none, 1<<40, none)
	c.Custom = queue(levels(none, 1, none), false).Custom
	if got := describe(c); len(got) > 0 {
		t.Errorf("with the grants: %q, want nothing", got)
	}
}

func TestGrants(t *testing.T) {
	t.Parallel()
	wal := guard.Config{WALBacklog: levels(none, 1, none)}
	stored := guard.Config{Storage: guard.Storage{Signal: levels(none, 1, none), Limit: 2}}
	free := guard.Config{Storage: guard.Storage{Signal: levels(none, 1, none), Free: guard.Query{SQL: "SELECT 2"}}}
	for _, c := range []struct {
		name    string
		config  guard.Config
		version int
		want    []string
	}{
		{"nothing is watched", guard.Config{}, 170000, nil},
		{"what anybody may read", guard.Config{Connections: levels(none, 1, none), LockWaits: levels(none, 1, none)}, 170000, nil},
		{"sessions", sessions(), 170000, []string{"pg_read_all_stats"}},
		{"vacuum", guard.Config{DeadRows: guard.DeadRows{Vacuuming: guard.Slow}}, 170000, []string{"pg_read_all_stats"}},
		{"the WAL's size", wal, 170000, []string{"pg_monitor"}},
		{"the storage", stored, 150000, []string{"pg_monitor", "pg_checkpoint"}},
		{"what is free", free, 150000, []string{"pg_checkpoint"}},
		{"before there was a role for checkpoints", stored, 140000, []string{"pg_monitor"}},
		{"checkpoints, which are read and not asked for", guard.Config{Checkpoint: levels(none, 1, none)}, 150000, nil},
	} {
		if got := guard.Grants(c.config, c.version); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
