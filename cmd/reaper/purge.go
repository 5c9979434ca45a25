package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/daemon"
	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/tracing"
)

func (a *app) purgeCommand() *cobra.Command {
	var dryRun bool
	var maxRows int64
	cmd := &cobra.Command{
		Use: "purge", Short: "Delete what is due, now", Args: noArgs,
		Long: `purge makes one run: it deletes the expired rows of every selected policy with
all that depends on them, in short transactions, and reports. It asks before it
deletes; without a terminal it needs --yes. A signal ends it after the current
batch (exit 3); a second one ends it at once. Run it again to continue.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("max-rows") {
				a.MaxRows = &maxRows
			}
			if dryRun {
				return a.plan(cmd.Context(), planFlags{all: a.json()})
			}
			report, err := a.purge(cmd.Context())
			if err != nil {
				return err
			}
			return a.report(report)
		},
	}
	a.narrowing(cmd)
	f := cmd.Flags()
	f.Int64Var(&maxRows, "max-rows", 0, "delete at most this many roots (REAPER_MAX_ROWS)")
	f.StringVar(&a.MaxDuration, "max-duration", a.MaxDuration, "end after this time: 10m (REAPER_MAX_DURATION)")
	f.Int64Var(&a.MaxRate, "max-rate", a.MaxRate, "delete at most this many rows a second, over all tables (REAPER_MAX_RATE)")
	f.IntVar(&a.Connections, "connections", a.Connections, "how many connections delete at a time, each for another tenant; one more is used for everything else (REAPER_CONNECTIONS)")
	f.BoolVar(&dryRun, "dry-run", false, "the same as plan: show, delete nothing")
	f.BoolVar(&a.Yes, "yes", a.Yes, "delete without asking (REAPER_YES)")
	return cmd
}

// purge makes one run. ctx is for everything before it.
func (a *app) purge(ctx context.Context) (*purge.Report, error) {
	opts, err := a.options()
	if err != nil {
		return nil, err
	}
	if !a.Yes && !a.terminal {
		return nil, usage(errors.New("purge asks for confirmation, but stdin is not a terminal: use --yes"))
	}
	s, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.pool.Close()
	return a.purgeAs(ctx, s, opts)
}

func (a *app) purgeAs(ctx context.Context, s *session, opts purge.Options) (*purge.Report, error) {
	if s.hasErrors() {
		a.sayProblems(s.problems())
		return nil, usage(errors.New("nothing was touched: fix the errors above first"))
	}
	l, err := a.ledger()
	if err != nil {
		return nil, err
	}
	if err := l.Usable(ctx, s.pool); err != nil {
		return nil, coded(err, err)
	}
	if err := s.checkTenants(ctx, opts); err != nil {
		return nil, err
	}
	if s.server.ClockSkew > plan.MaxClockSkew {
		return nil, a.refuse(s, fmt.Sprintf("the clocks of the database (%s) and of this machine are %s apart: nothing was touched; correct the wrong one",
			s.server.Now.UTC().Format(time.RFC3339), s.server.ClockSkew.Round(time.Minute)))
	}
	approve, err := a.confirm(ctx, s, l, opts)
	if err != nil {
		return nil, err
	}
	if _, err := l.Migrate(ctx, s.pool); err != nil {
		return nil, coded(err, err)
	}
	if err := approve(); err != nil {
		return nil, failed(err)
	}
	into, err := deletion.ArchiveOf(s.file)
	if err != nil {
		return nil, usage(err)
	}
	watching, stop := context.WithCancel(a.running)
	guards, unwatched := daemon.HeedOnce(watching, a.watch(s, l))
	defer unwatched()
	defer stop()
	tracer, err := a.tracer(ctx)
	if err != nil {
		return nil, err
	}
	defer a.closeTracer(tracer)
	progress := a.newProgress()
	observed, traced := tracer.Begin(tracing.Run{Trigger: opts.Trigger, Policies: s.names()}, progress)
	defer traced(nil)
	runner := purge.Runner{Gate: &gate.Gates{Pool: s.pool, Ledger: l, Log: a.log, Rows: a.rowsAnswered(opts), Plans: s.withoutErrors()}, Guard: guards, MaxPause: s.file.Guards.MaxPause, Pool: s.pool, Ledger: l, Observer: observed, Closed: traced, Log: a.log, Stopping: ctx, Patience: a.Patience, Connections: a.Connections, VacuumTime: a.VacuumTime, Archive: into}
	report, err := runner.Run(a.running, s.plans, opts)
	progress.Done()
	var wrong *purge.UsageError
	if errors.As(err, &wrong) {
		return nil, usage(err)
	}
	if err != nil {
		return nil, failed(err)
	}
	a.keepSize(s, l, opts, report)
	return report, nil
}

// triggerOnce is what starts a run of run --once.
const triggerOnce = "once"

// rowsAnswered is who answers for how many rows go.
func (a *app) rowsAnswered(opts purge.Options) gate.RowsAnswered {
	switch {
	case opts.Trigger == triggerOnce:
		return gate.ByNobody
	case a.Yes:
		return gate.ByYes
	}
	return gate.ByPerson
}

// keepSize records the size of the database, for growth forecasts. A failure does not affect the
// run.
func (a *app) keepSize(s *session, l *ledger.Ledger, opts purge.Options, report *purge.Report) {
	ctx, cancel := context.WithTimeout(a.running, 5*time.Second)
	defer cancel()
	backlogs := map[string]*int64{}
	if len(opts.Tenants) == 0 && opts.OlderThan == nil { // otherwise only a part was purged
		for _, p := range report.Policies {
			backlogs[p.Name] = p.BacklogRows
		}
	}
	if err := daemon.KeepSize(ctx, s.pool, l, s.plans, backlogs); err != nil && a.running.Err() == nil {
		a.log.Warn("recording the database size failed", "error", oneLine(err))
	}
}

// watch reads the guards of a session's policies.
func (a *app) watch(s *session, l *ledger.Ledger) *guard.Watch {
	w := daemon.NewWatch(s.guards(), s.pool, l, a.log)
	for _, p := range s.plans {
		w.Touch(p.Tables())
	}
	return w
}

// refuse ends a purge that needs confirmation first.
func (a *app) refuse(s *session, reason string) error {
	if a.json() {
		r := purge.Refusal(s.plans, s.server.Now, reason)
		if err := a.printJSON(r); err != nil {
			return failed(err)
		}
	}
	return &exitError{code: exitRefused, err: errors.New("refused: " + reason)}
}

// confirm asks a person or, without a terminal, logs the warnings about the settings. An error ends
// the purge; approve records what a yes has approved.
func (a *app) confirm(ctx context.Context, s *session, l *ledger.Ledger, opts purge.Options) (approve func() error, err error) {
	if a.Yes {
		for _, w := range s.warnings { // check reports the others
			a.log.Warn("setting is probably a mistake", "warning", w.Text, "policy", w.Policy, "fix", w.Fix)
		}
		return func() error { return nil }, nil
	}
	verdicts, err := s.verdicts(ctx, l, gate.ByPerson, nil)
	if err != nil {
		return nil, failed(err)
	}
	yes, err := a.ask(ctx, s, opts, verdicts)
	if err == nil && !yes {
		err = a.refuse(s, "answered no: nothing was touched")
	}
	return func() error { return a.approveShown(ctx, s, l, verdicts, "1h", "answered y to purge") }, err
}

// ask shows what is due and why the run would be refused, and asks for a yes, unless nothing is due.
func (a *app) ask(ctx context.Context, s *session, opts purge.Options, verdicts []*gate.Verdict) (bool, error) {
	printProblems(a.stderr, s.problems())
	fmt.Fprintln(a.stderr, "Counting what is due …")
	var views []*preview.Preview
	for _, p := range s.plans {
		v, err := preview.Look(ctx, s.pool, p, opts.Selection(), false)
		if err != nil {
			return false, failed(err)
		}
		if !v.Fails { // warnings from the rows themselves, even if they doubt the policy
			printProblems(a.stderr, v.Problems[len(p.Problems):])
		}
		views = append(views, v)
		fmt.Fprintf(a.stderr, "%s: %s\n", v.Name, visible.Text(dueText(v)))
	}
	if text := totalText(views); text != "" {
		fmt.Fprintln(a.stderr, text)
	}
	changed := printVerdicts(a.stderr, verdicts)
	due := preview.TotalOf(views...).Roots
	if due == 0 && !changed {
		return true, nil
	}
	where, err := s.database(ctx)
	if err != nil {
		return false, failed(err)
	}
	return a.answeredYes(ctx, deleteQuestion(due, opts.MaxRows, where, changed))
}

// answeredYes asks a person, and reports whether the answer is yes.
func (a *app) answeredYes(ctx context.Context, question string) (bool, error) {
	fmt.Fprint(a.stderr, question+" [y/N] ")
	line, err := a.line(ctx)
	if err != nil {
		return false, err
	}
	answer := strings.ToLower(strings.TrimSpace(line))
	return answer == "y" || answer == "yes", nil
}

// dueText counts the expired roots and their dependents, or says why nothing can be deleted.
func dueText(v *preview.Preview) string {
	if v.Fails {
		return v.Problems[len(v.Problems)-1].Text
	}
	return many(v.ExpiredRows, "expired row", "expired rows") + " of " + v.Table + withThem(preview.TotalOf(v))
}

// line reads one line from the terminal, or ends with ctx; at the end of input it is empty.
func (a *app) line(ctx context.Context) (string, error) {
	read := make(chan string, 1)
	go func() {
		line, err := bufio.NewReader(a.stdin).ReadString('\n')
		if err != nil {
			line = "" // an incomplete line is not a yes
		}
		read <- line
	}()
	select {
	case line := <-read:
		return line, nil
	case <-ctx.Done():
		fmt.Fprintln(a.stderr)
		return "", ctx.Err()
	}
}

// report prints how a run ended, and returns the exit code as an error.
func (a *app) report(r *purge.Report) error {
	return a.ended(r, func() { a.printReport(r) }, r.Status)
}

// ended prints a report, as JSON or as text, and returns the exit code of its status as an error.
func (a *app) ended(report any, text func(), status purge.Status) error {
	if a.json() {
		if err := a.printResult(report); err != nil {
			return err
		}
	} else {
		text()
	}
	if code := status.ExitCode(); code != exitOK {
		return &exitError{code: code}
	}
	return nil
}

func (a *app) printReport(r *purge.Report) {
	for _, p := range r.Policies {
		a.printf("%s: %s", p.Name, a.painted(string(p.Status)))
		if p.Reason != "" {
			a.printf(" (%s)", visible.Text(p.Reason))
		}
		if p.RowsTotal+p.RowsNullified+p.KeptRows == 0 {
			if p.Status == purge.Complete {
				a.printf(", nothing was due")
			}
			a.printf("\n")
		} else {
			a.printf("\n")
			a.printTable(rowsTable(p))
			a.printf("  %s\n", strings.Join(paceText(p), ", "))
			if text := partitionsText(p.Partitions); text != "" {
				a.printf("  dropped whole: %s\n", visible.Text(text))
			}
		}
		if text := tenantsText(p.Tenants); text != "" {
			a.printf("  tenants: %s\n", text)
		}
		if len(p.Vacuumed) > 0 {
			a.printf("  vacuumed: %s\n", visible.Text(strings.Join(p.Vacuumed, ", ")))
		}
		if p.BacklogRows != nil && *p.BacklogRows > 0 {
			a.printf("  still due: %s, the oldest for %s\n", many(*p.BacklogRows, "row", "rows"), duration(*p.LagSeconds))
		}
	}
	a.printf("run %s: %s%s\n", r.RunID, a.painted(string(r.Status)), deletedText(r))
}

// paceText describes the duration and cost.
func paceText(p *purge.PolicyReport) []string {
	parts := []string{fmt.Sprintf("%s in %.1f s", many(p.Batches, "batch", "batches"), p.Seconds)}
	if r := rate(p.RowsTotal, p.Seconds); r != "" {
		parts = append(parts, r)
	}
	if p.Batches > 1 {
		parts = append(parts, fmt.Sprintf("a batch took %.0f ms (median), %.0f ms at most", p.BatchSeconds.P50*1000, p.BatchSeconds.Max*1000))
	}
	return append(parts, bytesText(p.WALBytes)+" of WAL")
}

// shownPartitions is how many dropped partitions are named.
const shownPartitions = 5

func partitionsText(names []string) string {
	text := strings.Join(names[:min(len(names), shownPartitions)], ", ")
	if more := len(names) - shownPartitions; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func tenantsText(t purge.TenantCounts) string {
	var parts []string
	for _, c := range []struct {
		n    int64
		what string
	}{{t.Due, "due"}, {t.Done, "done"}, {t.Held, "held"}, {t.Forever, "forever"}, {t.Skipped, "skipped"}, {t.Failed, "failed"}} {
		if c.n > 0 {
			parts = append(parts, humanize.Comma(c.n)+" "+c.what)
		}
	}
	return strings.Join(parts, ", ")
}

func rowsTable(p *purge.PolicyReport) *terminal.Table {
	t := terminal.NewTable(column("table", 0), figure("rows deleted", 0))
	for _, name := range sortedKeys(p.Rows) {
		t.Row(name, humanize.Comma(p.Rows[name]))
	}
	if len(p.Rows) > 1 {
		t.Footer(many(int64(len(p.Rows)), "table", "tables"), humanize.Comma(p.RowsTotal))
	}
	if p.RowsNullified > 0 {
		t.Footer("references emptied", humanize.Comma(p.RowsNullified))
	}
	if p.KeptRows > 0 {
		t.Footer("expired, but kept", humanize.Comma(p.KeptRows))
	}
	return t
}

// duration formats seconds for people.
func duration(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.1f days", d.Hours()/24)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
