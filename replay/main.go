// Replay plays the outage that reaper is there to prevent, on small volumes of
// its own: the one big DELETE fills the disk and takes PostgreSQL with it; reaper
// deletes the same rows on an identical volume. docs/REPLAY.md tells what it
// showed. Its last output is a Markdown table; it ends with 1 when anything is not
// as expected, and 2 on wrong flags. Where it may not mount a volume it says so,
// and ends with 0.
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
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// scenario is one server on one volume; it adds its lines to the replay.
type scenario struct {
	name string
	run  func(context.Context, *replay) error
}

var scenarios = []scenario{
	{"delete", bigDelete},
	{"purge", guardedPurge},
	{"slot", unreadSlot},
	{"archiver", failingArchiver},
	{"replica", pausedReplica},
}

func names() []string {
	var all []string
	for _, s := range scenarios {
		all = append(all, s.name)
	}
	return all
}

// replay is one call of the program.
type replay struct {
	mails int // of the workload; about twelve rows each
	rate  int // mails a second that the writer inserts

	lab.Reaper
	stderr io.Writer
	facts  []string // that the table is headed by
	policy string   // the file of the scenario that ran last, for all have the same
	lines  []line
}

// say prints how far it has come.
func (r *replay) say(format string, args ...any) {
	fmt.Fprintf(r.stderr, "replay: "+format+"\n", args...)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	r := &replay{stderr: stderr}
	chosen, out, err := r.parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "replay:", err)
		return 2
	}
	if err := mayMount(); err != nil {
		fmt.Fprintf(stdout, "skipped: the replay needs small volumes of its own: %v; run it as root on Linux, where mounting a tmpfs is allowed\n", err)
		return 0
	}
	if err := r.all(ctx, chosen, stdout, out); err != nil {
		fmt.Fprintln(stderr, "replay:", err)
		return 1
	}
	return 0
}

// parse reads the flags; out is the file that also gets the table, or empty.
func (r *replay) parse(args []string, stderr io.Writer) (chosen []scenario, out string, err error) {
	flags := flag.NewFlagSet("replay", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.IntVar(&r.mails, "n", 30_000, "mails of the workload, about twelve rows each; the volume is sized by them")
	flags.IntVar(&r.rate, "rate", 50, "mails a second that are written meanwhile")
	only := flags.String("only", "", "a comma-separated list of "+strings.Join(names(), ", ")+"; empty: all")
	flags.StringVar(&out, "out", "", "also write the table to this file")
	if err := flags.Parse(args); err != nil {
		return nil, "", err
	}
	if r.mails < leastMails || r.rate < 1 || flags.NArg() > 0 {
		return nil, "", fmt.Errorf("-n is at least %d, -rate at least 1, and nothing else follows the flags", leastMails)
	}
	chosen, err = choose(*only)
	return chosen, out, err
}

// leastMails is how many it takes for the WAL of the one big DELETE to be more
// than a volume has left.
const leastMails = 20_000

// choose finds scenarios by their names; empty: all.
func choose(only string) (chosen []scenario, err error) {
	if only == "" {
		return scenarios, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		i := slices.Index(names(), strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("-only %s: there are %s", name, strings.Join(names(), ", "))
		}
		chosen = append(chosen, scenarios[i])
	}
	return chosen, nil
}

// all plays the scenarios one after the other, and prints what was seen also when
// some of them failed.
func (r *replay) all(ctx context.Context, chosen []scenario, stdout io.Writer, out string) error {
	started := time.Now()
	r.facts = []string{lab.Machine(started)}
	var err error
	if r.Reaper, err = lab.Build(ctx, "replay"); err != nil {
		return err
	}
	defer r.Remove()
	var failures []error
	for _, s := range chosen {
		if ctx.Err() != nil {
			failures = append(failures, fmt.Errorf("%s: not played: %w", s.name, ctx.Err()))
			continue
		}
		r.say("%s", s.name)
		if err := s.run(ctx, r); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	r.fact(fmt.Sprintf("%d mails, %d a second written meanwhile", r.mails, r.rate))
	r.fact(fmt.Sprintf("all of it in %s", time.Since(started).Round(time.Second)))
	text := r.table()
	fmt.Fprint(stdout, text)
	if out != "" {
		if err := os.WriteFile(out, []byte(text), 0o644); err != nil {
			failures = append(failures, fmt.Errorf("writing the table: %w", err))
		}
	}
	return errors.Join(append(failures, r.unexpected()...)...)
}

// fact adds what the table is headed by, once.
func (r *replay) fact(text string) {
	if !slices.Contains(r.facts, text) {
		r.facts = append(r.facts, text)
	}
}
