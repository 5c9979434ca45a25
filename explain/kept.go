package explain

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/schema"
	"github.com/reaperdb/reaper/search"
)

// Keeper is what keeps a row, or one that would go with it: rows behind an edge of the plan that keeps.
type Keeper struct {
	Table      string     `json:"table"`
	Constraint string     `json:"constraint"`
	Keys       [][]string `json:"keys"` // of the first rows, as PostgreSQL prints them; empty: the table has no key
	More       bool       `json:"more"` // there are more of them
	// MayGo: rows of the table may be deleted themselves, and keep nothing from then on.
	MayGo bool `json:"may_go"`
}

// Taken is what happens to the rows behind an edge if the row goes.
type Taken struct {
	Table      string   `json:"table"`
	Parent     string   `json:"parent"`
	Constraint string   `json:"constraint"`
	Columns    []string `json:"columns"`
	Action     string   `json:"action"`
	Rows       int64    `json:"rows"`
	More       bool     `json:"more"` // at least so many: counting ended there
}

const (
	shownKeepers  = 5      // of an edge
	countedRows   = 10_000 // that go with a row, over all tables, and behind one edge
	triedParents  = 1000   // with which a row may go along
	rootLocations = "reaper_e"
)

// seed adds the location of the row, and its referenced columns.
func (x *asker) seed(s *pg.Statement, r *subject) {
	t := x.Plan.Root.Table
	name := pg.Ident(t.Name.Name)
	s.Add("WITH RECURSIVE ", rootLocations, " AS MATERIALIZED (SELECT ", name, ".tableoid::text AS tab, ", name, ".ctid::text AS tid",
		pg.Prefixed(len(x.Plan.Root.Refs), func(i int) string { return schema.Uncollated(t, x.Plan.Root.Refs[i]) + fmt.Sprintf(" AS r%d", i) }),
		" FROM ", schema.From(t), " WHERE ", x.Plan.KeyCondition(s, r.keys), ")")
}

// readKeepers finds what keeps the row, and whether that stays.
func (x *asker) readKeepers(ctx context.Context, r *subject) error {
	p := x.Plan
	if !p.Keeps() {
		return nil
	}
	s := x.keepersSQL(r)
	rows, err := x.tx.Query(ctx, s.String(), s.Args...)
	if err != nil {
		return fmt.Errorf("looking for what keeps the row: %w", err)
	}
	var edge int
	var key []string
	found := map[int]*Keeper{}
	if _, err := pgx.ForEachRow(rows, []any{&edge, &key}, func() error {
		k := found[edge]
		if k == nil {
			e := p.Edges[edge]
			k = &Keeper{Table: e.Child.Table.Name.String(), Constraint: e.Label(), Keys: [][]string{}, MayGo: e.Child.Deleted}
			found[edge] = k
		}
		switch {
		case key == nil:
		case len(k.Keys) == shownKeepers:
			k.More = true
		default:
			k.Keys = append(k.Keys, slices.Clone(key))
		}
		return nil
	}); err != nil {
		return fmt.Errorf("looking for what keeps the row: %w", err)
	}
	for i := range p.Edges {
		if k := found[i]; k != nil {
			r.KeptBy = append(r.KeptBy, *k)
		}
	}
	return x.keptInTheEnd(ctx, r)
}

// keepersSQL returns the edges that keep rows, by index, each with the keys of some of those rows.
func (x *asker) keepersSQL(r *subject) *pg.Statement {
	p, s := x.Plan, &pg.Statement{}
	var down, keepers []string
	for i, e := range p.Edges {
		switch {
		case e.Action == plan.ByKeep:
			key := "NULL::text[]"
			if columns := e.Child.CopyKey(); columns != nil {
				key = "ARRAY[" + pg.List(len(columns), func(i int) string { return schema.Col(e.Child.Table, columns[i]) + "::text" }) + "]::text[]"
			}
			keepers = append(keepers, fmt.Sprintf("(SELECT DISTINCT %d, reaper_x.key FROM reaper_c CROSS JOIN LATERAL (SELECT %s AS key FROM %s WHERE reaper_c.node = %d AND %s%s) reaper_x ORDER BY 2 LIMIT %d)",
				i, key, schema.From(e.Child.Table), slices.Index(p.Nodes, e.Parent), search.StepMatch(p, e, "reaper_c"), plan.Parenthesized(e.Where), shownKeepers+1))
		case e.Protects():
			down = append(down, search.ClosureStep(p, e, "reaper_c"))
		}
	}
	x.seed(s, r)
	return s.Add(search.ReachedSQL(p, rootLocations, down), "\n", strings.Join(keepers, "\nUNION ALL "))
}

// keptInTheEnd decides whether what keeps the row stays. Rows of tables that the plan never deletes
// do; whether others do depends on all roots that are due.
func (x *asker) keptInTheEnd(ctx context.Context, r *subject) error {
	if len(r.KeptBy) == 0 {
		return nil
	}
	r.keeps = true
	if !r.expired || slices.ContainsFunc(r.KeptBy, func(k Keeper) bool { return !k.MayGo }) {
		return nil
	}
	stay, err := preview.StayingRoots(ctx, x.tx, x.Plan, expiry.Scope{Base: x.base})
	if errors.Is(err, preview.ErrManyRoots) {
		r.unsure = true
		return nil
	}
	if err != nil {
		return err
	}
	r.keeps = false
	tables := stay.Tables.All()
	for i, tid := range stay.CTIDs.All() {
		r.keeps = r.keeps || *tid == r.tid && *tables[i] == r.tab
	}
	return nil
}

// dependents counts what would go with the row, or be emptied.
func (x *asker) dependents(ctx context.Context, r *subject) error {
	p := x.Plan
	if len(p.Edges) == 0 {
		return nil
	}
	s := x.dependentsSQL(r)
	counts := make([]int64, len(p.Edges)+1)
	err := pg.Savepoint(ctx, x.tx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, s.String(), s.Args...).Scan(pg.Pointers(counts)...)
	})
	if pg.HasCode(err, "57014") && ctx.Err() == nil {
		r.Notes = append(r.Notes, fmt.Sprintf("what would go with the row was not counted: that takes more than %s; reaper check names an index that is missing", statementTimeout))
		return nil
	}
	if err != nil {
		return fmt.Errorf("counting what would go with the row: %w", err)
	}
	more := counts[len(p.Edges)] > countedRows
	for i, e := range p.Edges {
		if counts[i] > 0 && e.Action != plan.ByKeep {
			r.Takes = append(r.Takes, Taken{
				Table: e.Child.Table.Name.String(), Parent: e.Parent.Table.Name.String(), Constraint: e.Label(), Columns: e.ChildColumns,
				Action: string(e.Action), Rows: min(counts[i], countedRows), More: more || counts[i] > countedRows,
			})
		}
	}
	return nil
}

// dependentsSQL counts the rows behind each edge that reference a row that goes, and at last the rows
// that go. Rows that go are not among those that are emptied.
func (x *asker) dependentsSQL(r *subject) *pg.Statement {
	p, s := x.Plan, &pg.Statement{}
	var steps, counts []string
	for _, e := range p.Edges {
		if e.Action.Deletes() {
			steps = append(steps, search.ClosureStep(p, e, "reaper_c"))
		}
		name, going := pg.Ident(e.Child.Table.Name.Name), ""
		if !e.Action.Deletes() {
			going = fmt.Sprintf(" AND NOT EXISTS (SELECT FROM reaper_b reaper_g WHERE reaper_g.node = %d AND reaper_g.tab = %s.tableoid::text AND reaper_g.tid = %s.ctid::text)", slices.Index(p.Nodes, e.Child), name, name)
		}
		counts = append(counts, fmt.Sprintf("(SELECT count(*) FROM (SELECT DISTINCT reaper_x.* FROM reaper_b CROSS JOIN LATERAL (SELECT %s.tableoid::text AS tab, %s.ctid::text AS tid FROM %s WHERE reaper_b.node = %d AND %s%s%s LIMIT %d) reaper_x LIMIT %[8]d) reaper_y)",
			name, name, schema.From(e.Child.Table), slices.Index(p.Nodes, e.Parent), search.StepMatch(p, e, "reaper_b"), plan.Parenthesized(e.Where), going, countedRows+1))
	}
	x.seed(s, r)
	return s.Add(search.ReachedSQL(p, rootLocations, steps), ",\nreaper_b AS MATERIALIZED (SELECT * FROM reaper_c LIMIT ", strconv.Itoa(countedRows+1),
		")\nSELECT ", strings.Join(counts, ",\n  "), ",\n  (SELECT count(*) FROM reaper_b)")
}

// goesAlong finds a root that goes and takes the row along: the plan may delete rows of its own root's
// table as dependents.
func (x *asker) goesAlong(ctx context.Context, r *subject) error {
	p := x.Plan
	if !slices.ContainsFunc(p.Root.In, func(e *plan.Edge) bool { return e.Action.Deletes() }) {
		return nil
	}
	s := x.parentsSQL(r)
	rows, err := x.tx.Query(ctx, s.String(), s.Args...)
	if err != nil {
		return fmt.Errorf("looking for roots that take the row along: %w", err)
	}
	parents, err := pgx.CollectRows(rows, pgx.RowTo[[]string])
	if err != nil {
		return fmt.Errorf("looking for roots that take the row along: %w", err)
	}
	for _, key := range parents[:min(len(parents), triedParents)] {
		parent, err := x.judge(ctx, key)
		if err != nil {
			return err
		}
		if parent.going() {
			r.GoesWith = key
			return nil
		}
	}
	if len(parents) > triedParents {
		r.Notes = append(r.Notes, fmt.Sprintf("the row may go with one of more than %d rows of its table that it depends on: only so many were looked at", triedParents))
	}
	return nil
}

// parentsSQL returns the keys of the roots with which the row would go.
func (x *asker) parentsSQL(r *subject) *pg.Statement {
	p, s := x.Plan, &pg.Statement{}
	t := p.Root.Table
	name := pg.Ident(t.Name.Name)
	var up []string
	for _, e := range p.Edges {
		if e.Action.Deletes() {
			up = append(up, search.Ascent(p, e))
		}
	}
	x.seed(s, r)
	return s.Add(",\nreaper_k(node, tab, tid) AS (SELECT 0, tab, tid FROM ", rootLocations, "\n  UNION SELECT reaper_x.* FROM reaper_k CROSS JOIN LATERAL (", strings.Join(up, "\n    UNION ALL "), ") reaper_x)",
		"\nSELECT ARRAY[", pg.List(len(r.columns), func(i int) string { return schema.Col(t, r.columns[i]) + "::text" }), "] FROM reaper_k JOIN ", schema.From(t),
		" ON reaper_k.node = 0 AND ", name, ".ctid = reaper_k.tid::tid AND ", name, ".tableoid::text = reaper_k.tab WHERE NOT EXISTS (SELECT FROM ", rootLocations, " reaper_f WHERE reaper_f.tab = reaper_k.tab AND reaper_f.tid = reaper_k.tid)",
		" LIMIT ", strconv.Itoa(triedParents+1))
}
