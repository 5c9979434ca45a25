package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/restore"
)

const archiveSchema = `
	CREATE TABLE org (id int PRIMARY KEY);
	CREATE TABLE doc (id bigint PRIMARY KEY, org_id int NOT NULL REFERENCES org, at timestamptz NOT NULL);
	CREATE TABLE part (id bigint PRIMARY KEY, doc_id bigint NOT NULL REFERENCES doc ON DELETE CASCADE);
	INSERT INTO org VALUES (1);
	CREATE INDEX ON doc (org_id, at, id); CREATE INDEX ON part (doc_id)`

// archived is a program beside an archive that has docs 1 and 2, each with a part, of which no row
// is in the database.
type archived struct {
	*dbtest.DB
	t        *testing.T
	folder   string
	identity string // a file
	object   archive.Object
	policy   string
}

func newArchived(t *testing.T) *archived {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	x := &archived{DB: dbtest.New(t, archiveSchema), t: t, folder: filepath.Join(dir, "archive"), identity: filepath.Join(dir, "identity")}
	x.policy = fmt.Sprintf("version: 1\narchive: {url: 'file://%s', encryption: {recipients: [%s]}, keep: 30d}\ntenants: {table: org, key: id, default: 30d}\npolicies: [{name: docs, table: doc, age: at, archive: true}]\n", x.folder, identity.Recipient())
	if err := os.WriteFile(x.identity, []byte(identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, err := archive.Open(archive.Config{URL: "file://" + x.folder, Recipients: []string{identity.Recipient().String()}})
	if err != nil {
		t.Fatal(err)
	}
	x.object = x.send(a)
	return x
}

func (x *archived) send(a *archive.Archive) archive.Object {
	x.t.Helper()
	doc, part := archive.Name{Schema: "public", Name: "doc"}, archive.Name{Schema: "public", Name: "part"}
	s, err := a.Begin(archive.Manifest{
		Run: "run-1", Policy: "docs", Root: doc, RootKey: []string{"id"}, Started: time.Now(), Database: x.Name(), ServerVersion: "15",
		Edges: []archive.Edge{{Parent: doc, Child: part, Kind: archive.Deleted, Compare: []string{`p.id OPERATOR(pg_catalog.=) c.doc_id`}}},
	})
	if err != nil {
		x.t.Fatal(err)
	}
	defer s.Discard()
	for _, f := range []struct {
		name    archive.Name
		columns []archive.Column
		rows    string
	}{
		{doc, []archive.Column{{Name: "id", Type: "bigint"}, {Name: "org_id", Type: "integer"}, {Name: "at", Type: "timestamp with time zone"}}, "1\t1\t2001-01-01 00:00:00+00\n2\t1\t2001-01-01 00:00:00+00\n"},
		{part, []archive.Column{{Name: "id", Type: "bigint"}, {Name: "doc_id", Type: "bigint"}}, "10\t1\n20\t2\n"},
	} {
		w, err := s.Table(archive.Table{Name: f.name, Kind: archive.Deleted, Key: []string{"id"}, Columns: f.columns})
		if err != nil {
			x.t.Fatal(err)
		}
		if _, err := w.Write([]byte(f.rows)); err != nil {
			x.t.Fatal(err)
		}
	}
	o, err := s.Send(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	one := "1"
	if err := a.WriteList(x.t.Context(), o, archive.List{Run: "run-1", Policy: "docs", Seq: 1, At: time.Now(), Roots: []archive.Root{{Key: []string{"1"}, Tenant: &one}, {Key: []string{"2"}, Tenant: &one}}}); err != nil {
		x.t.Fatal(err)
	}
	return o
}

// age makes the names of the objects those of 2021.
func (x *archived) age() {
	x.t.Helper()
	paths, err := filepath.Glob(filepath.Join(x.folder, "run-1/docs/shared/*"))
	if err != nil || len(paths) != 2 {
		x.t.Fatal(paths, err)
	}
	for _, path := range paths {
		dir, name := filepath.Split(path)
		if err := os.Rename(path, dir+"01765432-1000"+name[len("01765432-1000"):]); err != nil {
			x.t.Fatal(err)
		}
	}
}

// reaper runs the program, and returns what it prints.
func (x *archived) reaper(code int, args ...string) string {
	x.t.Helper()
	cmd := program(x.t, x.DSN(), args...)
	write(x.t, cmd.Dir, x.policy)
	out, err := cmd.CombinedOutput()
	if got := exitCode(x.t, err); got != code {
		x.t.Errorf("reaper %s: exit code %d, want %d\n%s", strings.Join(args, " "), got, code, out)
	}
	return string(out)
}

func (x *archived) says(words string, code int, args ...string) {
	x.t.Helper()
	out := x.reaper(code, args...)
	for word := range strings.SplitSeq(words, "|") {
		if !strings.Contains(out, word) {
			x.t.Errorf("reaper %s\ngot %s\nwant %q in it", strings.Join(args, " "), out, word)
		}
	}
}

func TestArchive(t *testing.T) {
	t.Parallel()
	x := newArchived(t)
	x.says("ok", 0, "check")
	x.says("run-1|docs|1", 0, "archive", "list")
	var list struct {
		Runs []struct{ Segments, Lists int }
	}
	if err := json.Unmarshal([]byte(x.reaper(0, "archive", "list", "-o", "json")), &list); err != nil || len(list.Runs) != 1 || list.Runs[0].Segments != 1 || list.Runs[0].Lists != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	x.says("is encrypted|--identity", 2, "archive", "verify")
	x.says("1 segment verified, with 4 rows|1 segment loaded; 0 failures", 0, "archive", "verify", "--load", "--identity", x.identity, "--sample", "5%")
	x.says("needs a command: list, prune, verify", 2, "archive")
	x.says("there is no command archive lost; did you mean archive list?", 2, "archive", "lost")
	x.says("percentage", 2, "archive", "verify", "--sample", "0%")

	// Bad input touches nothing.
	for _, bad := range []struct {
		words string
		args  []string
	}{
		{"--run ID, or --policy NAME and --since", nil},
		{"--policy NAME and --since", []string{"--policy", "docs"}},
		{"one run", []string{"--run", "run-1", "--since", "2020-01-01"}},
		{"2027-03-31", []string{"--policy", "docs", "--since", "yesterday"}},
		{"write fire", []string{"--run", "run-1", "--triggers", "on"}},
		{"the archive holds nothing of it|archive list", []string{"--run", "unknown", "--identity", x.identity}},
		{"is encrypted|--identity", []string{"--run", "run-1"}},
		{"secret key of age", []string{"--run", "run-1", "--identity", "reaper.yaml"}},
	} {
		x.says(bad.words, 2, append([]string{"restore", "--yes"}, bad.args...)...)
	}
	x.says("--yes", 2, "restore", "--run", "run-1", "--identity", x.identity)

	x.says("docs: 1 root of 1 segment|1 root restored with 2 rows", 0, "restore", "--yes", "--run", "run-1", "--identity", x.identity, "--root", "2")
	var report restore.Report
	cmd := program(t, x.DSN(), "restore", "--yes", "--policy", "docs", "--since", "2020-01-01", "--tenant", "1", "--identity", x.identity, "-o", "json")
	write(t, cmd.Dir, x.policy)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := json.Unmarshal(out, &report); err != nil || report.Restored != 1 || report.Present != 1 || report.RowsTotal != 2 {
		t.Errorf("%s, %v", out, err)
	}
	if n := x.Int(t, "SELECT count(*) FROM doc d JOIN part p ON p.doc_id = d.id AND p.id = 10 * d.id"); n != 2 {
		t.Errorf("%d docs came back", n)
	}
	// What came back is held, by row: the next run leaves it.
	if n := x.Int(t, "SELECT count(*) FROM reaper.hold_root"); n != 2 {
		t.Errorf("%d rows are held", n)
	}
	x.says("--hold 0d: write a duration", 2, "restore", "--yes", "--run", "run-1", "--hold", "0d")
	x.says("restored from the archive", 0, "holds")
	x.reaper(0, "purge", "--yes")
	if n := x.Int(t, "SELECT count(*) FROM doc"); n != 2 {
		t.Errorf("%d docs are left by a purge", n)
	}
	x.Exec(t, "UPDATE doc SET at = now() WHERE id = 1")
	x.says("1 root there already; 1 root left|left: 1: a row of", 3, "restore", "--yes", "--run", "run-1", "--identity", x.identity)
	x.says("2 roots restored", 0, "restore", "--run", "run-1", "--identity", x.identity, "--into", "look")
	x.says("has such a table already", 2, "restore", "--run", "run-1", "--identity", x.identity, "--into", "look")

	// A migration, and a pause.
	x.Exec(t, "ALTER TABLE doc DROP org_id CASCADE")
	x.says("cannot be loaded|column \"org_id\" is gone|1 failure", 1, "archive", "verify", "--load", "--identity", x.identity)
	x.says("name its schema too", 2, "restore", "--yes", "--run", "run-1", "--allow-table", "part")
	x.reaper(0, "pause", "--reason", "looking", "--for", "1h")
	x.Exec(t, "ALTER TABLE doc ADD org_id int DEFAULT 1")
	x.says("reaper check says|--allow-table", 2, "restore", "--yes", "--run", "run-1", "--identity", x.identity) // the policy cannot be planned
	x.Exec(t, "ALTER TABLE doc ADD FOREIGN KEY (org_id) REFERENCES org")
	x.Exec(t, "DELETE FROM doc")
	x.says("paused by hand", 3, "restore", "--yes", "--run", "run-1", "--identity", x.identity)

	x.says("0 segments removed (keep: 30d)", 0, "archive", "prune")
	x.age()
	x.says("1 segment removed", 0, "archive", "prune")
	x.says("the archive is empty", 0, "archive", "list")
}

// A truncated object is named, and the others go on; a store that cannot be written is an error of
// check.
func TestArchive_Damaged(t *testing.T) {
	t.Parallel()
	x := newArchived(t)
	if err := os.Truncate(filepath.Join(x.folder, x.object.Name), 100); err != nil {
		t.Fatal(err)
	}
	x.says(x.object.Name+" is damaged|1 failure", 1, "archive", "verify", "--identity", x.identity)
	x.says(x.object.Name+" is damaged", 3, "restore", "--yes", "--run", "run-1", "--identity", x.identity)
	if err := os.RemoveAll(x.folder); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(x.folder, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	x.says("the archive cannot be used: writing a probe", 2, "check")
}
