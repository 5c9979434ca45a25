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
	cmd := &cobra.Command{
		Use: "approve [--policy NAME]", Short: "Let a policy's runs go on that wait for a person's word", Args: noArgs,
		Long: `approve shows why the run of a policy is refused, and asks. A yes holds for exactly
what it has shown: if the schema or the policy file changes once more, or
more than twice the rows are due, the runs wait again. A run has to begin within
--for; from then on the next ones are compared with it. Without --policy it asks for
every policy that waits.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.approve(cmd.Context(), length, reason) },
	}
	a.selection(cmd)
	cmd.Flags().StringVar(&length, "for", "24h", "within which time a run has to begin: 24h; at most 30d")
	cmd.Flags().StringVar(&reason, "reason", "", "the reason, for those who ask later")
	cmd.Flags().BoolVar(&a.Yes, "yes", a.Yes, "approve without asking (REAPER_YES)")
	return cmd
}

// longestApproval is the longest --for, in days.
const longestApproval = 30

func (a *app) approve(ctx context.Context, length, reason string) error {
	d, err := policy.ParseDuration(length)
	if err != nil || d.Forever || d.IsZero() || d.Approximately().Hours() > longestApproval*24 {
		return usage(fmt.Errorf("--for %s: write a duration of at most %dd, such as 24h", length, longestApproval))
	}
	if reason != "" {
		if reason, err = statedReason(reason, "approve"); err != nil {
			return err
		}
	}
	if !a.Yes && !a.terminal {
		return usage(errors.New("approve asks for confirmation, but stdin is not a terminal: use --yes"))
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.pool.Close()
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
	verdicts, err := s.verdicts(ctx, l, gate.ByNobody)
	if err != nil {
		return failed(err)
	}
	shown := a.stdout
	if a.json() {
		shown = a.stderr
	}
	if !printVerdicts(shown, verdicts) {
		return a.approved(verdicts, "nothing waits for approval")
	}
	if !a.Yes {
		yes, err := a.answeredYes(ctx, "Approve?")
		if err != nil {
			return err
		}
		if !yes {
			return &exitError{code: exitRefused, err: errors.New("answered no: nothing was approved")}
		}
	}
	if _, err := l.Migrate(ctx, s.pool); err != nil {
		return coded(err, err)
	}
	if err := a.approveAll(ctx, s, l, verdicts, d.Interval(), reason); err != nil {
		return failed(err)
	}
	return a.approved(verdicts, "approved: the next run goes on, if it begins within "+length)
}

// approved prints what was approved.
func (a *app) approved(all []*gate.Verdict, text string) error {
	if !a.json() {
		a.printf("%s\n", text)
		return nil
	}
	type approval struct {
		Policy  string   `json:"policy"`
		Gates   []string `json:"gates"`
		Changes []string `json:"changes"`
	}
	approvals := []approval{}
	for _, s := range all {
		if len(s.Gates) > 0 {
			x := approval{s.Policy, s.Gates, []string{}}
			if slices.Contains(s.Gates, gate.Drift) {
				x.Changes = s.Changes
			}
			if s.TooMany != "" {
				x.Changes = append(x.Changes, s.TooMany)
			}
			approvals = append(approvals, x)
		}
	}
	return a.printResult(map[string]any{"approved": approvals})
}

// verdicts are what the gates say of the runs of the plans that have no errors. rows says whether
// the rows that are due have to be counted.
func (s *session) verdicts(ctx context.Context, l *ledger.Ledger, rows gate.RowsAnswered) (all []*gate.Verdict, err error) {
	gates := gate.Gates{Pool: s.pool, Ledger: l, Rows: rows}
	for _, p := range s.plans {
		if p.HasErrors() || p.Unplanned() != nil {
			continue
		}
		verdict, err := gates.Look(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, verdict)
	}
	return all, nil
}

// gateWarnings are the refusals that the runs of the plans would meet. A role that may not read the
// ledger sees none.
func (s *session) gateWarnings(ctx context.Context, l *ledger.Ledger, rows gate.RowsAnswered) (warnings []plan.Problem, err error) {
	all, err := s.verdicts(ctx, l, rows)
	if pg.HasCode(err, "42501") {
		return nil, nil
	}
	for _, x := range all {
		if len(x.Gates) > 0 {
			warnings = append(warnings, plan.Problem{Policy: x.Policy, Level: plan.LevelWarning, Text: x.Text(), Fix: x.Fix()})
		}
	}
	return warnings, err
}

// approveAll records that a person has approved the runs that are refused.
func (a *app) approveAll(ctx context.Context, s *session, l *ledger.Ledger, all []*gate.Verdict, length, reason string) error {
	gates := gate.Gates{Pool: s.pool, Ledger: l}
	for _, verdict := range all {
		if len(verdict.Gates) == 0 {
			continue
		}
		if err := gates.Approve(ctx, verdict, length, reason, person()); err != nil {
			return err
		}
	}
	return nil
}

// printVerdicts prints why runs are refused, and reports whether any is.
func printVerdicts(to io.Writer, all []*gate.Verdict) (speaks bool) {
	for _, s := range all {
		if len(s.Gates) == 0 {
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
