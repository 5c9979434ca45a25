package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What reaper grants --restore prints is what restoring needs, and no more: without any of it, nothing
// comes back.
func TestGrants_Restore(t *testing.T) {
	t.Parallel()
	x := newArchived(t)
	x.Exec(t, `
		CREATE TABLE note (id int PRIMARY KEY, doc_id bigint REFERENCES doc ON DELETE SET NULL, text text);
		CREATE INDEX ON note (doc_id);
		REVOKE ALL ON SCHEMA public FROM public`)
	x.Exec(t, `DO $$ BEGIN EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM public', current_database()); END $$`)
	x.policy = fmt.Sprintf("version: 1\narchive: {url: 'file://%s', encryption: none, keep: 30d}\ntenants: {table: org, key: id, default: 30d}\npolicies: [{name: docs, table: doc, age: at, archive: true}]\n", t.TempDir())
	x.Exec(t, `INSERT INTO doc SELECT n, 1, '2001-01-01' FROM generate_series(1, 2) n; INSERT INTO part SELECT 10 * n, n FROM generate_series(1, 2) n; INSERT INTO note SELECT n, n, 'x' FROM generate_series(1, 2) n`)
	rows := func() (all []string) {
		for _, table := range []string{"org", "doc", "part", "note"} {
			all = append(all, x.Texts(t, "SELECT '"+table+"' || x::text FROM "+table+" x ORDER BY 1")...)
		}
		return all
	}
	before := rows()
	x.reaper(0, "purge", "--yes")
	run := x.Text(t, "SELECT run_id::text FROM reaper.runs WHERE rows_total > 0")
	if x.Int(t, "SELECT count(*) FROM doc") != 0 || x.Int(t, "SELECT count(doc_id) FROM note") != 0 {
		t.Fatal("the purge left something")
	}

	role := x.Role(t, "restorer")
	var needed []string
	for line := range strings.Lines(x.reaper(0, "grants", "--restore", "--role", role)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "--") {
			needed = append(needed, line)
		}
	}
	if slices.ContainsFunc(needed, func(s string) bool { return strings.Contains(s, "DELETE") || strings.Contains(s, "SUPERUSER") }) {
		t.Errorf("not needed: %s", strings.Join(needed, "\n"))
	}
	x.Exec(t, strings.Join(needed, "\n"))
	restore := func() (int, string) {
		cmd := program(t, x.As(role), "restore", "--yes", "--run", run)
		write(t, cmd.Dir, x.policy)
		out, err := cmd.CombinedOutput()
		return exitCode(t, err), string(out)
	}
	for _, grant := range needed {
		revoke := strings.Replace(strings.Replace(grant, "GRANT ", "REVOKE ", 1), " TO ", " FROM ", 1)
		x.Exec(t, revoke)
		if code, out := restore(); code == 0 || x.Int(t, "SELECT count(*) FROM doc") != 0 {
			t.Errorf("it restores after %s: exit %d\n%s", revoke, code, out)
			x.Exec(t, "DELETE FROM part; UPDATE note SET doc_id = NULL; DELETE FROM doc")
		}
		x.Exec(t, grant)
	}
	if code, out := restore(); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	if d := cmp.Diff(before, rows()); d != "" {
		t.Error(d)
	}
	x.policy = strings.Replace(x.policy, ", archive: true", "", 1)
	x.says("no policy of the file has archive: true", 2, "grants", "--restore", "--role", role)
}
