package daemon

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/policy"
)

// Copies that are older than archive.keep are removed, at most every six hours; younger ones stay.
func TestPruneArchive(t *testing.T) {
	t.Parallel()
	url := "file://" + filepath.ToSlash(t.TempDir())
	file, err := policy.Parse("reaper.yaml", []byte(`
version: 1
tenants: {table: orgs, key: id, default: 30d}
archive: {url: "`+url+`", encryption: none, keep: 30d}
policies:
  - {name: mails, table: mails, age: at, archive: true}
  - {name: notes, table: notes, age: at}`))
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.Open(archive.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	s, err := a.Begin(archive.Manifest{Run: "01a2221f-b91a-7dba-8c21-03ac4231d202", Policy: "mails", Root: archive.Name{Schema: "public", Name: "mails"}, RootKey: []string{"id"}, Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Discard()
	if _, err := s.Send(t.Context()); err != nil {
		t.Fatal(err)
	}
	segments := func() (n int) {
		for _, err := range a.Entries(t.Context(), "") {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	log := &logbook{}
	d := &Daemon{Config: Config{Log: log.logger()}}
	tomorrow := policy.Duration{Days: -1} // everything is older than that
	for _, step := range []struct {
		name   string
		keep   policy.Duration
		policy int
		again  bool // as if six hours had passed
		want   int
	}{
		{"young", file.Archive.Keep, 0, false, 1},
		{"too soon", tomorrow, 0, false, 1},
		{"without an archive", tomorrow, 1, true, 1},
		{"kept forever", policy.Duration{Forever: true}, 0, true, 1},
		{"old", tomorrow, 0, true, 0},
	} {
		if step.again {
			d.pruning.at = nil
		}
		file.Archive.Keep = step.keep
		d.pruneArchive(t.Context(), file, &file.Policies[step.policy])
		if n := segments(); n != step.want {
			t.Errorf("%s: %d segments, want %d", step.name, n, step.want)
		}
	}
	log.says(t, "copies removed from the archive", 1)
	log.says(t, "will retry", 0)
}
