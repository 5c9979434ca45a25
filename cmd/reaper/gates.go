package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

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
		Long: `approve shows what stands against the run of a policy, and asks. A yes holds for
exactly what it has shown: if the schema or the policy file changes once more, or
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
	standing, err := s.standing(ctx, l, gate.ByNobody)
	if err != nil {
		return failed(err)
	}
	shown := a.stdout
	if a.json() {
		shown = a.stderr
	}
	if !printStanding(shown, standing) {
		return a.approved(standing, "nothing waits for approval")
	}
	if !a.Yes {
		fmt.Fprint(a.stderr, "Approve? [y/N] ")
		line, err := a.line(ctx)
		if err != nil {
			return err
		}
		if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
			return &exitError{code: exitRefused, err: errors.New("answered no: nothing was approved")}
		}
	}
	if _, err := l.Migrate(ctx, s.pool); err != nil {
		return coded(err, err)
	}
	if err := a.approveAll(ctx, s, l, standing, d.Interval(), reason); err != nil {
		return failed(err)
	}
	return a.approved(standing, "approved: the next run goes on, if it begins within "+length)
}

// approved prints what was approved.
func (a *app) approved(all []*gate.Standing, text string) error {
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
	return a.printPauses(map[string]any{"approved": approvals})
}

// standing is what stands against the runs of the plans that have no errors. rows says whether the
// rows that are due have to be counted.
func (s *session) standing(ctx context.Context, l *ledger.Ledger, rows gate.RowsAnswered) (all []*gate.Standing, err error) {
	gates := gate.Gates{Pool: s.pool, Ledger: l, Rows: rows}
	for _, p := range s.plans {
		if p.HasErrors() || p.Unplanned() != nil {
			continue
		}
		standing, err := gates.Look(ctx, p)
		if err != nil {
			return nil, err
		}
		all = append(all, standing)
	}
	return all, nil
}

// gateWarnings are what stands against the runs of the plans, by policy. A role that may not read
// the ledger sees nothing of it.
func (s *session) gateWarnings(ctx context.Context, l *ledger.Ledger, rows gate.RowsAnswered) (map[string][]plan.Problem, error) {
	all, err := s.standing(ctx, l, rows)
	if pg.HasCode(err, "42501") {
		return nil, nil
	}
	warnings := map[string][]plan.Problem{}
	for _, x := range all {
		if len(x.Gates) > 0 {
			warnings[x.Policy] = []plan.Problem{{Policy: x.Policy, Level: plan.LevelWarning, Text: x.Text(), Fix: x.Fix()}}
		}
	}
	return warnings, err
}

// approveAll records that a person has approved what stands against the runs.
func (a *app) approveAll(ctx context.Context, s *session, l *ledger.Ledger, all []*gate.Standing, length, reason string) error {
	gates := gate.Gates{Pool: s.pool, Ledger: l}
	for _, standing := range all {
		if len(standing.Gates) == 0 {
			continue
		}
		if err := gates.Approve(ctx, standing, length, reason, person()); err != nil {
			return err
		}
	}
	return nil
}

// printStanding prints what stands against runs, and reports whether anything does.
func printStanding(to io.Writer, all []*gate.Standing) (speaks bool) {
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
