// Bench produces the measurements in docs/BENCHMARKS.md: reaper compared with other ways to
// delete, on throwaway servers. Its last output is a Markdown table. It exits with 1 if a
// target is missed or a part failed, and with 2 on wrong flags.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/internal/lab"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

func main() { os.Exit(lab.Main(run)) }

// part is one comparison; it adds its figures to the table.
type part = lab.Part[*bench]

// Memory comes first: the peak that the kernel reports for a child is never below that of its
// parent, and ours grows with the other parts.
var parts = []part{
	{Name: "memory", Run: memory},
	{Name: "mail", Run: mail},
	{Name: "guards", Run: guards},
	{Name: "steady", Run: steady},
	{Name: "tenants", Run: tenants},
	{Name: "sweeps", Run: sweeps},
	{Name: "partition", Run: partition},
	{Name: "idle", Run: idle},
	{Name: "policies", Run: policies},
	{Name: "catalog", Run: catalog},
	{Name: "pace", Run: pace},
	{Name: "activerecord", Run: activeRecord},
	{Name: "archive", Run: archived, Asked: true},
	{Name: "isolation", Run: isolation, Asked: true},
	{Name: "scale", Run: scale, Asked: true},
}

// bench is one run of the program.
type bench struct {
	lab.Program
	mails       int // of the mail part; the others are sized by it
	rounds      int
	connections int // of every purge
	sides       []side
	tenants     int // of the idle part
	factor      int // of the scale part
	scaleLimit  time.Duration
	window      time.Duration
	paces       []string

	draw    string // result to draw instead of measuring; empty means none
	plot    string // file that gets the plot; empty means none
	jsonOut string // file that gets the result; empty means none

	server   *pgtemp.Server
	result   result
	finished []string // parts that ended without an error
}

func newBench(stderr io.Writer) *bench {
	return &bench{Program: lab.NewProgram("bench", stderr, [5]string{"part", "figure", "measured", "target", "met"})}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	b := newBench(stderr)
	chosen, err := b.parse(args)
	if err != nil {
		return b.Exit(err, 2)
	}
	if b.draw != "" {
		return b.Exit(b.drawAnew(), 1)
	}
	b.result = b.newResult()
	err = lab.RunAll(ctx, &b.Program, chosen, func(p part) error { return b.part(ctx, p) }, stdout, func() string {
		b.Fact(b.result.Load)
		b.Fact(fmt.Sprintf("medians of %d rounds", b.rounds))
		return b.Markdown()
	})
	return b.Exit(errors.Join(err, b.keep(chosen)), 1)
}

// part runs a part on a fresh server.
func (b *bench) part(ctx context.Context, p part) (err error) {
	b.server, err = pgtemp.Start(ctx, pgtemp.Options{Settings: serverSettings})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.server.Stop()) }()
	version, err := lab.Version(ctx, b.server.DSN("postgres"))
	if err != nil {
		return err
	}
	b.Fact(version)
	b.result.Server = version
	if err := p.Run(ctx, b); err != nil {
		return err
	}
	b.finished = append(b.finished, p.Name)
	return nil
}

// keep writes the result and the plot to the files that were named. Missed targets do not
// matter for either.
func (b *bench) keep(chosen []part) error {
	for _, name := range lab.Names(chosen) {
		if !slices.Contains(b.finished, name) {
			b.result.Failed = append(b.result.Failed, name)
		}
	}
	var err error
	if b.jsonOut != "" {
		err = b.result.write(b.jsonOut)
	}
	if b.plot != "" {
		err = errors.Join(err, b.result.drawFile(b.plot))
	}
	return err
}

// drawAnew draws an earlier result.
func (b *bench) drawAnew() error {
	r, err := readResult(b.draw)
	if err != nil {
		return err
	}
	return r.drawFile(b.plot)
}

// load reports the load average, where the system provides one.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "load before unknown"
	}
	return "load before " + strings.Fields(string(text))[0]
}
