// Package preview reports what a purge would do now and what is due: counts, lag, samples, storage.
// It changes nothing.
package preview

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// Preview is what a purge would do now, in the format of `plan -o json`.
type Preview struct {
	Name        string           `json:"name"`
	Table       string           `json:"table"`
	Strategy    string           `json:"strategy"`
	Reason      string           `json:"reason"`
	Index       string           `json:"index"`
	Orders      []Order          `json:"orders"`             // of the search: the one chosen, and the others
	ForeignKeys string           `json:"foreign_key_checks"` // ordinary or proven
	Summary     string           `json:"summary"`            // a sentence; empty if the plan has errors
	TenantPath  *plan.TenantPath `json:"tenant_path"`        // null: no tenants, or unknown
	// Tenants are ordered by key. If there are more than 1,000, these are the first to look at: those
	// skipped, then those with the most expired rows; but if the preview is narrowed to tenants, all.
	// EachTenant gives all; whoever writes the JSON writes them one by one.
	Tenants      []TenantPreview  `json:"-"`
	TenantStates map[string]int64 `json:"tenants_by_state"` // how many there are of each state
	InGrace      []InGrace        `json:"in_grace"`         // what comes due later, by time; not counted in an estimate
	UnownedRows  *int64           `json:"unowned_rows"`     // null: not counted in an estimate
	Tables       []TablePreview   `json:"tables"`
	ExpiredRows  int64            `json:"expired_rows"` // roots
	Estimated    bool             `json:"estimated"`
	Problems     []plan.Problem   `json:"problems"`
	Notes        []Note           `json:"notes"`
	// Storage is what the purge needs; null: not estimated.
	Storage *Storage `json:"storage"`
	// Fails: the purge would fail because of the tenants' list, and delete nothing. Then nothing is
	// counted.
	Fails bool `json:"-"`

	scope expiry.Scope // of what was counted; its zero: nothing was
}

// TablePreview is a table of the plan and the edge that leads to it; the root has no edge.
// ExpiredRows are the rows to delete or, for an edge that clears or keeps, the rows that stay
// behind it.
type TablePreview struct {
	Table       string   `json:"table"`
	Parent      string   `json:"parent"`
	Constraint  string   `json:"constraint"`
	Columns     []string `json:"columns"`
	OnDelete    string   `json:"on_delete"`
	Action      string   `json:"action"`
	Index       string   `json:"index"`
	ExpiredRows *int64   `json:"expired_rows"`

	depth int
}

// Depth is the table's distance from the root.
func (t TablePreview) Depth() int { return t.depth }

// Effect describes what a run does with the rows of the table.
func (t TablePreview) Effect() string {
	if t.Parent == "" {
		return "delete what is expired"
	}
	text := t.Action
	switch plan.EdgeAction(t.Action) {
	case plan.ByCascade, plan.ByDelete:
		text = "delete too"
	case plan.ByNullify, plan.BySetNull:
		text = "set to NULL"
	case plan.BySetDefault:
		text = "set to DEFAULT"
	case plan.ByKeep:
		text = "keep"
	}
	return text + " (" + cmp.Or(t.OnDelete, "match") + ")"
}

// Look previews a purge of a plan. If the plan has errors, or its tenants are invalid, the preview
// has only the problems.
func Look(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, sel plan.Selection, estimate bool) (*Preview, error) {
	if p.Unplanned() != nil {
		return nil, fmt.Errorf("previewing policy %s: %w", p.Policy.Name, p.Unplanned())
	}
	strategy, reason := p.Shown(sel)
	v := &Preview{
		Name: p.Policy.Name, Table: p.Policy.Table.String(), Strategy: strategy, Reason: reason, Index: p.Index, ForeignKeys: p.ForeignKeyChecks(),
		Orders: []Order{}, Tenants: []TenantPreview{}, TenantStates: map[string]int64{}, InGrace: []InGrace{}, Tables: []TablePreview{}, Estimated: estimate, Problems: append([]plan.Problem{}, p.Problems...), Notes: []Note{},
	}
	if p.Root != nil {
		v.Table = p.Root.Table.Name.String()
	}
	v.Tables = Tree(p)
	if p.HasErrors() {
		return v, nil
	}
	v.Summary, v.TenantPath = Summary(p), p.TenantPath()
	l := &previewer{plan: p, view: v, estimate: estimate, scope: expiry.Scope{OlderThan: sel.OlderThan, Only: sel.Tenants}}
	problem, err := listProblem(ctx, pool, p, l.scope, plan.LevelError)
	if err != nil {
		return nil, fmt.Errorf("previewing policy %s: reading tenants: %w", p.Policy.Name, err)
	}
	if problem != nil {
		v.Fails, v.Problems = true, append(v.Problems, *problem)
		return v, nil
	}
	advised, err := advise(ctx, pool, p)
	if err != nil {
		return nil, fmt.Errorf("previewing policy %s: %w", p.Policy.Name, err)
	}
	l.unowned, v.Problems, v.Notes = advised.unowned, append(v.Problems, advised.problems...), append(v.Notes, advised.notes...)
	err = pg.ReadOnly(ctx, pool, p.ReadingPath(), 0, func(tx pgx.Tx) error {
		l.tx = tx
		if err := tx.QueryRow(ctx, `SELECT now()::text`).Scan(&l.scope.Base); err != nil {
			return err
		}
		for _, step := range []func(context.Context) error{l.findKept, l.tenants, l.inGrace, l.neverExpiring, l.tables, l.orders, l.addHints} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		v.scope = l.scope
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("previewing policy %s: %w", p.Policy.Name, err)
	}
	return v, nil
}

// Tree lists the tables depth first, one entry per edge; it visits each edge of a cycle once.
func Tree(p *plan.Plan) []TablePreview {
	if p.Root == nil {
		return []TablePreview{}
	}
	out := []TablePreview{{Table: p.Root.Table.Name.String(), Columns: plan.ColumnNames(p.Key), Action: "delete", Index: p.Index}}
	seen := map[*plan.Edge]bool{}
	var walk func(n *plan.Node, depth int)
	walk = func(n *plan.Node, depth int) {
		for _, e := range n.Out {
			if seen[e] {
				continue
			}
			seen[e] = true
			t := TablePreview{
				Table: e.Child.Table.Name.String(), Parent: n.Table.Name.String(), Constraint: e.Label(),
				Columns: e.ChildColumns, Action: string(e.Action), Index: e.Index, depth: depth,
			}
			if e.Key != nil {
				t.OnDelete = e.Key.OnDelete.String()
			}
			out = append(out, t)
			if e.Action.Deletes() {
				walk(e.Child, depth+1)
			}
		}
	}
	walk(p.Root, 1)
	return out
}

type previewer struct {
	tx       pgx.Tx
	plan     *plan.Plan
	view     *Preview
	scope    expiry.Scope
	estimate bool
	total    int64      // rows of the root, if counted
	unowned  bool       // a problem already reports that most rows have no tenant
	latest   *time.Time // cutoff of all tenants; nil: there is none
	cutoffs  []tenantsOf
}

// neverExpiring counts rows that are never deleted: without a tenant, or without a valid age.
func (l *previewer) neverExpiring(ctx context.Context) error {
	p := l.plan
	if l.estimate {
		return nil
	}
	s := &pg.Statement{}
	t := p.Root.Table
	a := p.Age.Of(t)
	unowned := "0::bigint"
	if !p.NoTenant {
		// As a condition of rows, and not of what is counted, it can be one join.
		owned := "(" + p.Tenants.Relation(nil) + ") reaper_t"
		joins, on, key := p.PathJoin(pg.Ident(t.Name.Name) + ".")
		owner := p.Owner.FindOurs("reaper_t.key", key)
		if joins == "" {
			owned += " WHERE " + owner
		} else {
			owned = joins + " JOIN " + owned + " ON " + owner + " WHERE " + on
		}
		unowned = "count(*) - (SELECT count(*) FROM " + schema.From(t) + " WHERE EXISTS (SELECT FROM " + owned + "))"
	}
	endless := ""
	if p.Age.Endless() {
		endless = " OR " + a + " = 'infinity'"
	}
	s.Add("SELECT ", unowned, ", count(*) FILTER (WHERE ", a, " IS NULL OR NOT (", p.Age.Valid(a), ")", endless, "), count(*) FROM ", schema.From(t))
	var none int64
	l.view.UnownedRows = new(int64)
	if err := l.tx.QueryRow(ctx, s.String(), s.Args...).Scan(l.view.UnownedRows, &none, &l.total); err != nil {
		return fmt.Errorf("counting unowned rows: %w", err)
	}
	if *l.view.UnownedRows > 0 && !l.unowned {
		l.warn(fmt.Sprintf("%s of %s without a tenant, never deleted", visible.Count(*l.view.UnownedRows, "row", "rows"), t.Name), "check whether their tenant is gone, or the path is wrong")
	}
	if none > 0 {
		what := "NULL, infinity, or a number up to 0"
		if p.Age.Unit.Identifies() {
			what = "NULL, or no " + string(p.Age.Unit)
		}
		l.warn(fmt.Sprintf("%s of %s without an age (%s), never expired", visible.Count(none, "row", "rows"), t.Name, what), "give them an age if they should expire")
	}
	return nil
}

func (l *previewer) warn(text, fix string) {
	l.view.Problems = append(l.view.Problems, plan.Problem{Policy: l.plan.Policy.Name, Level: plan.LevelWarning, Text: text, Fix: fix})
}

// tables counts or estimates the rows to delete of every table.
func (l *previewer) tables(ctx context.Context) error {
	if l.estimate {
		return l.estimates(ctx)
	}
	s := &pg.Statement{}
	nodes, edges := l.countSQL(s)
	counts := make([]int64, len(nodes)+len(edges))
	if len(l.plan.Edges) > 0 { // the roots are counted
		if err := l.tx.QueryRow(ctx, s.String(), s.Args...).Scan(pg.Pointers(counts)...); err != nil {
			return fmt.Errorf("counting dependents: %w", err)
		}
	}
	l.eachTable(func(t *TablePreview, e *plan.Edge) {
		n := int64(0)
		switch {
		case e == nil:
			n = l.view.ExpiredRows
		case e.Action.Deletes():
			n = counts[slices.Index(nodes, e.Child)]
		default:
			n = counts[len(nodes)+slices.Index(edges, e)]
		}
		t.ExpiredRows = &n
	})
	return nil
}

// eachTable visits the preview's tables with their edges.
func (l *previewer) eachTable(visit func(*TablePreview, *plan.Edge)) {
	visit(&l.view.Tables[0], nil)
	for i := range l.view.Tables[1:] {
		t := &l.view.Tables[i+1]
		for _, e := range l.plan.Edges {
			if e.Label() == t.Constraint && e.Child.Table.Name.String() == t.Table && e.Parent.Table.Name.String() == t.Parent &&
				strings.Join(e.ChildColumns, ",") == strings.Join(t.Columns, ",") {
				visit(t, e)
				break
			}
		}
	}
}
