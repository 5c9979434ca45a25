// Command reaper deletes expired rows of a multi-tenant PostgreSQL by policy.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes of the contract that are not a purge's status.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitRefused = 4
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run is the whole program: it returns the exit code.
func run(args []string, stdin *os.File, stdout *os.File, stderr io.Writer) int {
	// The first signal ends a purge after the batch at hand, the second at once.
	stopping, stop := context.WithCancel(context.Background())
	defer stop()
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		for _, end := range []context.CancelFunc{stop, kill} {
			select {
			case <-signals:
				end()
			case <-ctx.Done():
				return
			}
		}
	}()

	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, stopping: stopping}
	root, err := a.command()
	if err != nil {
		fmt.Fprintln(stderr, "reaper:", err)
		return exitUsage
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err = root.ExecuteContext(ctx)
	var exit *exitError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		if exit.err != nil {
			fmt.Fprintln(stderr, "reaper:", exit.err)
		}
		return exit.code
	default: // cobra's own: an unknown command or flag
		fmt.Fprintln(stderr, "reaper:", err)
		return exitUsage
	}
}

// exitError is an end with a code of its own; err is nil when all has been
// said already.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

func usage(err error) error  { return &exitError{code: exitUsage, err: err} }
func failed(err error) error { return &exitError{code: exitFailed, err: err} }

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usage(fmt.Errorf("%s takes no arguments, only flags: %q; see reaper %s --help", cmd.Name(), args[0], cmd.Name()))
	}
	return nil
}
