package archive_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/archive"
)

func TestFile(t *testing.T) {
	t.Parallel()
	testStore(t, "file://"+t.TempDir()+"/with space/and%25percent")
}

// testStore does with a store all that an archive does.
func testStore(t *testing.T, url string) {
	t.Helper()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	a := open(t, archive.Config{URL: url, Recipients: []string{identity.Recipient().String()}, Identities: []age.Identity{identity}, Secret: []byte("x")})
	if err := a.Try(t.Context()); err != nil {
		t.Fatal(err)
	}
	if all := entries(t, a, ""); len(all) != 0 {
		t.Fatalf("an empty archive has %+v", all)
	}
	tenant := "acme"
	other := manifest()
	other.Run, other.Tenant = "0198-run", &tenant
	first, second := sent(t, a, manifest()), sent(t, a, other)
	list := archive.List{Run: "0198-run", Policy: "emails", Seq: 3, At: time.Now().UTC(), Roots: []archive.Root{{Key: []string{"1"}, Tenant: &tenant}}}
	for range 2 {
		if err := a.WriteList(t.Context(), second, list); err != nil {
			t.Fatal(err)
		}
	}
	list.Seq = 14
	if err := a.WriteList(t.Context(), second, list); err != nil {
		t.Fatal(err)
	}
	if err := a.WriteList(t.Context(), first, list); err == nil {
		t.Error("a list was written beside the segment of another run")
	}

	if all := entries(t, a, ""); len(all) != 2 || len(all[0].Lists) != 0 || all[0].Run != "0197-run" {
		t.Fatalf("the archive has %+v", all)
	}
	of := entries(t, a, "0198-run")
	if len(of) != 1 || of[0].Segment.Name != second.Name || of[0].Segment.Bytes != second.Bytes || len(of[0].Lists) != 2 || of[0].TenantHash != must(a.TenantHash(tenant)) {
		t.Fatalf("the run has %+v", of)
	}
	list.Segment = second
	list.Seq = 14
	got, err := a.ReadList(t.Context(), of[0].Lists[0])
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(list, got); d != "" {
		t.Error(d)
	}
	c, err := a.Fetch(t.Context(), second)
	if err != nil {
		t.Fatal(err)
	}
	if text := rowsOf(t, c, &c.Tables[0]); text != "1\ta\\nb\n2\t\\N\n3\t\n" {
		t.Errorf("rows: %q", text)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	checkLocked(t, url, second)
	checkPrune(t, a, second)
}

func checkLocked(t *testing.T, url string, o archive.Object) {
	t.Helper()
	stranger, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for _, identities := range [][]age.Identity{nil, {stranger}} {
		_, err := open(t, archive.Config{URL: url, Identities: identities}).Fetch(t.Context(), o)
		if _, locked := errors.AsType[*archive.LockedError](err); !locked || !strings.Contains(err.Error(), "--identity") {
			t.Errorf("with %d identities of others: %v", len(identities), err)
		}
	}
}

func checkPrune(t *testing.T, a *archive.Archive, one archive.Object) {
	t.Helper()
	if removed, err := a.Prune(t.Context(), time.Now().Add(-time.Hour)); err != nil || len(removed) != 0 {
		t.Fatalf("young segments were pruned: %+v, %v", removed, err)
	}
	if removed, err := a.Prune(t.Context(), time.Now().Add(time.Hour)); err != nil || len(removed) != 2 {
		t.Fatalf("pruned: %+v, %v", removed, err)
	}
	if all := entries(t, a, ""); len(all) != 0 {
		t.Fatalf("after pruning, the archive has %+v", all)
	}
	if _, err := a.Fetch(t.Context(), one); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a pruned segment: %v", err)
	}
}

func entries(t *testing.T, a *archive.Archive, run string) []*archive.Entry {
	t.Helper()
	var all []*archive.Entry
	for e, err := range a.Entries(t.Context(), run) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, e)
	}
	return all
}

func rowsOf(t *testing.T, c *archive.Copy, f *archive.File) string {
	t.Helper()
	from, err := c.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	text, err := os.ReadFile(from.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// Whatever happens to an object is found, and named.
func TestFetch_Damaged(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]archive.Config{
		"plain":     {},
		"encrypted": {Recipients: []string{identity.Recipient().String()}, Identities: []age.Identity{identity}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			c.URL = "file://" + folder
			a := open(t, c)
			o := sent(t, a, manifest())
			path := filepath.Join(folder, o.Name)
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			unknown := archive.Object{Name: o.Name}
			damaged := func(what string, content []byte, o archive.Object) {
				t.Helper()
				if err := os.WriteFile(path, content, 0o600); err != nil {
					t.Fatal(err)
				}
				_, err := a.Fetch(t.Context(), o)
				if _, is := errors.AsType[*archive.DamagedError](err); !is || !strings.Contains(err.Error(), o.Name) {
					t.Errorf("%s: %v", what, err)
				}
			}
			for n := 0; n < len(whole); n += 7 {
				damaged("truncated", whole[:n], unknown)
				edited := append([]byte(nil), whole...)
				edited[n] ^= 0x40
				damaged("edited", edited, o)
			}
			damaged("longer", append(append([]byte(nil), whole...), 'x'), o)
			damaged("another segment", must(os.ReadFile(filepath.Join(folder, sent(t, a, func() archive.Manifest { m := manifest(); m.Database = "other"; return m }()).Name))), o)
		})
	}
}

// Without the list's SHA-256, an edit that keeps zstd and tar whole is found by the manifest.
func TestFetch_Manifest(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	a := open(t, archive.Config{URL: "file://" + folder})
	o := sent(t, a, manifest())
	path := filepath.Join(folder, o.Name)
	script := "set -e; d=$(mktemp -d); cd $d; zstd -qdc " + path + " | tar x; echo 4 >> 001.deleted.public.mails.copy; tar c manifest.json schema.sql *.copy | zstd -qc > " + path + "; rm -r $d"
	run(t, "bash", "-c", script)
	_, err := a.Fetch(t.Context(), archive.Object{Name: o.Name})
	if err == nil || !strings.Contains(err.Error(), "001.deleted.public.mails.copy: it has 4 rows") {
		t.Error(err)
	}
}

// What is no file of its own is no object: a link could lead out of the folder.
func TestFile_Link(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	a := open(t, archive.Config{URL: "file://" + folder})
	o := sent(t, a, manifest())
	path := filepath.Join(folder, o.Name)
	outside := filepath.Join(t.TempDir(), "outside")
	if err := errors.Join(os.Rename(path, outside), os.Symlink(outside, path)); err != nil {
		t.Fatal(err)
	}
	if all := entries(t, a, ""); len(all) != 0 {
		t.Errorf("a link was listed: %+v", all)
	}
}
