package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Main runs a program with the process's arguments and output, cancels ctx on an interrupt,
// and returns the exit code.
func Main(run func(ctx context.Context, args []string, stdout, stderr io.Writer) int) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return run(ctx, os.Args[1:], os.Stdout, os.Stderr)
}

// Program is one run of a program. Its last output is a Markdown table. It exits with 1 if a
// line of the table misses its target or a part failed, and with 2 on wrong flags.
type Program struct {
	Reaper
	Table
	Out    string // file that also gets the table; empty means none
	name   string // directory in the module
	stderr io.Writer
}

// NewProgram returns a run of the program with the given name, which is that of its directory
// in the module. heads are the column headings of its table.
func NewProgram(name string, stderr io.Writer, heads [5]string) Program {
	return Program{Table: Table{Heads: heads}, name: name, stderr: stderr}
}

// Say prints progress.
func (p *Program) Say(format string, args ...any) {
	fmt.Fprintf(p.stderr, p.name+": "+format+"\n", args...)
}

// Flags returns the program's flag set with the common flags; only is the list of requested
// parts, for Choose. all describes the parts and which run by default.
func (p *Program) Flags(all string) (flags *flag.FlagSet, only *string) {
	flags = flag.NewFlagSet(p.name, flag.ContinueOnError)
	flags.SetOutput(p.stderr)
	flags.StringVar(&p.Out, "out", "", "also write the table to this file")
	return flags, flags.String("only", "", "a comma-separated list of "+all)
}

// Exit prints an error and returns its exit code: code, or 0 if there is none or help was
// requested.
func (p *Program) Exit(err error, code int) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(p.stderr, "%s: %v\n", p.name, err)
	return code
}

// Part is one piece of a program; it adds its lines to the table.
type Part[P any] struct {
	Name string
	Run  func(context.Context, P) error
	// Asked marks a part that takes so long that it runs only when named.
	Asked bool
}

// Names returns the names of all parts.
func Names[P any](parts []Part[P]) []string {
	var all []string
	for _, p := range parts {
		all = append(all, p.Name)
	}
	return all
}

// Choose finds parts by a comma-separated list of names; empty means all except those marked
// Asked.
func Choose[P any](parts []Part[P], only string) (chosen []Part[P], err error) {
	if only == "" {
		return slices.DeleteFunc(slices.Clone(parts), func(p Part[P]) bool { return p.Asked }), nil
	}
	for name := range strings.SplitSeq(only, ",") {
		i := slices.Index(Names(parts), strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("-only %s: choose from %s", name, strings.Join(Names(parts), ", "))
		}
		chosen = append(chosen, parts[i])
	}
	return chosen, nil
}

// RunAll builds reaper, runs the parts one after the other, and prints the results even if
// some failed. text returns the table with its surrounding text.
func RunAll[P any](ctx context.Context, p *Program, parts []Part[P], run func(Part[P]) error, stdout io.Writer, text func() string) (err error) {
	p.Fact(Machine(time.Now()))
	if p.Reaper, err = Build(ctx, p.name); err != nil {
		return err
	}
	defer p.Remove()
	var failures []error
	for _, part := range parts {
		if ctx.Err() != nil {
			failures = append(failures, fmt.Errorf("%s: not run: %w", part.Name, ctx.Err()))
			continue
		}
		p.Say("%s", part.Name)
		if err := run(part); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", part.Name, err))
		}
	}
	return errors.Join(append(failures, p.print(stdout, text()), errors.Join(p.missed()...))...)
}

func (p *Program) print(stdout io.Writer, text string) error {
	fmt.Fprint(stdout, text)
	if p.Out == "" {
		return nil
	}
	if err := os.WriteFile(p.Out, []byte(text), 0o644); err != nil {
		return fmt.Errorf("writing the table: %w", err)
	}
	return nil
}
