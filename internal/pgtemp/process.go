package pgtemp

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// Process is a server program run in the foreground, as a child of ours that
// dies with us.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; set before done is closed
}

// Run starts cmd in a process group of its own, so that Ctrl-C in a terminal
// reaches us and not it, and as an ordinary user when we are root: neither
// PostgreSQL nor PgBouncer run as root. Unless it is detached, the kernel
// sends it SIGQUIT when we die (Linux only).
func Run(cmd *exec.Cmd, detach bool) (*Process, error) {
	if err := unprivileged(cmd); err != nil {
		return nil, err
	}
	if detach {
		cmd.SysProcAttr.Setsid = true
	} else {
		cmd.SysProcAttr.Setpgid = true
		dieWithParent(cmd.SysProcAttr)
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel means the thread, not the process, when it says parent:
		// were this thread to end before us, the child would too. Ending the
		// goroutine while it is locked ends the thread, after the child's.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Pid is the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the child has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop sends the signal and waits; a child that is still there after the
// grace is killed, which is an error.
func (p *Process) Stop(sig os.Signal, grace time.Duration) error {
	_ = p.cmd.Process.Signal(sig) // it may have ended already; Wait knows
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return fmt.Errorf("stopping %s: %v did not end it within %v, it was killed: %w", p.cmd.Path, sig, grace, p.err)
}

// runAs is the user that servers run as, or empty when that is ourselves.
func runAs() string {
	if os.Geteuid() != 0 {
		return ""
	}
	for _, name := range []string{"postgres", "nobody"} {
		if _, err := user.Lookup(name); err == nil {
			return name
		}
	}
	return "nobody"
}

// ids looks up the user and group of runAs.
func ids(name string) (uid, gid int, err error) {
	u, err := user.Lookup(name)
	if err != nil {
		return 0, 0, fmt.Errorf("finding an ordinary user to run as: %w", err)
	}
	if uid, err = strconv.Atoi(u.Uid); err == nil {
		gid, err = strconv.Atoi(u.Gid)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("finding an ordinary user to run as: %w", err)
	}
	return uid, gid, nil
}

// unprivileged makes cmd run as runAs says.
func unprivileged(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	name := runAs()
	if name == "" {
		return nil
	}
	uid, gid, err := ids(name)
	if err != nil {
		return err
	}
	cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}
