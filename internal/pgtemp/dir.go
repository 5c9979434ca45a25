package pgtemp

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

const (
	dirPattern = "reaper-pg-*"
	lockName   = "owner.lock"
)

// TempDir creates a directory below parent (empty means os.TempDir) for a program started by
// Run, owned by the user it will run as.
func TempDir(parent string) (string, error) {
	dir, err := os.MkdirTemp(parent, dirPattern)
	if err != nil {
		return "", fmt.Errorf("making a directory for the server: %w", err)
	}
	name := runAs()
	if name == "" {
		return dir, nil
	}
	uid, gid, err := ids(name)
	if err == nil {
		err = os.Chown(dir, uid, gid)
	}
	if err != nil {
		return "", errors.Join(fmt.Errorf("making a directory for the server: %w", err), os.Remove(dir))
	}
	return dir, nil
}

// lockDir marks a directory as in use while the returned file is open, at most for the life of
// this process. The lock is taken before the file gets its name, so it is never seen unlocked.
func lockDir(dir string) (*os.File, error) {
	file, err := os.CreateTemp(dir, lockName+"-*")
	if err != nil {
		return nil, fmt.Errorf("locking the server's directory: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(dir, lockName))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the server's directory: %w", err), file.Close())
	}
	return file, nil
}

// sweep removes the directories of servers whose owners were killed: a test that panics or is
// interrupted cannot clean up, and at forty megabytes each they soon fill /tmp. It ignores
// what it may not remove.
func sweep(parent string) {
	if parent == "" {
		parent = os.TempDir()
	}
	dirs, _ := filepath.Glob(filepath.Join(parent, dirPattern))
	for _, dir := range dirs {
		if abandoned(dir) {
			_ = os.RemoveAll(dir)
		}
	}
}

// abandoned reports whether nobody holds the lock and no server runs. A detached server has no
// lock, and is left alone.
func abandoned(dir string) bool {
	file, err := os.OpenFile(filepath.Join(dir, lockName), os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer file.Close()
	if syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	_, err = os.Stat(filepath.Join(dir, "data", "postmaster.pid"))
	return errors.Is(err, fs.ErrNotExist)
}
