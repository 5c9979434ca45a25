package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/purge"
)

type planFlags struct{ sql, estimate bool }

func (a *app) planCommand() *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what a purge would do now", Args: noArgs,
		Long: `plan shows, and touches nothing: the tree of tables with what happens to each,
the key that leads there and the index that serves it; per tenant its retention,
its cutoff and its expired rows. Problems come first, each with its fix.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.plan(cmd.Context(), flags) },
	}
	a.narrowing(cmd)
	cmd.Flags().BoolVar(&flags.sql, "sql", false, "print the statements of a batch too")
	cmd.Flags().BoolVar(&flags.estimate, "estimate", false, "planner statistics in place of exact counts: fast on large tables")
	return cmd
}

func (a *app) plan(ctx context.Context, flags planFlags) error {
	opts, err := a.options()
	if err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.pool.Close()
	views := []*purge.Preview{}
	blocked := len(s.server.Problems()) > 0
	for _, p := range s.plans {
		p.Problems = append(s.server.Problems(), p.Problems...)
		v, err := purge.Look(ctx, s.pool, p, opts, flags.estimate)
		if err != nil {
			return failed(err)
		}
		views = append(views, v)
	}
	if blocked && len(s.plans) == 0 {
		printProblems(a.stderr, s.server.Problems())
	}
	if a.json() {
		if err := a.printJSON(map[string]any{"policies": views}); err != nil {
			return failed(err)
		}
	} else {
		for i, v := range views {
			a.printPreview(v)
			if flags.sql && !s.plans[i].HasErrors() {
				a.printf("\n%s\n", s.plans[i].SQL(opts))
			}
		}
	}
	if s.hasErrors() {
		return &exitError{code: exitUsage}
	}
	return nil
}

// shownTenants is how many due tenants a person is shown.
const shownTenants = 20

func (a *app) printPreview(v *purge.Preview) {
	a.printf("policy %s: %s\n", v.Name, v.Table)
	problems := slices.Clone(v.Problems)
	slices.SortStableFunc(problems, func(x, y purge.Problem) int { return strings.Compare(string(x.Level), string(y.Level)) })
	printProblems(a.stdout, problems)
	if v.Strategy != "" {
		a.printf("strategy: %s (%s)\n", v.Strategy, v.Reason)
	}
	if len(v.Tables) > 0 {
		a.printf("%s\n", tablesOf(v))
	}
	if len(v.Tenants) > 0 {
		a.printTenants(v)
	}
}

func tablesOf(v *purge.Preview) string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"table", "by", "on delete", "action", "index", count(v, "expired rows")})
	for _, x := range v.Tables {
		name := x.Table
		if x.Parent != "" {
			name = strings.Repeat("  ", x.Depth()-1) + "└ " + name
		}
		by := x.Constraint
		if by != "" {
			by += " (" + strings.Join(x.Columns, ", ") + ")"
		} else {
			by = "key (" + strings.Join(x.Columns, ", ") + ")"
		}
		rows := "?"
		if x.ExpiredRows != nil {
			rows = humanize.Comma(*x.ExpiredRows)
		}
		index := x.Index
		if index == "" {
			index = "none"
		}
		t.AppendRow(table.Row{name, by, x.OnDelete, x.Action, index, rows})
	}
	return t.Render()
}

func count(v *purge.Preview, what string) string {
	if v.Estimated {
		return what + " (estimate)"
	}
	return what
}

func (a *app) printTenants(v *purge.Preview) {
	states := map[string]int{}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"tenant", "retention", "cutoff", "state", "expired rows"})
	shown := 0
	for _, x := range v.Tenants {
		states[x.State]++
		if x.State == "clear" || shown == shownTenants {
			continue
		}
		shown++
		t.AppendRow(tenantRow(x))
	}
	if shown > 0 {
		a.printf("%s\n", t.Render())
	}
	var parts []string
	for _, s := range []string{"due", "clear", "held", "forever", "skipped"} {
		if states[s] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", states[s], s))
		}
	}
	a.printf("tenants: %s; expired rows: %s", strings.Join(parts, ", "), humanize.Comma(v.ExpiredRows))
	if v.UnownedRows != nil {
		a.printf("; unowned rows: %s", humanize.Comma(*v.UnownedRows))
	}
	a.printf("\n")
}

func tenantRow(x purge.TenantPreview) table.Row {
	key, retention, cutoff, rows := "all rows", "none", "", "?"
	if x.Key != nil {
		key = *x.Key
	}
	if x.Retention != nil {
		retention = *x.Retention
	}
	if x.Floored {
		retention += " (raised to min)"
	}
	if x.Cutoff != nil {
		cutoff = x.Cutoff.UTC().Format(time.RFC3339)
	}
	if x.ExpiredRows != nil {
		rows = humanize.Comma(*x.ExpiredRows)
	}
	return table.Row{key, retention, cutoff, x.State, rows}
}
