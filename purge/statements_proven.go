package purge

import "strings"

// referencedSQL tells whether any row references, by a foreign key, rows that go
// and does not go itself.
func (p *Plan) referencedSQL(known map[*Node]*rowsOf) *statement {
	s := &statement{}
	var tests []string
	for _, e := range p.Edges {
		r := known[e.Parent]
		if e.Key == nil || r == nil || r.len() == 0 {
			continue
		}
		test := "EXISTS (SELECT FROM " + from(e.Child.Table) + " WHERE " + s.behind(e, r)
		if going := known[e.Child]; going != nil && going.len() > 0 {
			test += " AND (" + s.at(e.Child.Table, going) + ") IS NOT TRUE"
		}
		tests = append(tests, test+")")
	}
	return s.add("SELECT ", strings.Join(append(tests, "false"), "\n    OR "))
}

// deleteLockedRootsSQL deletes roots where they stand, with every condition
// repeated.
func (p *Plan) deleteLockedRootsSQL(sc scope, w *TenantCutoff, roots *rowsOf) *statement {
	s := &statement{}
	s.add("WITH ")
	p.cut(s, sc, w)
	return s.add("\nDELETE FROM ", from(p.Root.Table), "\n WHERE ", s.at(p.Root.Table, roots), "\n   AND ", p.conditions("reaper_cut"))
}
