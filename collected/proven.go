package collected

import (
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// ReferencedSQL reports whether any row that stays references, by a foreign key, rows to be
// deleted.
func ReferencedSQL(p *plan.Plan, known map[*plan.Node]*Rows) *pg.Statement {
	s := &pg.Statement{}
	var tests []string
	for _, e := range p.Edges {
		r := known[e.Parent]
		if e.Key == nil || r == nil || r.Len() == 0 {
			continue
		}
		test := "EXISTS (SELECT FROM " + schema.From(e.Child.Table) + " WHERE " + behind(s, e, r)
		if going := known[e.Child]; going != nil && going.Len() > 0 {
			test += " AND (" + located(s, e.Child.Table, going) + ") IS NOT TRUE"
		}
		tests = append(tests, test+")")
	}
	return s.Add("SELECT ", strings.Join(append(tests, "false"), "\n    OR "))
}

// DeleteLockedRootsSQL deletes roots by location, with every condition repeated.
func DeleteLockedRootsSQL(p *plan.Plan, sc expiry.Scope, w *plan.TenantCutoff, roots *Rows) *pg.Statement {
	s := &pg.Statement{}
	s.Add("WITH ")
	p.CutoffCTE(s, sc, w)
	return s.Add("\nDELETE FROM ", schema.From(p.Root.Table), "\n WHERE ", located(s, p.Root.Table, roots), "\n   AND ", p.Conditions("reaper_cut"))
}
