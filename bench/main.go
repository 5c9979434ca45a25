// Bench measures what docs/BENCHMARKS.md tells: reaper beside other ways to
// delete, on throwaway servers of its own. Its last output is a Markdown table;
// it ends with 1 when a target is missed or a part failed, and 2 on wrong flags.
package main

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

	"github.com/reaperdb/reaper/internal/lab"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// part is one comparison; it adds its figures to the bench.
type part struct {
	name  string
	run   func(context.Context, *bench) error
	asked bool // takes so long that it runs only when -only names it
}

// Memory is first: the peak that the kernel reports of a child is never below
// that of the process that started it, and ours grows with the other parts.
var parts = []part{
	{name: "memory", run: memory},
	{name: "mail", run: mail},
	{name: "guards", run: guards},
	{name: "steady", run: steady},
	{name: "sweeps", run: sweeps},
	{name: "partition", run: partition},
	{name: "idle", run: idle},
	{name: "catalog", run: catalog},
	{name: "pace", run: pace},
	{name: "activerecord", run: activeRecord},
	{name: "scale", run: scale, asked: true},
}

func names() []string {
	var all []string
	for _, p := range parts {
		all = append(all, p.name)
	}
	return all
}

// bench is one call of the program.
type bench struct {
	mails       int // of the mail part; the others are sized by it
	rounds      int
	connections int // of every purge
	sides       []side
	tenants     int // of the idle part
	factor      int // of the scale part
	window      time.Duration
	paces       []string

	lab.Reaper
	server  *pgtemp.Server
	stderr  io.Writer
	figures []figure
}

// say prints how far it has come.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.stderr, "bench: "+format+"\n", args...)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	b := &bench{stderr: stderr}
	chosen, out, err := b.parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	if err := b.all(ctx, chosen, stdout, out); err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// all runs the parts one after the other, each on a fresh server, and prints
// what was measured also when some of them failed.
func (b *bench) all(ctx context.Context, chosen []part, stdout io.Writer, out string) error {
	facts := []string{lab.Machine(time.Now()) + load()}
	var err error
	if b.Reaper, err = lab.Build(ctx, "bench"); err != nil {
		return err
	}
	defer b.Remove()
	var failures []error
	for _, p := range chosen {
		if ctx.Err() != nil {
			failures = append(failures, fmt.Errorf("%s: not run: %w", p.name, ctx.Err()))
			continue
		}
		version, err := b.part(ctx, p)
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", p.name, err))
		}
		if version != "" && !slices.Contains(facts, version) {
			facts = append(facts, version)
		}
	}
	text := b.table(facts)
	fmt.Fprint(stdout, text)
	if out != "" {
		if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
			failures = append(failures, fmt.Errorf("writing the table: %w", err))
		}
	}
	return errors.Join(append(failures, b.missed()...)...)
}

// part starts a server for a part, and gives the server's version.
func (b *bench) part(ctx context.Context, p part) (version string, err error) {
	b.say("%s", p.name)
	b.server, err = pgtemp.Start(ctx, pgtemp.Options{Settings: serverSettings})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, b.server.Stop()) }()
	if version, err = lab.Version(ctx, b.server.DSN("postgres")); err != nil {
		return "", err
	}
	return version, p.run(ctx, b)
}

// load tells whether the machine was quiet, where the system says so.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return ", load before " + strings.Fields(string(text))[0]
}
