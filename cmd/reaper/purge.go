package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/purge"
)

func (a *app) purgeCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use: "purge", Short: "Delete what is due, now", Args: noArgs,
		Long: `purge makes one run: it deletes the expired rows of every selected policy with
all that depends on them, in short transactions, and reports. It asks before it
deletes; without a terminal it needs --yes. A signal ends it after the batch at
hand (exit 3); a second one at once. Running it again goes on where it ended.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dryRun {
				return a.plan(cmd.Context(), planFlags{})
			}
			return a.purge(cmd.Context())
		},
	}
	a.narrowing(cmd)
	f := cmd.Flags()
	f.Int64Var(&a.MaxRows, "max-rows", a.MaxRows, "delete at most this many roots (REAPER_MAX_ROWS)")
	f.StringVar(&a.MaxDuration, "max-duration", a.MaxDuration, "end after this time: 10m (REAPER_MAX_DURATION)")
	f.BoolVar(&dryRun, "dry-run", false, "the same as plan: look, delete nothing")
	f.BoolVar(&a.Yes, "yes", a.Yes, "delete without asking (REAPER_YES)")
	return cmd
}

func (a *app) purge(ctx context.Context) error {
	opts, err := a.options()
	if err != nil {
		return err
	}
	if !a.Yes && !isTerminal(a.stdin) {
		return usage(errors.New("purge asks before it deletes, and there is no terminal: give --yes"))
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.pool.Close()
	if s.hasErrors() {
		printProblems(a.stderr, s.problems())
		return usage(errors.New("nothing was touched: mend the errors above, see reaper check"))
	}
	if s.server.ClockSkew > purge.MaxClockSkew {
		return a.refuse(s, fmt.Sprintf("the clocks of the database (%s) and of this machine are %s apart: nothing was touched; set the wrong one right",
			s.server.Now.UTC().Format(time.RFC3339), s.server.ClockSkew.Round(time.Minute)))
	}
	if !a.Yes {
		yes, err := a.ask(ctx, s, opts)
		if err != nil {
			return err
		}
		if !yes {
			return a.refuse(s, "answered no: nothing was touched")
		}
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	if _, err := l.Migrate(ctx, s.pool); err != nil {
		return usage(err)
	}
	progress := a.newProgress()
	runner := purge.Runner{Pool: s.pool, Ledger: l, Observer: progress, Log: a.log, Stopping: a.stopping, Patience: a.Patience}
	report, err := runner.Run(ctx, s.plans, opts)
	progress.done()
	var wrong *purge.UsageError
	if errors.As(err, &wrong) {
		return usage(err)
	}
	if err != nil {
		return failed(err)
	}
	return a.report(report)
}

// refuse ends a purge that needs a person's word first.
func (a *app) refuse(s *session, reason string) error {
	if a.json() {
		r := purge.Refusal(s.plans, s.server.Now, reason)
		if err := a.printJSON(r); err != nil {
			return failed(err)
		}
	}
	return &exitError{code: exitRefused, err: errors.New("refused: " + reason)}
}

// ask shows what is due and waits for a yes.
func (a *app) ask(ctx context.Context, s *session, opts purge.Options) (bool, error) {
	for _, p := range s.plans {
		v, err := purge.Look(ctx, s.pool, p, opts, false)
		if err != nil {
			return false, failed(err)
		}
		fmt.Fprintf(a.stderr, "%s: %s rows of %s are due, and what depends on them\n", v.Name, humanize.Comma(v.ExpiredRows), v.Table)
	}
	fmt.Fprint(a.stderr, "Delete them? [y/N] ")
	line, err := bufio.NewReader(a.stdin).ReadString('\n')
	if err != nil && line == "" {
		return false, nil // end of input is no yes
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// report prints how a run ended, and turns that into the exit code.
func (a *app) report(r *purge.Report) error {
	if a.json() {
		if err := a.printJSON(r); err != nil {
			return failed(err)
		}
	} else {
		a.printReport(r)
	}
	if code := r.Status.ExitCode(); code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

func (a *app) printReport(r *purge.Report) {
	for _, p := range r.Policies {
		a.printf("%s: %s", p.Name, p.Status)
		if p.Reason != "" {
			a.printf(" (%s)", p.Reason)
		}
		a.printf("\n")
		if p.RowsTotal+p.RowsNullified+p.KeptRows > 0 {
			a.printf("%s", rowsTable(p))
		}
		rate := ""
		if p.Seconds > 0 && p.RowsTotal > 0 {
			rate = fmt.Sprintf(", %s rows a second", humanize.Comma(int64(float64(p.RowsTotal)/p.Seconds)))
		}
		a.printf("  %s rows in %s batches (median %.0f ms, longest %.0f ms), %.1f s%s, %s of WAL\n",
			humanize.Comma(p.RowsTotal), humanize.Comma(p.Batches), p.BatchSeconds.P50*1000, p.BatchSeconds.Max*1000, p.Seconds, rate, humanize.IBytes(uint64(max(p.WALBytes, 0))))
		t := p.Tenants
		a.printf("  tenants: %d due, %d done, %d held, %d forever, %d skipped, %d failed\n", t.Due, t.Done, t.Held, t.Forever, t.Skipped, t.Failed)
		if p.BacklogRows != nil && *p.BacklogRows > 0 {
			a.printf("  still due: %s rows, the oldest by %s\n", humanize.Comma(*p.BacklogRows), duration(*p.LagSeconds))
		}
	}
	a.printf("run %s: %s\n", r.RunID, r.Status)
}

func rowsTable(p *purge.PolicyReport) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"table", "deleted"})
	for _, name := range sortedKeys(p.Rows) {
		t.AppendRow(table.Row{name, humanize.Comma(p.Rows[name])})
	}
	if p.RowsNullified > 0 {
		t.AppendFooter(table.Row{"references emptied", humanize.Comma(p.RowsNullified)})
	}
	if p.KeptRows > 0 {
		t.AppendFooter(table.Row{"roots kept", humanize.Comma(p.KeptRows)})
	}
	return t.Render() + "\n"
}

// duration prints seconds for people.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= 2*time.Minute:
		return d.Round(time.Minute).String()
	}
	return d.Round(time.Second).String()
}
