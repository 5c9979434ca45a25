package erasure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// held is a CTE, reaper_held(i, tab, tid): the tenant's rows in tables that stay – those for which
// seed is true, and all that such rows reference among the tables. seed returns "" for a table none of
// whose rows stay by themselves.
func (a *args) held(tables []*Table, seed func(a *args, t *Table, at string) string) string {
	var seeds, links []string
	for i, t := range tables {
		r := a.alias()
		if condition := seed(a, t, r); condition != "" {
			seeds = append(seeds, fmt.Sprintf("SELECT %d, %s.tableoid, %s.ctid FROM %s %s WHERE %s AND (%s)", i, r, r, fromTable(t), r, a.owned(t, r), condition))
		}
	}
	if len(seeds) == 0 {
		return "reaper_held(i, tab, tid) AS (SELECT 0, 0::oid, '(0,0)'::tid WHERE false)"
	}
	for _, e := range a.plan.edges {
		from, to := slices.Index(tables, e.child), slices.Index(tables, e.parent)
		if from >= 0 && to >= 0 && e.binds() {
			links = append(links, a.link(e, from, to))
		}
	}
	body := strings.Join(seeds, "\n  UNION ALL ")
	if len(links) > 0 {
		body += "\n  UNION SELECT reaper_x.i, reaper_x.tab, reaper_x.tid FROM reaper_held reaper_h CROSS JOIN LATERAL (" + strings.Join(links, "\n    UNION ALL ") + ") reaper_x(i, tab, tid)"
	}
	return "reaper_held(i, tab, tid) AS (\n  " + body + ")"
}

// link selects what a held row h of the edge's child references.
func (a *args) link(e *edge, from, to int) string {
	child, parent := a.alias(), a.alias()
	return fmt.Sprintf("SELECT %d, %s.tableoid, %s.ctid FROM %s %s JOIN %s %s ON %s WHERE reaper_h.i OPERATOR(pg_catalog.=) %d AND %s.ctid OPERATOR(pg_catalog.=) reaper_h.tid AND %s.tableoid OPERATOR(pg_catalog.=) reaper_h.tab AND %s",
		to, parent, parent, fromTable(e.child), child, fromTable(e.parent), parent, e.references(child, parent), from, child, child, a.owned(e.parent, parent))
}

// isHeld is the condition that a row of the i-th table is held.
func isHeld(i int, at string) string {
	return fmt.Sprintf("EXISTS (SELECT FROM reaper_held reaper_h WHERE reaper_h.i OPERATOR(pg_catalog.=) %d AND reaper_h.tid OPERATOR(pg_catalog.=) %s.ctid AND reaper_h.tab OPERATOR(pg_catalog.=) %s.tableoid)", i, at, at)
}

func (g *Group) index(t *Table) int { return slices.Index(g.Tables, t) }

// seed is the condition that a row of a circle stays, other than for the sake of rows of the circle
// that stay.
func (g *Group) seed(a *args, t *Table, at string) string {
	var or []string
	switch {
	case t.Action == Keep:
		or = append(or, a.kept(t, at))
	case t == a.plan.Tenants:
		if goes := a.tenantGoes(); goes != "" {
			or = append(or, "NOT (true"+goes+")")
		}
	}
	or = append(or, a.bound(t, at, func(e *edge) bool { return !slices.Contains(g.Tables, e.child) })...)
	for _, e := range a.plan.edges {
		if e.parent == t && slices.Contains(g.Tables, e.child) && e.binds() && !e.soft {
			r := a.alias()
			or = append(or, "EXISTS (SELECT FROM "+schema.From(e.from)+" "+r+" WHERE "+e.references(r, at)+" AND ("+a.owned(e.child, r)+") IS NOT TRUE)")
		}
	}
	return strings.Join(or, " OR ")
}

// keepSeed is the condition that a row is kept.
func keepSeed(a *args, t *Table, at string) string {
	if t.Action != Keep {
		return ""
	}
	return a.kept(t, at)
}
