// Command reaper deletes expired rows of a multi-tenant PostgreSQL by policy.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/mistake"
	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/policy"
)

// Exit codes that are not the status of a purge.
const (
	exitOK         = 0
	exitFailed     = 1
	exitUsage      = 2
	exitIncomplete = 3
	exitRefused    = 4
)

// The garbage collector may let the heap grow to three times what is in use, since batches of many
// tenants allocate much that lives briefly, but not beyond heapLimit as long as less is in use:
// reading a catalog of thousands of tables takes less than 64 MiB. GOGC and GOMEMLIMIT override
// these.
const (
	gcPercent = 200
	heapLimit = 40 << 20
)

func main() {
	if os.Getenv("GOGC") == "" && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(gcPercent)
		debug.SetMemoryLimit(heapLimit)
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program; it returns the exit code.
func run(args []string, stdin *os.File, stdout *os.File, stderr io.Writer) int {
	// The first signal ends a read-only command at once, and a purge after the current batch; the
	// second ends the purge too.
	ctx, kill := context.WithCancel(context.Background())
	defer kill()
	stopping, stop := context.WithCancel(ctx)
	defer stop()
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

	// A safety net below the escaping of individual values.
	out, messages := terminal.NewWriter(stdout), terminal.NewWriter(stderr)
	a := &app{stdin: stdin, stdout: out, stderr: messages, terminal: terminal.IsTerminal(stdin), running: ctx}
	code := a.run(stopping, args)
	if err := out.Flush(); err != nil && code != exitUsage {
		fmt.Fprintln(messages, "reaper: writing the output: "+visible.Text(cause(err)))
		code = exitFailed
	}
	if err := messages.Flush(); err != nil && code == exitOK {
		return exitFailed
	}
	return code
}

// cause is why a file could not be written, without the call that failed.
func cause(err error) string {
	if path, ok := errors.AsType[*os.PathError](err); ok {
		return path.Err.Error()
	}
	return err.Error()
}

// run runs one command and returns the exit code.
func (a *app) run(ctx context.Context, args []string) int {
	root, err := a.command()
	if err != nil {
		err = usage(err)
	}
	asked, records := a.asksFor(args)
	a.document, a.records = asked, records
	answer := &answer{Writer: visible.NewJSONWriter(a.stdout)}
	if asked {
		a.stdout = answer
	}
	if err == nil {
		root.SetArgs(args)
		root.SetOut(a.stdout)
		root.SetErr(a.stderr)
		if err = root.ExecuteContext(ctx); err != nil {
			err = mistake.Command(root, err)
		}
	}
	if err == nil {
		return exitOK
	}
	code, text, prefix := ending(ctx, err)
	switch {
	case text == "":
	case a.records:
		a.recorder().Error("reaper ends", "exit_code", code, "error", visible.Text(text))
	default:
		fmt.Fprintln(a.stderr, prefix+shown(err, text))
	}
	if asked && !answer.begun {
		if err := a.printJSON(map[string]string{"error": text}); err != nil {
			return exitFailed
		}
	}
	return code
}

// ending returns how a failed command ends: its exit code, and the message; "" if everything was
// printed already.
func ending(ctx context.Context, err error) (code int, text, prefix string) {
	prefix = "reaper: "
	var exit *exitError
	var position *policy.Error
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitIncomplete, "interrupted by a signal", prefix
	case errors.As(err, &position): // FILE:LINE:COLUMN comes first, where editors look for it
		return exitUsage, err.Error(), ""
	case errors.As(err, &exit) && exit.err == nil:
		return exit.code, "", prefix
	case errors.As(err, &exit):
		return exit.code, exit.err.Error(), prefix
	}
	return exitUsage, err.Error(), prefix // cobra's own: an unknown command or flag
}

// shown is an error text made safe for a terminal: on one line, unless it is a log.
func shown(err error, text string) string {
	if exit, ok := errors.AsType[*exitError](err); ok && exit.lines {
		return text
	}
	return visible.Text(text)
}

// exitError ends the program with a specific exit code; err is nil if everything was printed
// already.
type exitError struct {
	code  int
	err   error
	lines bool // the text has several lines
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
