package main

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// volume is an in-memory file system with a fixed size.
type volume struct{ dir string }

// mayMount returns why no volume can be mounted here, or nil.
func mayMount() error {
	v, err := mount(1 << 20)
	if err != nil {
		return err
	}
	return v.unmount()
}

// mount creates a volume of the given size.
func mount(bytes int64) (*volume, error) {
	dir, err := os.MkdirTemp("", "reaper-volume-")
	if err != nil {
		return nil, fmt.Errorf("creating a volume: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes)); err != nil {
		return nil, errors.Join(fmt.Errorf("mounting a tmpfs: %w", err), os.Remove(dir))
	}
	return &volume{dir: dir}, nil
}

// resize changes the size; the contents must fit.
func (v *volume) resize(bytes int64) error {
	if err := syscall.Mount("tmpfs", v.dir, "tmpfs", syscall.MS_REMOUNT, fmt.Sprintf("size=%d", bytes)); err != nil {
		return fmt.Errorf("resizing the volume: %w", err)
	}
	return nil
}

// space returns the total and the free bytes.
func (v *volume) space() (size, free int64, err error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(v.dir, &s); err != nil {
		return 0, 0, fmt.Errorf("reading the volume's free space: %w", err)
	}
	return int64(s.Blocks) * s.Bsize, int64(s.Bavail) * s.Bsize, nil
}

// unmount removes the volume with its contents. A process with a file open there keeps the
// memory but not the mount.
func (v *volume) unmount() error {
	if err := syscall.Unmount(v.dir, syscall.MNT_DETACH); err != nil {
		return fmt.Errorf("unmounting the volume %s: %w", v.dir, err)
	}
	if err := os.Remove(v.dir); err != nil {
		return fmt.Errorf("removing the volume's mount point: %w", err)
	}
	return nil
}
