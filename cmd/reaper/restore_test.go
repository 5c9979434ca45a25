package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/dbtest"
)

// What a purge deletes and empties comes back: a reference that is emptied in part, and what went by
// conditions of the policy file, one of which needs the role's own search_path.
func TestRestore_Purged(t *testing.T) {
	t.Parallel()
	part := ""
	db := dbtest.New(t, `
		CREATE TABLE org (id int PRIMARY KEY);
		CREATE TABLE doc (org_id int REFERENCES org, no int, at timestamptz NOT NULL, PRIMARY KEY (org_id, no));
		CREATE TABLE pin (id int PRIMARY KEY, org int, doc int);
		CREATE TABLE note (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text, doc int);
		CREATE FUNCTION same(text) RETURNS boolean LANGUAGE sql STABLE AS $$SELECT $1 = 'Doc'$$;
		CREATE FUNCTION is_doc(text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$BEGIN RETURN same($1); END$$;
		CREATE INDEX ON doc (org_id, at, no); CREATE INDEX ON pin (org, doc); CREATE INDEX ON note (doc);
		INSERT INTO org VALUES (1), (2);
		INSERT INTO doc SELECT 1 + n % 2, n, '2001-01-01' FROM generate_series(1, 6) n;
		INSERT INTO doc VALUES (1, 7, now());
		INSERT INTO pin SELECT no, org_id, no FROM doc;
		INSERT INTO note (kind, doc) SELECT k, no FROM doc, unnest(ARRAY['Doc', 'Other']) k`)
	if db.Int(t, `SELECT current_setting('server_version_num')::int`) >= 150000 {
		part = " (doc)"
	}
	db.Exec(t, "ALTER TABLE pin ADD FOREIGN KEY (org, doc) REFERENCES doc ON DELETE SET NULL"+part)
	x := &archived{DB: db, t: t, folder: filepath.Join(t.TempDir(), "archive")}
	x.policy = fmt.Sprintf("version: 1\narchive: {url: 'file://%s', encryption: none, keep: 30d}\ntenants: {table: org, key: id, default: 30d}\n"+
		"policies: [{name: docs, table: doc, age: at, tenant: org_id, archive: true, dependents: [{table: note, match: {doc: no}, where: is_doc(kind), action: delete}]}]\n", x.folder)
	rows := func() (all []string) {
		for _, table := range []string{"org", "doc", "pin", "note"} {
			all = append(all, x.Texts(t, "SELECT '"+table+"' || x::text FROM "+table+" x ORDER BY 1")...)
		}
		return all
	}
	before := rows()
	x.reaper(0, "purge", "--yes")
	if n := x.Int(t, "SELECT count(*) FROM doc"); n != 1 {
		t.Fatalf("%d docs after the purge", n)
	}
	x.loseLists()
	x.says("6 roots restored with 12 rows|6 references set again", 0, "restore", "--yes", "--policy", "docs", "--since", "2020-01-01")
	if d := cmp.Diff(before, rows()); d != "" {
		t.Error(d)
	}
	x.reaper(0, "purge", "--yes")
	if d := cmp.Diff(before, rows()); d != "" {
		t.Errorf("after a purge: %s", d)
	}
}

// loseLists is what is left where a process was killed between a batch's COMMIT and its list.
func (x *archived) loseLists() {
	x.t.Helper()
	var lists []string
	if err := filepath.WalkDir(x.folder, func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, ".json") {
			lists = append(lists, name)
		}
		return err
	}); err != nil || len(lists) == 0 {
		x.t.Fatalf("no lists: %v", err)
	}
	for _, name := range lists {
		content, err := os.ReadFile(name)
		if err == nil {
			err = os.Remove(name)
		}
		if err != nil {
			x.t.Fatal(err)
		}
		var l archive.List
		if err := json.Unmarshal(content, &l); err != nil {
			x.t.Fatal(err)
		}
		x.Exec(x.t, fmt.Sprintf("UPDATE reaper.segment SET list = '%s' WHERE name = '%s'", content, l.Segment.Name))
	}
}

// Rows that could not be held are not restored: the policy would take them again once it is mended.
func TestRestore_Unheld(t *testing.T) {
	t.Parallel()
	x := newArchived(t)
	x.policy = strings.Replace(x.policy, "age: at", "age: then", 1)
	x.says("nothing was touched|could not be held for policy docs|reaper check", 2, "restore", "--yes", "--run", "run-1", "--identity", x.identity)
	if n := x.Int(t, "SELECT count(*) FROM doc"); n != 0 {
		t.Errorf("%d docs came back", n)
	}
	x.says("2 roots restored", 0, "restore", "--run", "run-1", "--identity", x.identity, "--into", "look")
}
