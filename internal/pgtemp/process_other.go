//go:build !linux

package pgtemp

import "syscall"

// dieWithParent does nothing: only Linux supports it. Stop ends the server; if we crash, it
// keeps running.
func dieWithParent(*syscall.SysProcAttr) {}
