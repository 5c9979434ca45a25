//go:build archive

package restore_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/dbtest"
)

// What docs/ARCHIVE.md says of reading a copy without reaper is done, word by word.
func TestByHand(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../docs/ARCHIVE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, script, found := strings.Cut(string(doc), "```sh\n")
	script, _, closed := strings.Cut(script, "```")
	if !found || !closed {
		t.Fatal("docs/ARCHIVE.md has no commands")
	}
	for _, tool := range []string{"age", "zstd", "tar", "psql"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Fatalf("%v: run make archive-tools; make test-archive does, and runs this test", err)
		}
	}
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, hard)
	f.archive, err = archive.Open(archive.Config{URL: "file://" + f.folder, Recipients: []string{identity.Recipient().String()}})
	f.check(err)
	f.Exec(t, `CREATE TABLE "odd ""name"" \" (id int PRIMARY KEY, "a b" text, mail bigint)`)
	f.Exec(t, `INSERT INTO "odd ""name"" \" VALUES (1, E'\\N\t\n''', 1), (2, NULL, 1)`)
	parts := append(hardParts()[:5], part{table: `odd "name" \`, where: "true", key: "id"})
	before := f.rows()
	before["mails"] = f.Texts(t, "SELECT m::text FROM mails m WHERE id > 0 ORDER BY 1")
	delete(before, "threads")
	for i := range parts {
		parts[i].ddl = f.ddl(parts[i])
	}
	o := f.copy("mails", hardEdges, parts)

	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "identity"), []byte(identity.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	fresh := dbtest.New(t)
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "IDENTITY=identity", "SEGMENT="+filepath.Join(f.folder, o.Name), "DATABASE_URL="+fresh.DSN())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	f.DB = fresh
	if d := cmp.Diff(before, f.rows()); d != "" {
		t.Error(d)
	}
}

// ddl makes a table as the purge says it in schema.sql.
func (f *fixture) ddl(p part) string {
	f.t.Helper()
	return f.Text(f.t, `SELECT format('CREATE TABLE public.%I (%s);', $1::text, string_agg(format('%I %s%s', attname, format_type(atttypid, atttypmod),
		CASE WHEN attgenerated = 's' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(adbin, adrelid) || ') STORED' END), ', ' ORDER BY attnum))
		FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum WHERE attrelid = ('public.' || quote_ident($1))::regclass AND attnum > 0`, p.table)
}
