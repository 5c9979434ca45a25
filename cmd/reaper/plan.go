package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

type planFlags struct {
	sql, estimate bool
	save          string // a file for the prints; empty: none
}

func (a *app) planCommand() *cobra.Command {
	var flags planFlags
	cmd := &cobra.Command{
		Use: "plan", Short: "Show what a purge would do now", Args: noArgs,
		Long: `plan changes nothing. It shows the tree of tables with what happens to each, the
key that leads there and the index that serves it, and for each tenant its
retention, its cutoff and its expired rows. Problems come first, each with its fix.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.plan(cmd.Context(), flags) },
	}
	a.narrowing(cmd)
	cmd.Flags().BoolVar(&flags.sql, "sql", false, "print the statements of a batch too")
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
	gates, err := s.gateWarnings(ctx, l, gate.ByNobody)
	if err != nil {
		return failed(err)
	}
	if flags.save != "" && len(a.Policies) > 0 {
		return usage(errors.New("--save writes the prints of all policies: leave out --policy"))
	}
	if flags.save != "" {
		if err := s.saveLock(ctx, flags.save); err != nil {
			return err
		}
	}
	views := []*preview.Preview{}
	blocked := len(s.server.Problems()) > 0
	for _, p := range s.plans {
		p.Problems = slices.Concat(s.server.Problems(), s.warningsOf(p.Policy.Name), p.Problems)
		v, err := preview.Look(ctx, s.pool, p, opts.Selection(), flags.estimate)
		if err != nil {
			return failed(err)
		}
		for _, w := range gates {
			if w.Policy == v.Name || w.Policy == "" { // the latch is of all
				v.Problems = append(v.Problems, w)
			}
		}
		a.needs(ctx, s, l, p, v)
		views = append(views, v)
	}
	if blocked && len(s.plans) == 0 {
		printProblems(a.stderr, s.problems())
	}
	if a.json() {
		if err := a.printJSON(map[string]any{"policies": views}); err != nil {
			return failed(err)
		}
	} else {
		for i, v := range views {
			a.printPreview(v)
			if i < len(views)-1 && !flags.sql {
				a.printf("\n")
			}
			if flags.sql && !s.plans[i].HasErrors() {
				a.printf("\n%s\n", visible.SQL(preview.SQL(s.plans[i], opts.Selection(), l.Cutoffs())))
			}
		}
	}
	switch {
	case s.hasErrors():
		return &exitError{code: exitUsage}
	case slices.ContainsFunc(views, func(v *preview.Preview) bool { return v.Fails }):
		return &exitError{code: exitFailed} // the exit code of a purge
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

// shownTenants is how many tenants are shown: those that need attention first, then those with the
// most rows to delete.
const shownTenants = 10

func (a *app) printPreview(v *preview.Preview) {
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
		a.printf("%s\n", tablesOf(v))
	}
	if len(v.Tenants) > 0 {
		a.printTenants(v)
	}
	if v.Storage != nil && v.Storage.WALBytes > 0 {
		a.printf("storage: a purge writes %s\n", visible.Text(v.Storage.String()))
	}
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

func tablesOf(v *preview.Preview) string {
	t := grid(5)
	t.header("table", "by", "action", "index", count(v, "rows"))
	for _, x := range v.Tables {
		name, action := x.Table, "delete what is expired"
		if x.Parent != "" {
			name = strings.Repeat("  ", x.Depth()-1) + "└ " + name
			action = what(x.Action) + " (" + cmp.Or(x.OnDelete, "match") + ")"
		}
		expired := "?"
		if x.ExpiredRows != nil {
			expired = humanize.Comma(*x.ExpiredRows)
		}
		t.row(name, strings.Join(x.Columns, ", "), action, cmp.Or(x.Index, "none"), expired)
	}
	return t.String()
}

// what describes the effect of an action on the rows behind an edge.
func what(action string) string {
	switch plan.EdgeAction(action) {
	case plan.ByCascade, plan.ByDelete:
		return "delete too"
	case plan.ByNullify, plan.BySetNull:
		return "set to NULL"
	case plan.BySetDefault:
		return "set to DEFAULT"
	case plan.ByKeep:
		return "keep"
	}
	return action
}

func count(v *preview.Preview, what string) string {
	if v.Estimated {
		return what + " (estimate)"
	}
	return what
}

// tenantStates in display order; clear tenants are only counted.
var tenantStates = []string{"skipped", "due", "held", "forever", "clear"}

func (a *app) printTenants(v *preview.Preview) {
	states := map[string]int64{}
	var interesting []preview.TenantPreview
	for _, x := range v.Tenants {
		states[x.State]++
		if x.State != "clear" {
			interesting = append(interesting, x)
		}
	}
	slices.SortStableFunc(interesting, func(x, y preview.TenantPreview) int {
		return cmp.Or(cmp.Compare(slices.Index(tenantStates, x.State), slices.Index(tenantStates, y.State)), cmp.Compare(rows(y), rows(x)))
	})
	shown := interesting[:min(len(interesting), shownTenants)]
	if len(shown) > 0 {
		t := grid(5)
		t.header("tenant", "retention", "cutoff (UTC)", "state", "expired rows")
		for _, x := range shown {
			t.row(tenantRow(x)...)
		}
		a.printf("%s\n", t)
	}
	if hidden := len(interesting) - len(shown); hidden > 0 {
		a.printf("  and %s: --output json lists all, --tenant shows one\n", many(int64(hidden), "more tenant", "more tenants"))
	}
	var parts []string
	for _, s := range tenantStates {
		if states[s] > 0 {
			parts = append(parts, humanize.Comma(states[s])+" "+s)
		}
	}
	if len(v.Tenants) != 1 || v.Tenants[0].Key != nil {
		a.printf("tenants: %s\n", strings.Join(parts, ", "))
	}
	a.printf("%s: %s", count(v, "expired rows"), humanize.Comma(v.ExpiredRows))
	if v.UnownedRows != nil && *v.UnownedRows > 0 {
		a.printf("; without a tenant, and never deleted: %s", humanize.Comma(*v.UnownedRows))
	}
	a.printf("\n")
}

func rows(t preview.TenantPreview) int64 {
	if t.ExpiredRows == nil {
		return 0
	}
	return *t.ExpiredRows
}

func tenantRow(x preview.TenantPreview) []any {
	key, retention, cutoff, expired := "all rows", "none", "", "?"
	if x.Key != nil {
		key = keyText(*x.Key)
	}
	if x.Retention != nil {
		retention = *x.Retention
	}
	if retention == "00:00:00" { // also stands for an out-of-range number of days
		retention = "zero or absurd"
	}
	if x.Floored {
		retention += " (raised to min)"
	}
	if x.Cutoff != nil {
		cutoff = x.Cutoff.UTC().Format(time.DateTime)
	}
	if x.ExpiredRows != nil {
		expired = humanize.Comma(*x.ExpiredRows)
	}
	return []any{key, retention, cutoff, x.State, expired}
}
