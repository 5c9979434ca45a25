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

	server *pgtemp.Server
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
	before := load()
	err = lab.RunAll(ctx, &b.Program, chosen, func(p part) error { return b.part(ctx, p) }, stdout, func() string {
		b.Fact(before)
		b.Fact(fmt.Sprintf("medians of %d rounds", b.rounds))
		return b.Markdown()
	})
	return b.Exit(err, 1)
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
	return p.Run(ctx, b)
}

// load reports the load average, where the system provides one.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "load before unknown"
	}
	return "load before " + strings.Fields(string(text))[0]
}
