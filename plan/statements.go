package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// Parenthesized is a condition to append to others with AND; empty if there is none.
func Parenthesized(condition string) string {
	if condition == "" {
		return ""
	}
	return " AND (" + condition + "\n)"
}

// TenantCutoff is the tenant of a batch and its cutoff, as last read by the run.
type TenantCutoff struct {
	Key    *string   // as PostgreSQL prints it; nil: the policy has no tenant
	Cutoff string    // timestamptz as text
	ReadAt time.Time // when hold and retention were read
}

// CutoffCTE writes the CTE with the tenant's cutoff at the time of the statement. A hold or a longer
// retention set since the run's start counts; a shorter one does not. A key that now occurs twice
// has no cutoff. A query of tenants is not run again here: it has just been read.
func (p *Plan) CutoffCTE(s *pg.Statement, sc expiry.Scope, w *TenantCutoff) {
	s.Add("reaper_cut AS MATERIALIZED (")
	p.cutoffQuery(s, sc, w)
	s.Add(")")
}

// cutoffQuery writes the query of that CTE.
func (p *Plan) cutoffQuery(s *pg.Statement, sc expiry.Scope, w *TenantCutoff) {
	switch {
	case p.NoTenant:
		s.Add("SELECT ", s.Cast(w.Cutoff, "timestamptz"), " AS cutoff", p.unlessHeld(s, nil))
	case !p.Tenants.Inline():
		s.Add("SELECT ", s.Cast(*w.Key, p.Tenants.Key.SQLType), " AS key, ", s.Cast(w.Cutoff, "timestamptz"), " AS cutoff", p.unlessHeld(s, w.Key))
	default:
		sc.Only, sc.Whole, sc.Graced = []string{*w.Key}, true, true
		s.Add("SELECT ", s.Cast(*w.Key, p.Tenants.Key.SQLType), " AS key, least(min(reaper_s.cutoff), ", s.Cast(w.Cutoff, "timestamptz"), ") AS cutoff FROM ",
			p.Tenants.Write(s, sc), " reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')")
	}
}

// CutoffsCTE writes the CTE with the cutoffs of many tenants at the time of the statement, as an
// array in their order. That of a tenant of which nothing may go is NULL: no age is older. (Any time
// would be later than some age that is valid in some time zone.)
func (p *Plan) CutoffsCTE(s *pg.Statement, sc expiry.Scope, tenants []*TenantCutoff) {
	from := TenantRows(s, tenants)
	s.Add("reaper_cut AS MATERIALIZED (SELECT array_agg(cutoff ORDER BY n) AS cutoffs FROM (SELECT reaper_t.n, ")
	if !p.Tenants.Inline() {
		s.Add("CASE WHEN ", p.Tenants.HeldAs("reaper_t.key"), " THEN NULL ELSE reaper_t.cutoff END AS cutoff FROM ", from, ") reaper_x)")
		return
	}
	sc.Only, sc.Whole, sc.Graced = TenantKeys(tenants), true, true
	s.Add("CASE WHEN count(reaper_s.key) = 1 AND bool_and(reaper_s.state = 'active') THEN least(min(reaper_s.cutoff), reaper_t.cutoff) END AS cutoff FROM ",
		from, " LEFT JOIN ", p.Tenants.Write(s, sc), " reaper_s ON ", p.Tenants.Same.FindTheirs("reaper_t.key::"+p.Tenants.Key.SQLType, "reaper_s.key"), "\n GROUP BY reaper_t.n, reaper_t.cutoff) reaper_x)")
}

// CutoffsSQL writes the query of that array, to be given to the statements of a loop
// (expiry.Scope.Given); NULL if a person holds any root: these do not ask. s is a new statement.
func (p *Plan) CutoffsSQL(s *pg.Statement, sc expiry.Scope, tenants []*TenantCutoff) *pg.Statement {
	s.Add("WITH ")
	p.CutoffsCTE(s, sc, tenants)
	s.Add("\nSELECT cutoffs FROM reaper_cut")
	if p.heldRoot != nil {
		s.Add(" WHERE NOT ", p.heldRoot(nil))
	}
	return s
}

// CutoffOf is the cutoff of the tenant with an ordinal among those of CutoffsCTE.
func CutoffOf(ordinal string) string { return "(SELECT cutoffs FROM reaper_cut)[" + ordinal + "]" }

// OwnedCondition is everything that makes a root expired at the time of the statement, by the
// cutoff of one tenant: that with an ordinal among those of CutoffsCTE, and a key, both expressions.
func (p *Plan) OwnedCondition(ordinal, tenant string) string {
	return p.OwnedBefore(CutoffOf(ordinal), tenant+"::"+p.Tenants.Key.SQLType)
}

// OwnedBefore is the condition that a root belongs to a tenant, and is older than a cutoff; both are
// expressions.
func (p *Plan) OwnedBefore(cutoff, tenant string) string {
	expired := p.Age.Expired(schema.Col(p.Root.Table, p.Age.Column.Name), cutoff)
	joins, on, key := p.PathJoin(pg.Ident(p.Root.Table.Name.Name) + ".")
	owned := p.Owner.FindOurs(tenant, key)
	if joins != "" {
		// IS TRUE: else PostgreSQL joins, and might go from each root through all groups of its tenant.
		owned = "(EXISTS (SELECT FROM " + joins + " WHERE " + on + " AND " + owned + ")) IS TRUE"
	}
	return expired + " AND " + owned
}

// unlessHeld leaves a tenant out that a person holds.
func (p *Plan) unlessHeld(s *pg.Statement, key *string) string {
	if p.Tenants.Held == nil {
		return ""
	}
	return " WHERE NOT " + p.Tenants.HeldKey(s, key)
}

// PathJoin returns the tables of the tenant path from the root's side on, the condition that joins
// the first, and the expression of the tenant's key.
func (p *Plan) PathJoin(first string) (joins, condition, key string) {
	alias := func(i int) string { return fmt.Sprintf("reaper_p%d", i+1) }
	var b strings.Builder
	key = first + pg.Ident(p.Last.Name)
	before := first
	for i, h := range p.Hops {
		on := pg.And(len(h.From), func(k int) string {
			return h.Pairs[k].FindOurs(alias(i)+"."+pg.Ident(h.To[k]), before+pg.Ident(h.From[k]))
		})
		if i == 0 {
			b.WriteString(schema.FromWithChildren(h.Table) + " " + alias(i))
			condition = on
		} else {
			b.WriteString(" JOIN " + schema.FromWithChildren(h.Table) + " " + alias(i) + " ON " + on)
		}
		before = alias(i) + "."
		key = before + pg.Ident(p.Last.Name)
	}
	return b.String(), condition, key
}

// Conditions is everything that makes a root expired at the time of the statement: age, where,
// hold, retention and the whole path. cut is the relation with the tenant's cutoff.
func (p *Plan) Conditions(cut string) string {
	return p.AgeCondition(cut) + p.Qualifies()
}

// AgeCondition is conditions without where.
func (p *Plan) AgeCondition(cut string) string {
	t := p.Root.Table
	a := schema.Col(t, p.Age.Column.Name)
	expired := p.Age.Expired(a, "reaper_cut.cutoff")
	if p.NoTenant {
		return "EXISTS (SELECT FROM " + cut + " WHERE " + expired + ")"
	}
	joins, on, key := p.PathJoin(pg.Ident(t.Name.Name) + ".")
	if joins == "" {
		return "EXISTS (SELECT FROM " + cut + " WHERE " + p.Owner.FindOurs("reaper_cut.key", key) + " AND " + expired + ")"
	}
	return "EXISTS (SELECT FROM " + joins + " JOIN " + cut + " ON " + p.Owner.FindOurs("reaper_cut.key", key) +
		" WHERE " + on + " AND " + expired + ")"
}

// RootCondition is the conditions for roots with these keys. SQL evaluates conditions in no fixed
// order: a where that has raised an error is evaluated only for these keys.
func (p *Plan) RootCondition(s *pg.Statement, sc expiry.Scope, keys pg.Values, cut string) string {
	return p.KeyCondition(s, keys) + "\n   AND " + p.AgeCondition(cut) + p.WhereCondition(s, sc, keys)
}

// WhereCondition is Qualifies for roots with these keys.
func (p *Plan) WhereCondition(s *pg.Statement, sc expiry.Scope, keys pg.Values) string {
	if !sc.WhereFailed {
		return p.qualifies(sc)
	}
	return p.WhereAfter(sc, p.KeyCondition(s, keys))
}

// KeyCondition is the condition that a root has one of the keys.
func (p *Plan) KeyCondition(s *pg.Statement, keys pg.Values) string {
	return schema.Among(s, schema.Themselves(p.Key, p.KeyOrders), schema.Cols(p.Root.Table, ColumnNames(p.Key)), keys, true)
}

// rootsSQL begins a statement on roots by key that repeats every condition; verb is the text before
// the table's name.
func (p *Plan) rootsSQL(s *pg.Statement, sc expiry.Scope, w *TenantCutoff, keys pg.Values, verb string) *pg.Statement {
	if sc.Given != "" {
		return s.Add(verb, schema.From(p.Root.Table), "\n WHERE ", p.KeyCondition(s, keys), "\n   AND ", p.OwnedBefore(sc.Given, s.Cast(*w.Key, p.Tenants.Key.SQLType)), p.WhereCondition(s, sc, keys))
	}
	s.Add("WITH ")
	p.CutoffCTE(s, sc, w)
	return s.Add("\n", verb, schema.From(p.Root.Table), "\n WHERE ", p.RootCondition(s, sc, keys, "reaper_cut"))
}

// DeleteRootsSQL deletes roots by key. s is a new statement.
func (p *Plan) DeleteRootsSQL(s *pg.Statement, sc expiry.Scope, w *TenantCutoff, keys pg.Values) *pg.Statement {
	return p.rootsSQL(s, sc, w, keys, "DELETE FROM ")
}

// DeleteRuledSQL deletes roots of a table with rules on DELETE, where PostgreSQL does not allow
// WITH.
func (p *Plan) DeleteRuledSQL(sc expiry.Scope, w *TenantCutoff, keys pg.Values) *pg.Statement {
	s := &pg.Statement{}
	cut := s.Inner()
	p.cutoffQuery(cut, sc, w)
	return s.Add("DELETE FROM ", schema.From(p.Root.Table), "\n WHERE ", p.RootCondition(s, sc, keys, "("+cut.String()+" OFFSET 0) reaper_cut"))
}

// CountRootsSQL counts the roots that are still expired.
func (p *Plan) CountRootsSQL(sc expiry.Scope, w *TenantCutoff, keys pg.Values) *pg.Statement {
	return p.rootsSQL(&pg.Statement{}, sc, w, keys, "SELECT count(*) FROM ")
}

// LockRootsSQL locks the roots that are expired and not locked by others. It gathers tableoid,
// ctid, referenced columns…, key….
func (p *Plan) LockRootsSQL(sc expiry.Scope, w *TenantCutoff, keys pg.Values) *pg.Statement {
	return p.findRoots(sc, w, keys, "\n   FOR UPDATE OF "+pg.Ident(p.Root.Table.Name.Name)+" SKIP LOCKED")
}

// FindRootsSQL is LockRootsSQL without locks.
func (p *Plan) FindRootsSQL(sc expiry.Scope, w *TenantCutoff, keys pg.Values) *pg.Statement {
	return p.findRoots(sc, w, keys, "")
}

func (p *Plan) findRoots(sc expiry.Scope, w *TenantCutoff, keys pg.Values, lock string) *pg.Statement {
	selected, names := Locations(p.Root.Table, p.Root.Refs, ColumnNames(p.Key))
	s := &pg.Statement{}
	inner := p.rootsSQL(s.Inner(), sc, w, keys, "SELECT "+selected+"\n  FROM ").Add(lock)
	return s.Add(pg.Gathered(inner.String(), names))
}

// Locations selects, as text, the location of rows and their columns, the referenced ones first, and
// returns the names of what it selects.
func Locations(t *schema.Table, refs, more []string) (selected string, names []string) {
	name := pg.Ident(t.Name.Name)
	columns, names := Numbered(schema.Cols(t, slices.Concat(refs, more)))
	parts := append([]string{name + ".tableoid::text AS tab", name + ".ctid::text AS tid"}, columns...)
	return strings.Join(parts, ", "), append([]string{"tab", "tid"}, names...)
}

// Numbered selects columns as text, and returns their names: c0, c1, ….
func Numbered(columns []string) (selected, names []string) {
	for i, c := range columns {
		names = append(names, fmt.Sprintf("c%d", i))
		selected = append(selected, c+"::text AS "+names[i])
	}
	return selected, names
}

// WhereAfter is Qualifies for rows that satisfy another condition: where it has raised an error,
// it is evaluated only for those.
func (p *Plan) WhereAfter(sc expiry.Scope, found string) string {
	if !sc.WhereFailed || p.Where == "" {
		return p.qualifies(sc)
	}
	where := " AND CASE WHEN " + found + " THEN (" + p.Where + "\n) ELSE false END"
	if sc.Given != "" {
		return where
	}
	return where + p.unlessRootHeld()
}
