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

// Process is a server program that runs in the foreground as our child and dies with us.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error // of Wait; set before done is closed
}

// Run starts cmd in its own process group, so that Ctrl-C reaches us and not it, and as an
// ordinary user if we are root, because neither PostgreSQL nor PgBouncer run as root. Unless
// detached, the kernel sends it SIGQUIT when we die (Linux only).
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
		// By "parent" the kernel means the thread, not the process: if this thread ended before us,
		// the child would too. Ending a locked goroutine ends its thread, here after the child.
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

// Pid returns the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Done is closed when the child has exited.
func (p *Process) Done() <-chan struct{} { return p.done }

// Stop sends the signal and waits; a child that outlives the grace period is killed, which is
// an error.
func (p *Process) Stop(sig os.Signal, grace time.Duration) error {
	_ = p.cmd.Process.Signal(sig) // it may have exited already; Wait knows
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	_ = p.cmd.Process.Kill()
	<-p.done
	return fmt.Errorf("stopping %s: it did not exit on %v within %v and was killed: %w", p.cmd.Path, sig, grace, p.err)
}

// runAs is the user that servers run as, or "" for ourselves.
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

// unprivileged makes cmd run as runAs.
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
