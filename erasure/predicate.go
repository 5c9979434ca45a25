package erasure

import (
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// args writes one statement about one tenant.
type args struct {
	pg.Statement
	plan    *Plan
	key     string // the tenant's key, of the type of the tenants' key
	aliases int
	// remembered are values of columns of rows that are gone, by table and column; nil: none.
	remembered map[*Table]map[string][]string
}

func (p *Plan) args(key string) *args {
	a := &args{plan: p}
	a.key = a.Cast(key, p.Key.SQLType)
	return a
}

// alias is a new name for a table in FROM.
func (a *args) alias() string {
	a.aliases++
	return "reaper_" + strconv.Itoa(a.aliases)
}

// bare is how a table is named without an alias.
func bare(t *schema.Table) string { return pg.Ident(t.Name.Name) }

func col(at, column string) string { return at + "." + pg.Ident(column) }

// over evaluates SQL of the file, which names the table's columns by its bare name, for a row of the
// table under an alias.
func over(t *Table, at, sql string) string {
	if at == bare(t.Table) {
		return "(" + sql + ")"
	}
	return "(SELECT " + sql + " FROM (SELECT " + at + ".*) " + bare(t.Table) + ")"
}

// owned is the condition that a row is the tenant's.
func (a *args) owned(t *Table, at string) string {
	if t == a.plan.Tenants {
		return col(at, a.plan.Key.Name) + " " + a.plan.same.Op.String() + " " + a.key
	}
	if len(t.Ways) == 0 {
		return "false"
	}
	parts := make([]string, len(t.Ways))
	for i, w := range t.Ways {
		parts[i] = a.by(t, w, at)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	return "(" + strings.Join(parts, " OR ") + ")"
}

// by is the condition that a row is the tenant's in one way.
func (a *args) by(t *Table, w *Way, at string) string {
	condition := a.byOne(t, w, at)
	if w.where != "" {
		condition += " AND " + over(t, at, w.where)
	}
	return "(" + condition + ")"
}

func (a *args) byOne(t *Table, w *Way, at string) string {
	switch {
	case w.Key != nil:
		return a.byKey(w, at)
	case w.sql != "":
		return over(t, at, w.sql) + "::" + pg.TextType + " OPERATOR(pg_catalog.=) " + a.key + "::" + pg.TextType
	}
	return a.byPath(w, w.hops, at)
}

// byKey follows a foreign key. One to the tenants' key itself needs no row of theirs.
func (a *args) byKey(w *Way, at string) string {
	if w.Parent == a.plan.Tenants {
		for i, name := range w.Key.ParentColumns {
			if name == a.plan.Key.Name {
				return w.pairs[i].FindTheirs(a.key, col(at, w.Key.ChildColumns[i]))
			}
		}
	}
	r := a.alias()
	return "EXISTS (SELECT FROM " + schema.From(w.Parent.Table) + " " + r + " WHERE " +
		pg.And(len(w.pairs), func(i int) string {
			return w.pairs[i].FindOurs(col(r, w.Key.ParentColumns[i]), col(at, w.Key.ChildColumns[i]))
		}) + " AND " + a.owned(w.Parent, r) + ")"
}

// byPath follows a path that the file names. Values of rows that are gone are remembered.
func (a *args) byPath(w *Way, hops []hop, at string) string {
	if len(hops) == 0 {
		return a.holdsKey(w, at)
	}
	h := hops[0]
	r := a.alias()
	there := "EXISTS (SELECT FROM " + schema.From(h.table.Table) + " " + r + " WHERE " + equal(h.pair, col(r, h.to), col(at, h.from)) + " AND " + a.byPath(w, hops[1:], r) + ")"
	values := a.remembered[h.table][h.to]
	if len(values) == 0 {
		return there
	}
	v := a.alias()
	return "(" + there + " OR EXISTS (SELECT FROM unnest(" + a.Cast(values, pg.TextType+"[]") + ") " + v + "(v) WHERE " + col(at, h.from) + "::" + pg.TextType + " OPERATOR(pg_catalog.=) " + v + ".v))"
}

func (a *args) holdsKey(w *Way, at string) string {
	theirs := col(at, w.last.column)
	if w.last.pair == nil {
		return theirs + "::" + pg.TextType + " OPERATOR(pg_catalog.=) " + a.key + "::" + pg.TextType
	}
	return w.last.pair.FindTheirs(a.key, theirs)
}

// equal compares two columns; without a comparison, as text.
func equal(pair *schema.Comparison, ours, theirs string) string {
	if pair == nil {
		return ours + "::" + pg.TextType + " OPERATOR(pg_catalog.=) " + theirs + "::" + pg.TextType
	}
	return pair.FindOurs(ours, theirs)
}

// references is the condition that a row of the edge's child, under one alias, references a row of its
// parent under another.
func (e *edge) references(child, parent string) string {
	return pg.And(len(e.pairs), func(i int) string { return equal(e.pairs[i], col(parent, e.to[i]), col(child, e.columns[i])) })
}

// kept is the condition that a row of a table that is kept still stays.
func (a *args) kept(t *Table, at string) string {
	if t.age == nil {
		return "true"
	}
	return "(" + t.age.Expired(col(at, t.age.Column.Name), "(now() - "+expiry.Interval(*t.Entry.For)+")") + ") IS NOT TRUE"
}

// bound is the condition that some row references this one and keeps it from going; others are rows of
// the plan's edges that do not count.
func (a *args) bound(t *Table, at string, counts func(*edge) bool) []string {
	var parts []string
	for _, e := range a.plan.edges {
		if e.parent != t || !e.binds() || !counts(e) {
			continue
		}
		r := a.alias()
		condition := e.references(r, at)
		if e.child == t {
			condition += " AND NOT (" + r + ".ctid OPERATOR(pg_catalog.=) " + at + ".ctid AND " + r + ".tableoid OPERATOR(pg_catalog.=) " + at + ".tableoid)"
		}
		if e.soft {
			condition += " AND " + a.owned(e.child, r)
		}
		parts = append(parts, "EXISTS (SELECT FROM "+schema.From(e.from)+" "+r+" WHERE "+condition+")")
	}
	return parts
}

func every(*edge) bool { return true }

// free is the condition that a row of the tenant's may go now.
func (a *args) free(t *Table, at string) string {
	condition := ""
	switch {
	case t.Action == Keep:
		condition += " AND NOT (" + a.kept(t, at) + ")"
	case t == a.plan.Tenants:
		condition += a.tenantGoes()
	}
	for _, bound := range a.bound(t, at, every) {
		condition += " AND NOT " + bound
	}
	return condition
}

// tenantGoes is the condition, to append, that the tenant's row goes: one that is redacted goes with
// the last kept row, and stays if nothing is ever kept.
func (a *args) tenantGoes() string {
	if a.plan.Tenants.Action != Redact {
		return ""
	}
	condition, some := "", false
	for _, t := range a.plan.Tables {
		if t.Action != Keep {
			continue
		}
		some = true
		r := a.alias()
		condition += " AND NOT EXISTS (SELECT FROM " + schema.From(t.Table) + " " + r + " WHERE " + a.owned(t, r) + ")"
	}
	if !some {
		return " AND false"
	}
	return condition
}
