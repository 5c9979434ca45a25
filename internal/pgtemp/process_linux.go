package pgtemp

import "syscall"

// dieWithParent requests SIGQUIT, PostgreSQL's immediate shutdown, which ends its backends too.
func dieWithParent(attr *syscall.SysProcAttr) { attr.Pdeathsig = syscall.SIGQUIT }
