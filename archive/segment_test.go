package archive_test

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"github.com/reaperdb/reaper/archive"
)

var (
	mails  = archive.Name{Schema: "public", Name: "mails"}
	events = archive.Name{Schema: "public", Name: `odd "name"/`}
)

func manifest() archive.Manifest {
	return archive.Manifest{
		Run: "0197-run", Policy: "emails", Root: mails, RootKey: []string{"id"},
		Started: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), Database: "app", ServerVersion: "15.18",
	}
}

func mailTable() archive.Table {
	return archive.Table{
		Name: mails, Kind: archive.Deleted, Key: []string{"id"}, DDL: "CREATE TABLE public.mails (id bigint, subject text);",
		Columns: []archive.Column{{Name: "id", Type: "bigint"}, {Name: "subject", Type: "text"}},
	}
}

func eventTable() archive.Table {
	return archive.Table{
		Name: events, Kind: archive.Emptied, Key: []string{"id"}, Emptied: []archive.Left{{Column: "mail_id"}},
		Columns: []archive.Column{{Name: "id", Type: "bigint"}, {Name: "mail_id", Type: "bigint"}},
	}
}

func open(t *testing.T, c archive.Config) *archive.Archive {
	t.Helper()
	c.Spool = t.TempDir()
	a, err := archive.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, err := os.ReadDir(c.Spool); err != nil || len(left) != 0 {
			t.Errorf("the spool holds %v, %v", left, err)
		}
	})
	return a
}

// sent sends a segment of two tables, one of which goes on after the other.
func sent(t *testing.T, a *archive.Archive, m archive.Manifest) archive.Object {
	t.Helper()
	s, err := a.Begin(m)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Discard()
	for _, rows := range []struct {
		table archive.Table
		text  string
	}{{mailTable(), "1\ta\\nb\n2\t\\N\n"}, {eventTable(), "7\t1\n"}, {mailTable(), "3\t\n"}} {
		w, err := s.Table(rows.table)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, rows.text); err != nil {
			t.Fatal(err)
		}
	}
	o, err := s.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s.Size() <= 0 || s.Size() > o.Bytes {
		t.Errorf("%d bytes spooled, %d sent", s.Size(), o.Bytes)
	}
	return o
}

func TestSegment(t *testing.T) {
	t.Parallel()
	identity, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	for name, recipients := range map[string][]string{"plain": nil, "encrypted": {identity.Recipient().String()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			folder := t.TempDir()
			a := open(t, archive.Config{URL: "file://" + folder + "/deep/er", Recipients: recipients})
			o := sent(t, a, manifest())
			f, err := os.Open(filepath.Join(folder, "deep/er", o.Name))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			var from io.Reader = f
			if recipients != nil {
				if from, err = age.Decrypt(f, identity); err != nil {
					t.Fatal(err)
				}
			}
			files := untar(t, from)
			var m archive.Manifest
			if err := json.Unmarshal([]byte(files["manifest.json"]), &m); err != nil {
				t.Fatal(err)
			}
			if len(m.Tables) != 2 || m.Tables[0].Rows != 3 || m.Tables[1].Rows != 1 {
				t.Fatalf("tables: %+v", m.Tables)
			}
			if got, want := files[m.Tables[0].File], "1\ta\\nb\n2\t\\N\n3\t\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if got, want := files[m.Tables[1].File], "7\t1\n"; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			if !strings.Contains(files["schema.sql"], "CREATE TABLE public.mails") {
				t.Errorf("schema.sql: %s", files["schema.sql"])
			}
		})
	}
}

func untar(t *testing.T, from io.Reader) map[string]string {
	t.Helper()
	z, err := zstd.NewReader(from)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(content)
	}
}

// The spool knows no more of a segment once it is discarded, sent or not.
func TestSegment_Discarded(t *testing.T) {
	t.Parallel()
	a := open(t, archive.Config{URL: "file://" + t.TempDir()})
	s, err := a.Begin(manifest())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Table(mailTable()); err != nil {
		t.Fatal(err)
	}
	s.Discard()
	s.Discard()
	if _, err := s.Send(t.Context()); err == nil {
		t.Error("a discarded segment was sent")
	}
	if _, err := s.Table(mailTable()); err == nil {
		t.Error("a discarded segment took a table")
	}
}

// Whatever the policy file takes as a policy's name can be part of an object's.
func TestSegment_PolicyName(t *testing.T) {
	t.Parallel()
	a := open(t, archive.Config{URL: "file://" + t.TempDir()})
	m := manifest()
	m.Policy = "-x-"
	sent(t, a, m)
	if all := entries(t, a, ""); len(all) != 1 || all[0].Policy != "-x-" {
		t.Errorf("the archive has %+v", all)
	}
}

// The spool is not encrypted. Nothing of it outlives the process, however that ends.
func TestSegment_SpoolHasNoName(t *testing.T) {
	t.Parallel()
	spool := t.TempDir()
	a := must(archive.Open(archive.Config{URL: "file://" + t.TempDir(), Spool: spool}))
	s, err := a.Begin(manifest())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Discard()
	for _, table := range []archive.Table{mailTable(), eventTable(), mailTable()} {
		w, err := s.Table(table)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, "1\ta\n"); err != nil {
			t.Fatal(err)
		}
	}
	o, err := s.Send(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if again, err := s.Send(t.Context()); err != nil || again != o {
		t.Errorf("sent again: %+v, %v", again, err)
	}
	if err := filepath.WalkDir(spool, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			t.Errorf("the spool has %s", path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// No name of an object tells a tenant.
func TestSegment_Tenant(t *testing.T) {
	t.Parallel()
	a := open(t, archive.Config{URL: "file://" + t.TempDir(), Secret: []byte("secret")})
	m := manifest()
	tenant := "acme"
	m.Tenant = &tenant
	o := sent(t, a, m)
	hash, err := a.TenantHash(tenant)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(o.Name, "/"+hash+"/") || strings.Contains(o.Name, tenant) {
		t.Errorf("name %s, hash %s", o.Name, hash)
	}
	if other := open(t, archive.Config{URL: "file:///x", Secret: []byte("other")}); hash == must(other.TenantHash(tenant)) {
		t.Error("the hash does not depend on the secret")
	}
	if _, err := open(t, archive.Config{URL: "file:///x"}).Begin(m); err == nil {
		t.Error("a tenant was hashed without a secret")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
