// Replay reproduces, on small volumes, the outage that reaper prevents: one big DELETE fills
// the disk and takes PostgreSQL down; reaper deletes the same rows on an identical volume.
// docs/REPLAY.md shows the results. Its last output is a Markdown table. It exits with 1 if
// anything differs from the expectation and with 2 on wrong flags. Where it may not mount a
// volume, it says so and exits with 0.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/reaperdb/reaper/internal/lab"
)

func main() { os.Exit(lab.Main(run)) }

// scenario is one server on one volume; it adds its lines to the table.
type scenario = lab.Part[*replay]

var scenarios = []scenario{
	{Name: "delete", Run: bigDelete},
	{Name: "purge", Run: guardedPurge},
	{Name: "slot", Run: unreadSlot},
	{Name: "archiver", Run: failingArchiver},
	{Name: "replica", Run: pausedReplica},
}

// replay is one run of the program.
type replay struct {
	lab.Program
	mails  int    // mails in the workload, about twelve rows each
	rate   int    // mails per second from the writer
	policy string // policy file of the last scenario; all use the same
	plot   string // file to draw the picture into; empty means none
	curves
}

func newReplay(stderr io.Writer) *replay {
	return &replay{Program: lab.NewProgram("replay", stderr, [5]string{"scenario", "what", "seen", "expected", "as expected"})}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	r := newReplay(stderr)
	chosen, err := r.parse(args)
	if err != nil {
		return r.Exit(err, 2)
	}
	if err := mayMount(); err != nil {
		fmt.Fprintf(stdout, "skipped: the replay needs small volumes of its own: %v; run it as root on Linux, where mounting a tmpfs is allowed\n", err)
		return 0
	}
	started := time.Now()
	err = lab.RunAll(ctx, &r.Program, chosen, func(s scenario) error { return s.Run(ctx, r) }, stdout, func() string {
		r.Fact(fmt.Sprintf("%d mails, %d a second written meanwhile", r.mails, r.rate))
		r.Fact(fmt.Sprintf("all of it in %s", time.Since(started).Round(time.Second)))
		return r.text()
	})
	if err == nil {
		err = r.draw()
	}
	return r.Exit(err, 1)
}

// parse parses the flags and returns the scenarios to play.
func (r *replay) parse(args []string) (chosen []scenario, err error) {
	flags, only := r.Flags(strings.Join(lab.Names(scenarios), ", ") + "; empty: all")
	flags.IntVar(&r.mails, "n", 30_000, "mails in the workload, about twelve rows each; they determine the volume's size")
	flags.IntVar(&r.rate, "rate", 50, "mails per second written meanwhile")
	flags.StringVar(&r.plot, "plot", "", "draw the free space during delete and purge into this SVG file")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if r.mails < minMails || r.rate < 1 || flags.NArg() > 0 {
		return nil, fmt.Errorf("-n must be at least %d, -rate at least 1, and there must be no arguments", minMails)
	}
	return lab.Choose(scenarios, *only)
}

// minMails is the number from which the WAL of the one big DELETE exceeds what the volume
// has left.
const minMails = 20_000

// judge adds a line with an expectation, and prints it at once.
func (r *replay) judge(scenario, what, seen, expected string, ok bool) {
	r.Judge(scenario, what, seen, expected, ok)
	r.Say("%s: %s: %s", scenario, what, seen)
}

// text returns the table and the policy file used.
func (r *replay) text() string {
	if r.policy == "" {
		return r.Markdown()
	}
	return r.Markdown() + fmt.Sprintf("\nThe policy file:\n\n```yaml\n%s```\n", r.policy)
}
