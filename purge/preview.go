package purge

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Preview is what a purge would do now, as `plan -o json` prints it.
type Preview struct {
	Name        string          `json:"name"`
	Table       string          `json:"table"`
	Strategy    string          `json:"strategy"`
	Reason      string          `json:"reason"`
	Index       string          `json:"index"`
	ForeignKeys string          `json:"foreign_key_checks"` // ordinary, or proven
	Summary     string          `json:"summary"`            // in words; empty: the plan has errors
	TenantPath  *TenantPath     `json:"tenant_path"`        // null: no tenants, or not known
	Tenants     []TenantPreview `json:"tenants"`
	UnownedRows *int64          `json:"unowned_rows"` // null: estimated only
	Tables      []TablePreview  `json:"tables"`
	ExpiredRows int64           `json:"expired_rows"` // roots
	Estimated   bool            `json:"estimated"`
	Problems    []Problem       `json:"problems"`
	Notes       []Note          `json:"notes"`
	// Storage is what it takes; null: it was not estimated.
	Storage *Storage `json:"storage"`
	// Fails tells that a purge would fail by a problem of the tenants' list, and
	// delete nothing. Nothing is counted then.
	Fails bool `json:"-"`
}

// TenantPreview is one tenant under a policy. Cutoff is null where there is
// none, ExpiredRows where it was not counted.
type TenantPreview struct {
	Key         *string    `json:"key"`
	Retention   *string    `json:"retention"`
	Cutoff      *time.Time `json:"cutoff"`
	State       string     `json:"state"` // due, clear, held, forever, skipped
	Floored     bool       `json:"floored"`
	ExpiredRows *int64     `json:"expired_rows"`
}

// TablePreview is one table of the plan and the edge that leads to it; the
// root has no edge. ExpiredRows are rows that would go, or, for an edge that
// empties or keeps, the rows behind it that stay.
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

// Depth is how far the table hangs below the root.
func (t TablePreview) Depth() int { return t.depth }

// Look tells what a purge of a plan would do now. A plan with errors, or whose
// tenants cannot be trusted, gives its problems alone.
func Look(ctx context.Context, pool *pgxpool.Pool, p *Plan, sel Selection, estimate bool) (*Preview, error) {
	if p.unplanned != nil {
		return nil, fmt.Errorf("looking at policy %s: %w", p.Policy.Name, p.unplanned)
	}
	strategy, reason := p.shown(sel)
	v := &Preview{
		Name: p.Policy.Name, Table: p.Policy.Table.String(), Strategy: strategy, Reason: reason, Index: p.Index, ForeignKeys: p.ForeignKeyChecks(),
		Tenants: []TenantPreview{}, Tables: []TablePreview{}, Estimated: estimate, Problems: append([]Problem{}, p.Problems...), Notes: []Note{},
	}
	if p.Root != nil {
		v.Table = p.Root.Table.Name.String()
	}
	v.Tables = p.tree()
	if p.HasErrors() {
		return v, nil
	}
	v.Summary, v.TenantPath = p.Summary(), p.TenantPath()
	l := &looker{plan: p, view: v, estimate: estimate, scope: scope{olderThan: sel.OlderThan, only: sel.Tenants}}
	problem, err := p.listProblem(ctx, pool, l.scope, LevelError)
	if err != nil {
		return nil, fmt.Errorf("looking at policy %s: reading tenants: %w", p.Policy.Name, err)
	}
	if problem != nil {
		v.Fails, v.Problems = true, append(v.Problems, *problem)
		return v, nil
	}
	advised, err := p.advise(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("looking at policy %s: %w", p.Policy.Name, err)
	}
	l.unowned, v.Problems, v.Notes = advised.unowned, append(v.Problems, advised.problems...), append(v.Notes, advised.notes...)
	err = readOnly(ctx, pool, p.readingPath(), 0, func(tx pgx.Tx) error {
		l.tx = tx
		if err := tx.QueryRow(ctx, `SELECT now()::text`).Scan(&l.scope.base); err != nil {
			return err
		}
		for _, step := range []func(context.Context) error{l.keepers, l.tenants, l.oddRows, l.tables, l.hints} {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("looking at policy %s: %w", p.Policy.Name, err)
	}
	return v, nil
}

// tree lists the tables depth first, one entry an edge, cycles cut where they
// close.
func (p *Plan) tree() []TablePreview {
	if p.Root == nil {
		return []TablePreview{}
	}
	out := []TablePreview{{Table: p.Root.Table.Name.String(), Columns: columnNames(p.key), Action: "delete", Index: p.Index}}
	seen := map[*Edge]bool{}
	var walk func(n *Node, depth int)
	walk = func(n *Node, depth int) {
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
			if e.Action.deletes() {
				walk(e.Child, depth+1)
			}
		}
	}
	walk(p.Root, 1)
	return out
}

type looker struct {
	tx       pgx.Tx
	plan     *Plan
	view     *Preview
	scope    scope
	estimate bool
	total    int64 // rows of the root, where they are counted
	unowned  bool  // that most of them have no tenant was said
}

// tenants lists every tenant with its state, and counts its expired roots.
func (l *looker) tenants(ctx context.Context) error {
	p := l.plan
	s := &statement{}
	s.add("SELECT s.key::text, s.retention, s.cutoff, s.state, s.floored, ")
	probing := l.estimate && !p.sweeps()
	due := "d.n"
	if probing {
		due = "NULL::bigint"
	}
	s.add(due, ", d.n IS NOT NULL FROM ", p.tenants.write(s, l.scope), " s LEFT JOIN (")
	if probing {
		s.add("SELECT x.key, 1 AS n FROM (", p.due(s.inner(), l.scope).String(), ") x(key, cutoff)")
	} else {
		inner := p.backlog(s.inner(), l.scope, "reaper_x.tenant::text, ")
		s.add("SELECT x.key, x.n FROM (", inner.String(), " GROUP BY reaper_x.tenant) x(key, n, lag, tenants)")
	}
	s.add(") d ON d.key IS NOT DISTINCT FROM s.key::text ORDER BY s.key")
	rows, err := l.tx.Query(ctx, s.String(), s.args...)
	if err != nil {
		return fmt.Errorf("counting expired rows: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var t TenantPreview
		var found bool
		if err := rows.Scan(&t.Key, &t.Retention, &t.Cutoff, &t.State, &t.Floored, &t.ExpiredRows, &found); err != nil {
			return fmt.Errorf("counting expired rows: %w", err)
		}
		l.add(t, found, probing)
	}
	return rows.Err()
}

func (l *looker) add(t TenantPreview, found, probing bool) {
	switch t.State {
	case stateActive:
		t.State = "clear"
		if found {
			t.State = "due"
		}
	case stateForever:
		forever := "forever"
		t.Retention, t.Cutoff = &forever, nil
	default:
		t.Cutoff = nil
	}
	if t.ExpiredRows == nil && !probing {
		t.ExpiredRows = new(int64)
	}
	if t.ExpiredRows != nil {
		l.view.ExpiredRows += *t.ExpiredRows
	}
	l.view.Tenants = append(l.view.Tenants, t)
}

// oddRows counts rows that never go: without an owner, or without a usable
// age.
func (l *looker) oddRows(ctx context.Context) error {
	p := l.plan
	if l.estimate {
		return nil
	}
	s := &statement{}
	t := p.Root.Table
	a := col(t, p.age.column.Name)
	unowned := "false"
	if !p.noTenant {
		relation := "(" + p.tenants.relation(nil) + ")"
		joins, on, key := p.pathJoin(ident(t.Name.Name) + ".")
		if joins == "" {
			unowned = "NOT EXISTS (SELECT FROM " + relation + " reaper_t WHERE " + p.owner.findOurs("reaper_t.key", key) + ")"
		} else {
			unowned = "NOT EXISTS (SELECT FROM " + joins + " JOIN " + relation + " reaper_t ON " + p.owner.findOurs("reaper_t.key", key) + " WHERE " + on + ")"
		}
	}
	endless := ""
	if !p.age.integer() {
		endless = " OR " + a + " = 'infinity'"
	}
	s.add("SELECT count(*) FILTER (WHERE ", unowned, "), count(*) FILTER (WHERE ", a, " IS NULL OR NOT ", p.age.valid(a), endless, "), count(*) FROM ", from(t))
	var none int64
	l.view.UnownedRows = new(int64)
	if err := l.tx.QueryRow(ctx, s.String(), s.args...).Scan(l.view.UnownedRows, &none, &l.total); err != nil {
		return fmt.Errorf("counting unowned rows: %w", err)
	}
	if *l.view.UnownedRows > 0 && !l.unowned {
		l.warn(fmt.Sprintf("%s of %s without a tenant, never deleted", many(*l.view.UnownedRows, "row", "rows"), t.Name), "see whether their tenant is gone, or the path is the right one")
	}
	if none > 0 {
		l.warn(fmt.Sprintf("%s of %s without an age (NULL, infinity, or a number up to 0), never expired", many(none, "row", "rows"), t.Name), "give them an age if they should go")
	}
	return nil
}

func (l *looker) warn(text, fix string) {
	l.view.Problems = append(l.view.Problems, Problem{Policy: l.plan.Policy.Name, Level: LevelWarning, Text: text, Fix: fix})
}

// tables counts, or estimates, the rows that would go of every table.
func (l *looker) tables(ctx context.Context) error {
	if l.estimate {
		return l.estimates(ctx)
	}
	s := &statement{}
	nodes, edges := l.countSQL(s)
	counts := make([]int64, len(nodes)+len(edges))
	if len(counts) > 0 {
		if err := l.tx.QueryRow(ctx, s.String(), s.args...).Scan(pointers(counts)...); err != nil {
			return fmt.Errorf("counting dependents: %w", err)
		}
	}
	l.eachTable(func(t *TablePreview, e *Edge) {
		n := int64(0)
		switch {
		case e == nil:
			n = l.view.ExpiredRows
		case e.Action.deletes():
			n = counts[slices.Index(nodes, e.Child)]
		default:
			n = counts[len(nodes)+slices.Index(edges, e)]
		}
		t.ExpiredRows = &n
	})
	return nil
}

// eachTable visits the preview's tables with their edges.
func (l *looker) eachTable(visit func(*TablePreview, *Edge)) {
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
