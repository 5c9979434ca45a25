package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/explain"
	"github.com/reaperdb/reaper/internal/nearest"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

func (a *app) explainCommand() *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use: "explain POLICY KEY… | explain [POLICY] --tenant KEY", Short: "Say why a row is deleted or stays, and when",
		Long: `explain looks at one row of a policy's table, by its key, and says whether the next
run deletes it, and why: its tenant and the path to it, where its retention comes
from, the cutoff, when the row expires, holds, grace, the policy's where, the rows
that keep it, and those that would go with it. A key of several columns is given
by column, or as CSV: 5,x.

With --tenant it says of a tenant, for each policy or for one, its retention, what
holds it, what is due, and when rows of it were last deleted.

explain changes nothing. It exits with 0 whatever the answer, with 2 if there is no
such row.`,
		Args: cobra.ArbitraryArgs, ValidArgsFunction: a.completePolicyArgument,
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("tenant") {
				return a.explainTenant(cmd.Context(), args, tenant)
			}
			return a.explainRow(cmd.Context(), args)
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "explain a tenant instead of a row, by its key")
	return cmd
}

// completePolicyArgument offers the file's policies for the first argument.
func (a *app) completePolicyArgument(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	file, err := a.readPolicy()
	if err != nil || len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return policyNames(file), cobra.ShellCompDirectiveNoFileComp
}

func policyNames(file *policy.File) (names []string) {
	for _, p := range file.Policies {
		names = append(names, p.Name)
	}
	return names
}

// openAll plans all policies, since others may delete a row too, after checking the named one.
func (a *app) openAll(ctx context.Context, name string) (*session, error) {
	file, err := a.readPolicy()
	if err != nil {
		return nil, err
	}
	if names := policyNames(file); name != "" && !slices.Contains(names, name) {
		text := fmt.Sprintf("explain %s: no such policy", name)
		if at := nearest.Index(name, names, len(name)/2+1); at >= 0 {
			text += "; the nearest is " + names[at]
		}
		return nil, usage(fmt.Errorf("%s; the policy file has %s", text, strings.Join(names, ", ")))
	}
	a.Policies = nil
	return a.open(ctx)
}

func (a *app) explainRow(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return usage(errors.New("explain needs a policy and the key of a row of its table, or --tenant KEY: reaper explain emails 42"))
	}
	if err := checkKeys("key", args[1:]); err != nil {
		return err
	}
	s, err := a.openAll(ctx, args[0])
	if err != nil {
		return err
	}
	defer s.pool.Close()
	p := s.named(args[0])
	if err := a.explainable(p, s); err != nil {
		return err
	}
	key, err := purge.KnownRoot(ctx, s.pool, p, "key", args[1:], false)
	if _, wrong := errors.AsType[*purge.UsageError](err); wrong {
		return usage(err)
	}
	if err != nil {
		return failed(err)
	}
	q, err := a.question(ctx, s, p)
	if err != nil {
		return failed(err)
	}
	row, err := &explain.Row{}, explain.ErrNoRow
	if key != nil {
		row, err = explain.Explain(ctx, s.pool, q, key)
	}
	if errors.Is(err, explain.ErrNoRow) {
		return usage(fmt.Errorf("no row of %s has the key %s", p.Root.Table.Name, strings.Join(args[1:], " ")))
	}
	if err != nil {
		return failed(err)
	}
	if a.json() {
		return a.printResult(row)
	}
	a.printLines(row.Lines())
	return nil
}

func (a *app) explainTenant(ctx context.Context, args []string, tenant string) error {
	if len(args) > 1 {
		return usage(errors.New("explain --tenant takes one policy at most"))
	}
	if err := checkKeys("--tenant", []string{tenant}); err != nil {
		return err
	}
	s, err := a.openAll(ctx, strings.Join(args, ""))
	if err != nil {
		return err
	}
	defer s.pool.Close()
	plans := slices.DeleteFunc(slices.Clone(s.plans), func(p *plan.Plan) bool {
		return len(args) > 0 && p.Policy.Name != args[0] || len(args) == 0 && p.Policy.Tenant.None
	})
	if len(plans) == 0 || plans[0].Policy.Tenant.None {
		return usage(errors.New("--tenant: the policy has no tenants"))
	}
	for _, p := range plans {
		if err := a.explainable(p, s); err != nil {
			return err
		}
	}
	keys, err := purge.KnownTenants(ctx, s.pool, plans, []string{tenant}, false)
	if _, wrong := errors.AsType[*purge.UsageError](err); wrong {
		return usage(err)
	}
	if err != nil {
		return failed(err)
	}
	tenants := []*explain.Tenant{}
	for _, p := range plans {
		q, err := a.question(ctx, s, p)
		if err != nil {
			return failed(err)
		}
		t, err := explain.OfTenant(ctx, s.pool, q, &keys[0])
		if err != nil {
			return failed(err)
		}
		tenants = append(tenants, t)
	}
	if a.json() {
		return a.printResult(map[string]any{"tenants": tenants})
	}
	for _, t := range tenants {
		a.printLines(t.Lines())
	}
	return nil
}

// named is the plan of a policy; nil: the server's catalog was not read.
func (s *session) named(name string) *plan.Plan {
	i := slices.IndexFunc(s.plans, func(p *plan.Plan) bool { return p.Policy.Name == name })
	if i < 0 {
		return nil
	}
	return s.plans[i]
}

// explainable returns an error for a policy of which nothing can be said, and shows why.
func (a *app) explainable(p *plan.Plan, s *session) error {
	if p != nil && p.Unplanned() != nil {
		return failed(fmt.Errorf("policy %s: %w", p.Policy.Name, p.Unplanned()))
	}
	if p == nil || !p.Readable() {
		problems := s.server.Problems()
		if p != nil {
			problems = append(problems, p.Problems...)
		}
		a.sayProblems(problems)
		return usage(errors.New("nothing can be explained: fix the errors above first"))
	}
	return nil
}

// question collects what, besides the row itself, decides whether it is deleted.
func (a *app) question(ctx context.Context, s *session, p *plan.Plan) (q explain.Question, err error) {
	l, err := a.ledger()
	if err != nil {
		return q, err
	}
	q = explain.Question{Plan: p, Ledger: l, Notes: explain.Elsewhere(p, s.plans)}
	for _, w := range s.warnings[len(a.warnings(s.file)):] { // about holds, not about the file
		q.Notes = append(q.Notes, w.Text)
	}
	if err := preview.CheckTenantLists(ctx, s.pool, []*plan.Plan{p}); err != nil {
		return q, err
	}
	p.Problems = slices.Concat(s.server.Problems(), p.Problems)
	q.Blocked, err = explain.Blocked(ctx, s.pool, l, p)
	return q, err
}

// printLines prints lines with values of the database.
func (a *app) printLines(lines []string) {
	for _, line := range lines {
		a.printf("%s\n", visible.Text(line))
	}
}
