package preview

import (
	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// archivedStatements shows those of a batch of a policy with an archive: of its copy, and then of what
// deletes exactly the rows that were copied.
func archivedStatements(p *plan.Plan, sc expiry.Scope, w *plan.TenantCutoff, keys pg.Values, section func(string, *pg.Statement)) {
	m, known := p.Whole, map[*plan.Node]*collected.Rows{}
	text := func(sql string) *pg.Statement { return (&pg.Statement{}).Add(sql) }
	section("before each batch, a snapshot of its own reads what goes", text("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"))
	section("what decides, besides the rows, what a copy of them says", p.ShapeSQL())
	section("the roots, if they are expired", p.FindRootsSQL(sc, w, keys))
	collectStatements(p, m, known, keys[0].Items[0], section)
	for _, e := range m.Clears {
		section("the rows of "+e.Child.Table.Name.String()+" whose reference will be emptied", collected.ReadEmptiedSQL(e, m, known, p.Policy.Limits.TotalRows))
		section("a print of these references", collected.EmptiedSQL(e, m, known, collected.Unlocked))
	}
	for _, group := range m.Order {
		for _, n := range group {
			section("a print of the versions of the rows of "+n.Table.Name.String(), collected.VersionsSQL(known[n], collected.Unlocked))
			section("and the rows, into the segment", text(collected.CopySQL(known[n], copiedColumns(n))))
		}
	}
	section("when the store has confirmed the segment, the batch locks the tables against changes of keys, triggers and rules", text(p.LockTables()))
	section("and checks that nothing has changed since planning", p.CatalogPrintSQL())
	for _, group := range m.Order {
		for _, n := range group {
			locking := collected.Locked
			if n == p.Root {
				locking = collected.SkipLocked
			}
			section("locks the rows of "+n.Table.Name.String()+", and prints them again", collected.VersionsSQL(known[n], locking))
		}
	}
	for _, e := range m.Clears {
		section("locks the references to empty, and prints them again", collected.EmptiedSQL(e, m, known, collected.Locked))
	}
	if s, _ := collected.StrangersSQL(m, known, p.Edges); s != nil {
		section("looks for rows that were not copied", s)
	}
	for _, e := range m.Clears {
		section("empties references", collected.ClearSQL(&pg.Statement{}, e, m, known, 0))
	}
	s, _, _ := collected.DeleteSQL(p, m, p.Nodes, sc, w, keys, known, true)
	section("and deletes", s)
}

// copiedColumns are those of which a copy has the values.
func copiedColumns(n *plan.Node) (names []string) {
	for _, c := range n.Table.Columns {
		if !c.Generated {
			names = append(names, c.Name)
		}
	}
	return names
}
