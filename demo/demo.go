// Package demo demonstrates reaper on a throwaway PostgreSQL filled with weeks of mail: it
// runs the program's own commands and explains what they did.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/reaperdb/reaper/internal/pgtemp"
	"github.com/reaperdb/reaper/purge"
)

// Commands are reaper's own commands, run on the demo's database with their usual output.
type Commands interface {
	Check(ctx context.Context, dsn, policyFile string) error
	Plan(ctx context.Context, dsn, policyFile string) error
	Purge(ctx context.Context, dsn, policyFile string) (*purge.Report, error)
}

// Options configure the demo.
type Options struct {
	Mails int  // about twelve rows each; must be positive
	Keep  bool // leave the server running at the end
	// BinDir holds PostgreSQL's initdb and postgres; empty means the usual locations.
	BinDir string
	// Program is how the user calls reaper, for the commands to try next.
	Program string
	Out     io.Writer
	// Table formats a table; all columns but the first are numbers.
	Table func(header []string, rows [][]string) string
}

// Run runs the demo. It removes everything it started, even when ctx ends; with Keep, it
// leaves the server running only if the demo completed.
func Run(ctx context.Context, o Options, commands Commands) (err error) {
	s := &story{Options: o, commands: commands}
	s.say("Starting a throwaway PostgreSQL server.\n")
	if s.mail, err = start(ctx, o); err != nil {
		return err
	}
	finished := false
	defer func() {
		if finished && o.Keep {
			return
		}
		err = errors.Join(err, s.mail.stop())
	}()
	for _, chapter := range []func(context.Context) error{s.fill, s.check, s.plan, s.purge, s.compare} {
		if err := chapter(ctx); err != nil {
			return err
		}
	}
	finished = true
	s.end()
	return nil
}

type story struct {
	Options
	commands Commands
	mail     *mail
	before   []Table
	report   *purge.Report
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.Out, format, args...) }

// step announces a command in one line and shows how to type it.
func (s *story) step(what, command string) {
	s.say("\n%s\n\n$ reaper %s\n", what, command)
}

func (s *story) fill(ctx context.Context) error {
	started := time.Now()
	if err := s.mail.fill(ctx, s.Mails); err != nil {
		return err
	}
	var err error
	if s.before, err = s.mail.tables(ctx, mailDatabase); err != nil {
		return err
	}
	rows, bytes := totals(s.before)
	s.say("PostgreSQL %d holds 60 days of mail of 50 organizations: %s rows in %d tables, %s (filled in %.1f s).\n",
		s.mail.server.Version(), humanize.Comma(rows), len(s.before), humanize.IBytes(uint64(bytes)), time.Since(started).Seconds())
	s.say("Each organization decides how long to keep its mails: 7, 30 or 90 days. Organization 42 keeps them forever.\n")
	return nil
}

func (s *story) check(ctx context.Context) error {
	s.step("First, check the policy file against the database. Nothing is touched.", "check")
	return s.commands.Check(ctx, s.mail.dsn(), s.mail.policyFile())
}

func (s *story) plan(ctx context.Context) error {
	s.step("Then look at what a purge would delete now. Nothing is touched.", "plan")
	return s.commands.Plan(ctx, s.mail.dsn(), s.mail.policyFile())
}

func (s *story) purge(ctx context.Context) error {
	s.step("Now delete it, in short transactions that do not block other work for long.", "purge --yes")
	var err error
	s.report, err = s.commands.Purge(ctx, s.mail.dsn(), s.mail.policyFile())
	return err
}

// compare shows the result for every table and compares it with one plain DELETE on a copy of
// the database.
func (s *story) compare(ctx context.Context) error {
	after, err := s.mail.tables(ctx, mailDatabase)
	if err != nil {
		return err
	}
	s.say("\nWhat became of each table:\n\n%s\n", s.Table([]string{"table", "rows before", "deleted", "rows after"}, s.rows(after)))
	// Without the vacuum that follows: the one big DELETE has none either.
	seconds, longest, batches := 0.0, 0.0, int64(0)
	for _, p := range s.report.Policies {
		seconds, longest, batches = max(seconds, p.Seconds), max(longest, p.BatchSeconds.Max), batches+p.Batches
	}
	s.say("\nIt took %.1f s, in %s transactions; the longest lasted %.0f ms, and no row was locked longer than that.\n",
		seconds, humanize.Comma(batches), longest*1000)
	_, bytes := totals(after)
	s.say("The tables still take %s on disk: PostgreSQL keeps the space of deleted rows for new ones.\n", humanize.IBytes(uint64(bytes)))
	return s.oneDelete(ctx, after)
}

func (s *story) rows(after []Table) [][]string {
	var lines [][]string
	var sum [3]int64
	for i, b := range s.before {
		a := after[i]
		deleted := b.Rows - a.Rows
		sum[0], sum[1], sum[2] = sum[0]+b.Rows, sum[1]+deleted, sum[2]+a.Rows
		lines = append(lines, []string{b.Name, humanize.Comma(b.Rows), humanize.Comma(deleted), humanize.Comma(a.Rows)})
	}
	return append(lines, []string{"all", humanize.Comma(sum[0]), humanize.Comma(sum[1]), humanize.Comma(sum[2])})
}

// oneDelete does the same with plain SQL on the copy, and reports the measurements.
func (s *story) oneDelete(ctx context.Context, after []Table) error {
	d, err := s.mail.oneDelete(ctx, s.report.StartedAt)
	if err != nil {
		return err
	}
	var other []string
	for i, t := range d.tables {
		if t.Rows != after[i].Rows {
			other = append(other, fmt.Sprintf("%s has %d rows there and %d here", t.Name, t.Rows, after[i].Rows))
		}
	}
	if len(other) > 0 {
		return fmt.Errorf("the purge and one plain DELETE on a copy of the database disagree: %s", strings.Join(other, ", "))
	}
	s.say("\nFor comparison, one plain DELETE did the same on a copy of this database, and left the same rows. It was a single\n"+
		"transaction of %.0f ms that wrote %s of WAL before it could end, and both grow with the backlog. A batch does not.\n",
		d.took.Seconds()*1000, humanize.IBytes(uint64(d.wal)))
	return nil
}

func (s *story) end() {
	if !s.Keep {
		s.say("\nThe server and its data are removed. To keep them and look around: %s demo --keep\n", s.Program)
		return
	}
	s.say(`
The server is still up. To look around:

  export DATABASE_URL='%s'
  export REAPER_POLICY_FILE=%s
  %[3]s plan
  %[3]s purge          # nothing is due now: shorten a retention in the policy file first
  %[3]s status

When done, this stops the server and removes it with the policy file:

  %[4]s
`, s.mail.dsn(), s.mail.policyFile(), s.Program, s.mail.server.StopCommand())
}

// NoServer reports whether the demo could not start because this machine has no PostgreSQL.
func NoServer(err error) bool {
	var missing *pgtemp.NotFoundError
	return errors.As(err, &missing)
}
