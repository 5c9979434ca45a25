//go:build !linux

package main

import "errors"

var errNotLinux = errors.New("volumes need Linux's tmpfs")

// volume exists on Linux only.
type volume struct{ dir string }

func mayMount() error { return errNotLinux }

func mount(int64) (*volume, error) { return nil, errNotLinux }

func (*volume) resize(int64) error { return errNotLinux }

func (*volume) space() (size, free int64, err error) { return 0, 0, errNotLinux }

func (*volume) unmount() error { return errNotLinux }
