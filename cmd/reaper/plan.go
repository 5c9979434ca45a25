package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

type planFlags struct {
	sql, estimate bool
	save          string // a file for the prints; empty: none
	all           bool   // list every tenant
}

func (a *app) planCommand() *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what a purge would do now", Args: noArgs,
		Long: `plan changes nothing. It shows the tree of tables: what happens to each, along which
key, and with which index. It counts the tenants in each state, and lists those with
the most expired rows, with their retention and cutoff. --all lists every tenant,
--tenant single ones; --output json lists all unless --all=false is given. Problems
come first, each with its fix.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("all") {
				flags.all = a.json()
			}
			return a.plan(cmd.Context(), flags)
		},
	}
	a.narrowing(cmd)
	cmd.Flags().BoolVar(&flags.sql, "sql", false, "print the statements of a batch too")
	cmd.Flags().BoolVar(&flags.all, "all", false, "list every tenant (the default of --output json)")
	cmd.Flags().StringVar(&flags.save, "save", "", "write to this file what decides which rows go, for check --against; keep it in version control")
	cmd.Flags().BoolVar(&flags.estimate, "estimate", false, "use planner statistics instead of exact counts: fast on large tables")
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
	if err := s.planned(); err != nil {
		return err
	}
	if err := s.checkTenants(ctx, opts); err != nil {
		return err
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	if flags.save != "" && len(a.Policies) > 0 {
		return usage(errors.New("--save writes the prints of all policies: leave out --policy"))
	}
	if flags.save != "" {
		if err := s.saveLock(ctx, flags.save); err != nil {
			return err
		}
	}
	blocked := len(s.server.Problems()) > 0
	views, err := a.look(ctx, s, l, opts, flags.estimate)
	if err != nil {
		return failed(err)
	}
	if blocked && len(s.plans) == 0 {
		printProblems(a.stderr, s.problems())
	}
	if err := a.printPlans(ctx, s, l, opts, views, flags); err != nil {
		return failed(err)
	}
	switch {
	case s.hasErrors():
		return &exitError{code: exitUsage}
	case slices.ContainsFunc(views, func(v *preview.Preview) bool { return v.Fails }):
		return &exitError{code: exitFailed} // the exit code of a purge
	}
	return nil
}

// look previews a purge of each plan, with what would refuse it and the storage that it needs.
func (a *app) look(ctx context.Context, s *session, l *ledger.Ledger, opts purge.Options, estimate bool) ([]*preview.Preview, error) {
	views := []*preview.Preview{}
	due := map[string]int64{}
	for _, p := range s.plans {
		p.Problems = slices.Concat(s.server.Problems(), s.warningsOf(p.Policy.Name), p.Problems)
		v, err := preview.Look(ctx, s.pool, p, opts.Selection(), estimate)
		if err != nil {
			return nil, err
		}
		if !p.HasErrors() && !v.Fails && !estimate && len(opts.Tenants) == 0 && opts.OlderThan == nil {
			due[v.Name] = v.ExpiredRows
		}
		views = append(views, v)
	}
	gates, err := s.gateWarnings(ctx, l, gate.ByNobody, due)
	if err != nil {
		return nil, err
	}
	for i, v := range views {
		for _, w := range gates {
			if w.Policy == v.Name || w.Policy == "" { // the latch is of all
				v.Problems = append(v.Problems, w)
			}
		}
		a.needs(ctx, s, l, s.plans[i], v)
	}
	return views, nil
}

// printPlans prints what a purge would do under each plan.
func (a *app) printPlans(ctx context.Context, s *session, l *ledger.Ledger, opts purge.Options, views []*preview.Preview, flags planFlags) error {
	lists := make([]tenantList, len(views))
	if flags.all {
		for i, v := range views {
			lists[i] = func(visit func(preview.TenantPreview) error) error {
				return v.EachTenant(ctx, s.pool, s.plans[i], visit)
			}
		}
	}
	if a.json() {
		return a.streamPlans(views, lists)
	}
	for i, v := range views {
		if err := a.printPreview(v, lists[i]); err != nil {
			return err
		}
		if i < len(views)-1 && !flags.sql {
			a.printf("\n")
		}
		if flags.sql && !s.plans[i].HasErrors() {
			a.printf("\n%s\n", visible.SQL(preview.SQL(s.plans[i], opts.Selection(), l.Cutoffs())))
		}
	}
	if text := totalText(views); text != "" {
		a.printf("\n%s\n", text)
	}
	return nil
}

// needs estimates the storage that the purge of a plan needs. The role that plans may lack
// privileges on the ledger, unlike the one that purges: then the estimate is left out, with a note.
func (a *app) needs(ctx context.Context, s *session, l *ledger.Ledger, p *plan.Plan, v *preview.Preview) {
	if p.HasErrors() || v.Fails {
		return
	}
	room, err := a.watch(s, l).Room(ctx)
	if err == nil {
		var need preview.Storage
		if need, err = preview.StorageNeeded(ctx, s.pool, p, l, v, room); err == nil {
			v.Storage = &need
			return
		}
	}
	if ctx.Err() == nil {
		fmt.Fprintf(a.stderr, "warning in policy %s: the storage that the purge needs is unknown: %s\n", v.Name, visible.Text(oneLine(err)))
	}
}

// printPreview prints a preview; all visits every tenant (nil: only the first are listed).
func (a *app) printPreview(v *preview.Preview, all tenantList) error {
	a.printf("policy %s, table %s\n", v.Name, visible.Text(v.Table))
	problems := slices.Clone(v.Problems)
	for i := range problems {
		problems[i].Policy = "" // the line above names it
	}
	slices.SortStableFunc(problems, func(x, y plan.Problem) int { return strings.Compare(string(x.Level), string(y.Level)) })
	printProblems(a.stdout, problems)
	for _, n := range v.Notes {
		a.printf("note: %s\n", visible.Text(n.Text))
	}
	if v.Summary != "" {
		a.printf("%s\n", visible.Text(v.Summary))
	}
	if v.TenantPath != nil && v.TenantPath.Inferred {
		a.printf("tenant path (inferred): %s\n", visible.Text(v.TenantPath.Text))
	}
	if v.Strategy != "" {
		a.printf("search: %s (%s)\n", v.Strategy, visible.Text(v.Reason))
		a.printOrders(v)
		if v.ForeignKeys != "ordinary" {
			a.printf("foreign key checks: %s\n", visible.Text(v.ForeignKeys))
		}
	}
	if len(v.Tables) > 0 {
		a.printTable(tablesOf(v))
	}
	if err := a.printTenants(v, all); err != nil {
		return err
	}
	if v.Storage != nil && v.Storage.WALBytes > 0 {
		a.printf("storage: a purge writes %s\n", visible.Text(v.Storage.String()))
	}
	return nil
}

// printOrders prints what the search reads, and what others would.
func (a *app) printOrders(v *preview.Preview) {
	about := ""
	if v.Estimated {
		about = "about "
	}
	var chosen string
	var others []string
	for _, o := range v.Orders {
		text := about + humanize.Comma(o.RowsRead)
		switch {
		case o.Chosen:
			chosen = text
		case o.Needs != "":
			others = append(others, o.Strategy+", with "+o.Needs+", "+text)
		default:
			others = append(others, o.Strategy+" "+text)
		}
	}
	if chosen != "" && v.ExpiredRows > 0 {
		a.printf("rows read to find them: %s (%s)\n", chosen, strings.Join(others, "; "))
	}
}

func tablesOf(v *preview.Preview) *terminal.Table {
	t := terminal.NewTable(column("table", 0), column("by", 1), column("action", 0), column("index", 2), figure(count(v, "rows"), 0))
	for _, x := range v.Tables {
		name := x.Table
		if x.Parent != "" {
			name = strings.Repeat("  ", x.Depth()-1) + "└ " + name
		}
		expired := "?"
		if x.ExpiredRows != nil {
			expired = humanize.Comma(*x.ExpiredRows)
		}
		t.Row(name, strings.Join(x.Columns, ", "), x.Effect(), cmp.Or(x.Index, "none"), expired)
	}
	return t
}

func count(v *preview.Preview, what string) string {
	if v.Estimated {
		return what + " (estimate)"
	}
	return what
}
