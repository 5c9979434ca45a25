package pgtemp_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/internal/pgtemp"
)

// fake creates empty programs in dir.
func fake(t *testing.T, dir string, names ...string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFindGiven(t *testing.T) {
	dir := t.TempDir()
	fake(t, dir, "initdb")
	_, err := pgtemp.Find(dir)
	if _, ok := errors.AsType[*pgtemp.NotFoundError](err); !ok {
		t.Fatalf("%v, want a NotFoundError for a directory without postgres", err)
	}
	for _, remedy := range []string{dir, "apt-get install postgresql", "make postgres"} {
		if !strings.Contains(err.Error(), remedy) {
			t.Errorf("%q does not name %q", err, remedy)
		}
	}
	fake(t, dir, "postgres")
	if got, err := pgtemp.Find(dir); got != dir || err != nil {
		t.Errorf("%q, %v, want %q", got, err, dir)
	}
}

// A link in PATH is followed to the directory of the other binaries.
func TestFindInPath(t *testing.T) {
	target, links := t.TempDir(), t.TempDir()
	fake(t, target, "initdb", "postgres")
	if err := os.Symlink(filepath.Join(target, "initdb"), filepath.Join(links, "initdb")); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", links)
	got, err := pgtemp.Find("")
	if want, _ := filepath.EvalSymlinks(target); got != want || err != nil {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
}
