package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

func (a *app) approveCommand() *cobra.Command {
	var length, reason string
	var database bool
	cmd := &cobra.Command{
		Use: "approve [--policy NAME | --database]", Short: "Let a refused run go on", Args: noArgs,
		Long: `approve shows why the runs of a policy are refused, and asks. A yes covers exactly
what was shown: if the schema or the policy file changes again, or more than twice
the rows are due, the runs wait again. A run has to begin within --for; later runs
are compared with that one. Without --policy, approve asks for every policy that
waits.

With --database it approves the database itself, if every policy waits because it
may not be the one that was purged before: restored, copied, or moved.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if database && cmd.Flags().Changed("policy") {
				return usage(errors.New("--database is about every policy: leave out --policy"))
			}
			interval, err := approvalArguments(a, length, &reason)
			if err != nil {
				return err
			}
			if database {
				return a.approveDatabase(cmd.Context(), length, interval, reason)
			}
			return a.approve(cmd.Context(), length, interval, reason)
		},
	}
	a.selection(cmd)
	cmd.Flags().BoolVar(&database, "database", false, "approve the database, for all policies")
	cmd.Flags().StringVar(&length, "for", "24h", "within which time a run has to begin: 24h; at most 30d")
	cmd.Flags().StringVar(&reason, "reason", "", "the reason, for those who ask later")
	cmd.Flags().BoolVar(&a.Yes, "yes", a.Yes, "approve without asking (REAPER_YES)")
	return cmd
}

// longestApproval is the longest --for, in days.
const longestApproval = 30

// approvalArguments checks what both kinds of approval are given, and returns --for as an interval.
func approvalArguments(a *app, length string, reason *string) (interval string, err error) {
	d, err := policy.ParseDuration(length)
	if err != nil || d.Forever || d.IsZero() || d.Approximately().Hours() > longestApproval*24 {
		return "", usage(fmt.Errorf("--for %s: write a duration of at most %dd, such as 24h", length, longestApproval))
	}
	if *reason != "" {
		if *reason, err = statedReason(*reason, "approve"); err != nil {
			return "", err
		}
	}
	if !a.Yes && !a.terminal {
		return "", usage(errors.New("approve asks for confirmation, but stdin is not a terminal: use --yes"))
	}
	return d.Interval(), nil
}

// approveDatabase approves what the latch refuses.
func (a *app) approveDatabase(ctx context.Context, length, interval, reason string) error {
	l, err := a.ledger()
	if err != nil {
		return err
	}
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := l.Usable(ctx, pool); err != nil {
		return coded(err, err)
	}
	gates := gate.Gates{Pool: pool, Ledger: l}
	d, err := gates.LookAtDatabase(ctx)
	if err != nil {
		return failed(err)
	}
	if d.Text == "" {
		return a.printApprovals(nil, "nothing waits for approval of the database")
	}
	printDatabase(a.dialogue(), d)
	if err := a.mustAnswerYes(ctx); err != nil {
		return err
	}
	if err := gates.ApproveDatabase(ctx, d, interval, reason, person()); err != nil {
		return failed(err)
	}
	return a.printApprovals([]approval{{Gates: []string{gate.Latch}, Changes: []string{d.Text}}}, approvedText(length))
}

// dialogue is where it is shown what will be approved.
func (a *app) dialogue() io.Writer {
	if a.json() {
		return a.stderr
	}
	return a.stdout
}

// mustAnswerYes asks, unless --yes was given; another answer is an error.
func (a *app) mustAnswerYes(ctx context.Context) error {
	if a.Yes {
		return nil
	}
	yes, err := a.answeredYes(ctx, "Approve?")
	if err != nil {
		return err
	}
	if !yes {
		return &exitError{code: exitRefused, err: errors.New("answered no: nothing was approved")}
	}
	return nil
}

func approvedText(length string) string {
	return "approved: the next run goes on, if it begins within " + length
}

func (a *app) approve(ctx context.Context, length, interval, reason string) error {
	erasures := len(a.Policies) == 0 || slices.Contains(a.Policies, policy.ErasurePolicy)
	only := erasures && len(a.Policies) == 1
	a.Policies = slices.DeleteFunc(a.Policies, func(name string) bool { return name == policy.ErasurePolicy })
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.pool.Close()
	if only {
		s.plans = nil
	}
	if s.hasErrors() {
		a.sayProblems(s.problems())
		return usage(errors.New("nothing was approved: fix the errors above first"))
	}
	if err := s.planned(); err != nil {
		return err
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	if err := l.Usable(ctx, s.pool); err != nil {
		return coded(err, err)
	}
	verdicts, err := s.verdicts(ctx, l, gate.ByNobody, nil)
	if err != nil {
		return failed(err)
	}
	if erasures && (only || s.file.Erasure != nil) {
		p, err := a.plannedErasure(ctx, s, l)
		if err != nil {
			return err
		}
		more, err := erasureVerdicts(ctx, s, l, p)
		if err != nil {
			return failed(err)
		}
		verdicts = append(verdicts, more...)
	}
	if !printVerdicts(a.dialogue(), verdicts) {
		return a.printApprovals(nil, "nothing waits for approval")
	}
	approvals := approvalsOf(verdicts)
	if len(approvals) == 0 {
		return &exitError{code: exitRefused, err: errors.New("nothing was approved: the database has to be approved by itself: " + gate.FixDatabase)}
	}
	if err := a.mustAnswerYes(ctx); err != nil {
		return err
	}
	if _, err := l.Migrate(ctx, s.pool); err != nil {
		return coded(err, err)
	}
	if err := a.approvePolicies(ctx, s, l, verdicts, interval, reason); err != nil {
		return failed(err)
	}
	return a.printApprovals(approvals, approvedText(length))
}

// approval is what approve prints of one.
type approval struct {
	Policy  *string  `json:"policy"` // nil: the database
	Gates   []string `json:"gates"`
	Changes []string `json:"changes"`
}

// approvalsOf are those that an approval of the policies gives.
func approvalsOf(all []*gate.Verdict) (approvals []approval) {
	for _, s := range all {
		if len(s.Own().Gates) == 0 {
			continue
		}
		x := approval{&s.Policy, s.Own().Gates, []string{}}
		if slices.Contains(s.Gates, gate.Drift) {
			x.Changes = s.Changes
		}
		if s.TooMany != "" {
			x.Changes = append(x.Changes, s.TooMany)
		}
		approvals = append(approvals, x)
	}
	return approvals
}

// printApprovals prints what was approved.
func (a *app) printApprovals(approvals []approval, text string) error {
	if !a.json() {
		a.printf("%s\n", text)
		return nil
	}
	return a.printResult(map[string]any{"approved": emptyNotNull(approvals)})
}

// verdicts are what the gates say of the runs of the plans that have no errors. rows says whether
// the rows that are due have to be counted, due how many are where that is known.
func (s *session) verdicts(ctx context.Context, l *ledger.Ledger, rows gate.RowsAnswered, due map[string]int64) (all []*gate.Verdict, err error) {
	plans := s.withoutErrors()
	if len(plans) == 0 {
		return nil, nil
	}
	gates := gate.Gates{Pool: s.pool, Ledger: l, Rows: rows, Plans: plans, Due: due}
	d, err := gates.LookAtDatabase(ctx)
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		verdict, err := gates.Look(ctx, d, p)
		if err != nil {
			return nil, err
		}
		all = append(all, verdict)
	}
	return all, nil
}

// withoutErrors are the plans that have none.
func (s *session) withoutErrors() []*plan.Plan {
	return slices.DeleteFunc(slices.Clone(s.plans), func(p *plan.Plan) bool { return p.HasErrors() || p.Unplanned() != nil })
}

// gateWarnings are the refusals that the runs of the plans would meet. A role that may not read the
// ledger sees none.
func (s *session) gateWarnings(ctx context.Context, l *ledger.Ledger, rows gate.RowsAnswered, due map[string]int64) (warnings []plan.Problem, err error) {
	all, err := s.verdicts(ctx, l, rows, due)
	if pg.HasCode(err, "42501") {
		return nil, nil
	}
	if d := database(all); d != nil {
		warnings = append(warnings, plan.Problem{Level: plan.LevelWarning, Text: d.Warning(), Fix: gate.FixDatabase})
	}
	for _, x := range all {
		if own := x.Own(); len(own.Gates) > 0 {
			warnings = append(warnings, plan.Problem{Policy: x.Policy, Level: plan.LevelWarning, Text: own.Text(), Fix: own.Fix()})
		}
	}
	return warnings, err
}

// database is what the latch says to all; nil: nothing.
func database(all []*gate.Verdict) *gate.Database {
	if len(all) == 0 || all[0].Database.Text == "" {
		return nil
	}
	return all[0].Database
}

// unlatched warns of what the role may not read of the server, so that the latch cannot compare it.
func (a *app) unlatched(ctx context.Context, s *session) (warnings []plan.Problem, err error) {
	l, err := a.ledger()
	if err != nil {
		return nil, err
	}
	unread, err := l.Unread(ctx, s.pool)
	for _, function := range unread {
		warnings = append(warnings, plan.Problem{
			Level: plan.LevelWarning, Text: "this role may not call " + function + ": it is not noticed if another server, or an older state of this one, takes the place of this database",
			Fix: "GRANT EXECUTE ON FUNCTION pg_catalog." + function + " TO " + pg.Ident(s.server.Role) + ";",
		})
	}
	return warnings, err
}

// approvePolicies records that a person has approved the runs that gates of their policies refuse.
func (a *app) approvePolicies(ctx context.Context, s *session, l *ledger.Ledger, all []*gate.Verdict, length, reason string) error {
	gates := gate.Gates{Pool: s.pool, Ledger: l}
	for _, verdict := range all {
		if len(verdict.Own().Gates) == 0 {
			continue
		}
		if err := gates.Approve(ctx, verdict, length, reason, person()); err != nil {
			return err
		}
	}
	return nil
}

// approveShown records that a person has approved all that was shown, the database included.
func (a *app) approveShown(ctx context.Context, s *session, l *ledger.Ledger, all []*gate.Verdict, length, reason string) error {
	if d := database(all); d != nil {
		gates := gate.Gates{Pool: s.pool, Ledger: l}
		if err := gates.ApproveDatabase(ctx, d, length, reason, person()); err != nil {
			return err
		}
	}
	return a.approvePolicies(ctx, s, l, all, length, reason)
}

// printDatabase prints why every policy waits.
func printDatabase(to io.Writer, d *gate.Database) {
	fmt.Fprintf(to, "%s (%s)\n", visible.Text(d.Text), gate.Latch)
}

// printVerdicts prints why runs are refused, and reports whether any is.
func printVerdicts(to io.Writer, all []*gate.Verdict) (speaks bool) {
	if d := database(all); d != nil {
		speaks = true
		printDatabase(to, d)
	}
	for _, s := range all {
		if len(s.Own().Gates) == 0 {
			continue
		}
		speaks = true
		if slices.Contains(s.Gates, gate.Drift) {
			fmt.Fprintf(to, "%s: what would be deleted has changed since the last complete run (%s):\n", s.Policy, gate.Drift)
			for _, line := range s.Changes {
				fmt.Fprintf(to, "  %s\n", visible.Text(line))
			}
		}
		if slices.Contains(s.Gates, gate.Breaker) {
			fmt.Fprintf(to, "%s: %s (%s)\n", s.Policy, visible.Text(s.TooMany), gate.Breaker)
		}
	}
	return speaks
}
