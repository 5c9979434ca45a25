package preview

import (
	"slices"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/partition"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
	"github.com/reaperdb/reaper/search"
)

// SQL shows the statements of a batch with sample values bound. cutoffs is the quoted name of the
// ledger's table of cutoffs.
func SQL(p *plan.Plan, sel plan.Selection, cutoffs string) string {
	key := "KEY"
	one := &pg.Column{Items: []*string{&key}}
	sc := expiry.Scope{Base: "RUN START", OlderThan: sel.OlderThan, Run: "RUN", Cutoffs: cutoffs}
	w := &plan.TenantCutoff{Cutoff: "CUTOFF"}
	if !p.NoTenant {
		w.Key = &key
	}
	keys := pg.NewValues(len(p.Key))
	for i := range keys {
		keys[i] = one
	}
	out := ""
	section := func(title string, s *pg.Statement) { out += "-- " + visible.Text(title) + "\n" + s.String() + ";\n\n" }
	if p.Parts.Droppable() && !sel.SomeRows() {
		partitionStatements(p, sc, section)
	}
	if p.Sweeps() {
		section("the next rows of the "+p.Strategy+", and which of them are expired", search.SweepSQL(p, sc, nil, "LATEST CUTOFF", search.SweepRows))
	} else {
		section("tenants that have something due", search.DueSQL(p, sc))
		if !p.NoTenant {
			section("those that still have something due, in the next pass", search.PageSQL(p, sc, 0, search.TenantPage))
		}
		group := make([]*string, len(p.Lead()))
		for i := range group {
			group[i] = &key
		}
		section("the next expired rows of one group", search.WalkSQL(p, w, group, search.Cursor{}, p.KeyInIndex, p.Policy.Limits.Rows))
		stepStatements(p, w, section)
	}
	section("each batch locks the tables against changes of keys, triggers and rules", (&pg.Statement{}).Add(p.LockTables()))
	section("and checks that nothing has changed since planning", p.CatalogPrintSQL())
	m := p.Usual
	if m.Simple() && !p.Watched() {
		section("a batch", p.DeleteRootsSQL(&pg.Statement{}, sc, w, keys))
		if !p.NoTenant {
			loopStatements(p, sc, w, keys, section)
		}
		return out
	}
	section("lock the roots", p.LockRootsSQL(sc, w, keys))
	known := map[*plan.Node]*collected.Rows{}
	for _, group := range m.Order {
		for _, n := range group {
			known[n] = sample(collected.NewRows(n), &key)
		}
		if plan.Cyclic(group) {
			section("the rows of tables that reference each other", collected.ClosureSQL(p, m, group, known, p.Policy.Limits.TotalRows))
			continue
		}
		for _, e := range group[0].In {
			if e.Action.Deletes() && m.Walks(e) {
				section("the rows of "+e.Child.Table.Name.String(), collected.ReadBehindSQL(e, known[e.Parent], p.Policy.Limits.TotalRows, e.Child.NeedsLock()))
			}
		}
	}
	if p.Keeps() {
		section("which rows delete and keep which", collected.KeepingSQL(p, known))
	}
	for _, e := range m.Clears {
		section(clearTitle(e), collected.ClearSQL(&pg.Statement{}, e, m, known, 0))
	}
	s, _, _ := collected.DeleteSQL(p, m, p.Nodes, sc, w, keys, known, false)
	section("a batch", s)
	if p.Together() {
		togetherStatements(p, sc, w, keys, section)
	}
	return out
}

// clearTitle names the statement that clears an edge.
func clearTitle(e *plan.Edge) string {
	if e.Action == plan.ByRedact {
		return "redact rows of " + e.Child.Table.Name.String()
	}
	return "empty references"
}

// loopStatements are those of a batch of many tenants that needs nothing but a DELETE for each.
func loopStatements(p *plan.Plan, sc expiry.Scope, w *plan.TenantCutoff, keys pg.Values, section func(string, *pg.Statement)) {
	section("a batch of many tenants reads their cutoffs, and again at its end", p.CutoffsSQL(&pg.Statement{}, sc, []*plan.TenantCutoff{w}))
	sc.Given = pg.LoopGiven
	section("and has for each of them, in a loop in the server, with its cutoff", p.DeleteRootsSQL(pg.InLoop(), sc, w, keys))
	if !p.Sweeps() && search.HasRanges(p) {
		section("or, where their keys were not read", search.DeleteRangeSQL(p, pg.InLoop(), sc, w, &search.Range{From: search.Cursor{Set: true, Age: "AGE"}, Until: "AGE"}))
	}
}

// sample adds a row to an empty set, which is referenced by this key.
func sample(r *collected.Rows, key *string) *collected.Rows {
	r.Add("0", "(0,0)", slices.Repeat([]*string{key}, len(r.Node.Refs)))
	return r
}

// togetherStatements shows those of a batch of many tenants, where they share them.
func togetherStatements(p *plan.Plan, sc expiry.Scope, w *plan.TenantCutoff, keys pg.Values, section func(string, *pg.Statement)) {
	one, tenants := &pg.Column{}, []*plan.TenantCutoff{w}
	ordinal := "1"
	one.Add(&ordinal)
	section("a batch of many tenants locks their roots", collected.LockOwnedRootsSQL(p, sc, tenants, collected.Candidates{Keys: keys, Owners: one, Tenants: keys[0]}))
	if !p.Sweeps() && search.HasRanges(p) {
		section("or, where their keys were not read", collected.LockOwnedRangeSQL(p, sc, tenants, &search.Range{From: search.Cursor{Set: true, Age: "AGE"}, Until: "AGE"}))
	}
	known := map[*plan.Node]*collected.Rows{}
	m := p.Full
	for _, group := range m.Order {
		n := group[0]
		known[n] = sample(collected.NewOwned(n), w.Key)
		known[n].Owners.Add(&ordinal)
		for _, e := range n.In {
			if e.Action.Deletes() && m.Walks(e) {
				section("collects the rows of "+n.Table.Name.String()+", each with its tenant", collected.ReadBehindSQL(e, known[e.Parent], p.Policy.Limits.TotalRows, p.Proven))
			}
		}
	}
	for _, e := range m.Clears {
		section("locks the references to empty, and counts them by tenant", collected.LockClearedSQL(e, m, known))
		section("empties them", collected.ClearSQL(&pg.Statement{}, e, m, known, 0))
	}
	for _, e := range m.Deletes {
		section("deletes rows of "+e.Child.Table.Name.String()+", and counts them by tenant", collected.DeleteOwnedSQL(e, known[e.Parent]))
	}
	section("and deletes the roots", collected.DeleteOwnedRootsSQL(p, sc, tenants, known[p.Root], keys[0]))
}

// stepStatements shows how the next rows of many tenants are found.
func stepStatements(p *plan.Plan, w *plan.TenantCutoff, section func(string, *pg.Statement)) {
	if p.NoTenant {
		return
	}
	limits := p.Policy.Limits
	win := search.Window{From: search.Cursor{Set: true, Age: "AGE"}, Until: "AGE", PerGroup: limits.Rows, Roots: limits.Rows, Bytes: limits.Bytes}
	section("the next expired rows of many tenants", search.StepSQL(p, []*plan.TenantCutoff{w}, win))
	if p.Usual.Simple() && !p.Watched() && search.HasRanges(p) {
		section("or, where a DELETE finds them again by the same index, how many there are", search.CountStepSQL(p, []*plan.TenantCutoff{w}, win))
	}
}

// partitionStatements shows the statements of a partition drop.
func partitionStatements(p *plan.Plan, sc expiry.Scope, section func(string, *pg.Statement)) {
	x := schema.Partition{Name: schema.Name{Schema: p.Root.Table.Name.Schema, Name: "PARTITION"}, Upper: "END OF ITS RANGE", Dated: true}
	text := func(sql string) *pg.Statement { return (&pg.Statement{}).Add(sql) }
	section("partitions whose range ends below the latest cutoff", search.ExpiredPartitionsSQL(p, sc))
	section("whether all rows of one are expired", search.AllExpiredSQL(p, sc, x))
	section("detach it", text(partition.DetachSQL(p.Root.Table.Name, x)))
	section("then in one transaction: lock it", text(partition.LockSQL(x)))
	section("count its rows by tenant, for the ledger, if all of them still are", search.ExpiredCountsSQL(p, sc, x))
	section("and drop it", text(partition.DropSQL(x)))
}
