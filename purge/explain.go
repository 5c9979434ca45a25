package purge

import "github.com/reaperdb/reaper/internal/visible"

// SQL is the statements of a batch, for people: with sample values bound.
// cutoffs is the ledger's table of them, quoted.
func (p *Plan) SQL(sel Selection, cutoffs string) string {
	key := "KEY"
	one := &column{items: []*string{&key}}
	sc := scope{base: "RUN START", olderThan: sel.OlderThan, run: "RUN", cutoffs: cutoffs}
	w := &TenantCutoff{Cutoff: "CUTOFF"}
	if !p.noTenant {
		w.Key = &key
	}
	keys := newValues(len(p.key))
	for i := range keys {
		keys[i] = one
	}
	out := ""
	section := func(title string, s *statement) { out += "-- " + visible.Text(title) + "\n" + s.String() + ";\n\n" }
	if p.parts.droppable() && !sel.someRows() {
		p.partitionStatements(sc, section)
	}
	if p.sweeps() {
		section("the next rows of a "+p.Strategy+", and which of them are expired", p.sweepSQL(sc, nil, "LATEST CUTOFF", sweepRows))
	} else {
		section("tenants that have something due", p.dueSQL(sc))
		if !p.noTenant {
			section("those of them that still have, in the next pass", p.pageSQL(sc, 0, tenantPage))
		}
		group := make([]*string, len(p.lead()))
		for i := range group {
			group[i] = &key
		}
		section("the next expired rows of one group", p.walkSQL(w, group, cursor{}, p.keyInIndex, p.Policy.Limits.Rows))
	}
	section("each batch begins: nobody changes keys, triggers or rules from here on", (&statement{}).add(p.lockTables()))
	section("and nobody has since the plan was made", p.factsSQL())
	m := p.usual
	if m.simple() && !p.watched() {
		section("a batch", p.deleteRootsSQL(sc, w, keys))
		return out
	}
	section("lock the roots", p.lockRootsSQL(sc, w, keys))
	known := map[*Node]*rowsOf{}
	for _, group := range m.order {
		for _, n := range group {
			known[n] = newRows(n)
			refs := make([]*string, len(n.refs))
			for i := range refs {
				refs[i] = &key
			}
			known[n].add("0", "(0,0)", refs)
		}
		if cyclic(group) {
			section("the rows of tables that reference each other", closureSQL(p, m, group, known, p.Policy.Limits.TotalRows))
			continue
		}
		for _, e := range group[0].In {
			if e.Action.deletes() && m.walks(e) {
				section("the rows of "+e.Child.Table.Name.String(), readBehindSQL(e, known[e.Parent], p.Policy.Limits.TotalRows, e.Child.needsLock()))
			}
		}
	}
	if p.keeps() {
		section("who takes whom along, and who keeps whom", keepingSQL(p, known))
	}
	for _, e := range m.clears {
		section("empty references", clearSQL(&statement{}, e, m, known, 0))
	}
	s, _, _ := deleteSQL(p, m, p.Nodes, sc, w, keys, known, false)
	section("a batch", s)
	return out
}
