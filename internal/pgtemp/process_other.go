//go:build !linux

package pgtemp

import "syscall"

// dieWithParent does nothing: only Linux can. Stop ends the server, a crash of
// ours leaves it behind.
func dieWithParent(*syscall.SysProcAttr) {}
