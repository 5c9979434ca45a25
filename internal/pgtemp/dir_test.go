package pgtemp

import (
	"os"
	"path/filepath"
	"testing"
)

// Only directories without an owner and a server are removed.
func TestSweep(t *testing.T) {
	t.Parallel()
	parent := t.TempDir()
	newDir := func() string {
		dir, err := TempDir(parent)
		if err != nil {
			t.Fatal(err)
		}
		return dir
	}
	lock := func(dir string) *os.File {
		file, err := lockDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return file
	}
	dead, served, owned, detached := newDir(), newDir(), newDir(), newDir()
	for _, dir := range []string{dead, served} {
		if err := lock(dir).Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(served, "data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(served, "data", "postmaster.pid"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	defer lock(owned).Close()

	sweep(parent)
	for dir, want := range map[string]bool{dead: false, served: true, owned: true, detached: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v, want it kept: %t", dir, err, want)
		}
	}
}
