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

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/policy"
)

// The exit codes of the contract that are not a purge's status.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitInterrupted = 3
	exitRefused     = 4
)

// gcPercent is lower than Go's own: a catalog of thousands of tables is read in less than
// 64 MiB, for a little more CPU. GOGC wins.
const gcPercent = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program: it returns the exit code.
func run(args []string, stdin *os.File, stdout *os.File, stderr io.Writer) int {
	// The first signal ends what only looks at once, and a purge after the batch
	// at hand; the second ends the purge too.
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

	// The net below what escapes values one by one.
	out, messages := visible.NewWriter(stdout), visible.NewWriter(stderr)
	a := &app{stdin: stdin, stdout: out, stderr: messages, terminal: isTerminal(stdin), running: ctx}
	if f, ok := stderr.(*os.File); ok && isTerminal(f) {
		a.screen = f
	}
	code := a.run(stopping, args)
	if err := errors.Join(out.Flush(), messages.Flush()); err != nil && code == exitOK {
		return exitFailed
	}
	return code
}

// run carries out one command and gives the exit code.
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
		err = root.ExecuteContext(ctx)
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

// ending is how a command that failed ends: its exit code, and what to say; ""
// when all has been said already.
func ending(ctx context.Context, err error) (code int, text, prefix string) {
	prefix = "reaper: "
	var exit *exitError
	var position *policy.Error
	switch {
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted, "interrupted by a signal", prefix
	case errors.As(err, &position): // FILE:LINE:COLUMN comes first, where editors look for it
		return exitUsage, err.Error(), ""
	case errors.As(err, &exit) && exit.err == nil:
		return exit.code, "", prefix
	case errors.As(err, &exit):
		return exit.code, exit.err.Error(), prefix
	}
	return exitUsage, err.Error(), prefix // cobra's own: an unknown command or flag
}

// shown is the text of an error as it may stand on a terminal: on one line, unless it
// is a log that reaper shows.
func shown(err error, text string) string {
	if exit, ok := errors.AsType[*exitError](err); ok && exit.lines {
		return text
	}
	return visible.Text(text)
}

// exitError is an end with a code of its own; err is nil when all has been
// said already.
type exitError struct {
	code  int
	err   error
	lines bool // the text has lines of its own
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
