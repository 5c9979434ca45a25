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

func texts(columns []string) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c + "::text"
	}
	return out
}

// Parenthesized is a condition to add to others with AND; empty: there is none.
func Parenthesized(condition string) string {
	if condition == "" {
		return ""
	}
	return " AND (" + condition + "\n)"
}

// TenantCutoff is the tenant of a batch and its cutoff, as last read in this run.
type TenantCutoff struct {
	Key    *string   // as PostgreSQL prints it; nil: the policy has no tenant
	Cutoff string    // timestamptz as text
	ReadAt time.Time // when hold and retention were read
}

// cut writes the CTE with the tenant's cutoff at the moment of the statement:
// a hold or a longer retention set meanwhile counts, a shorter one does not. A
// key that by now comes twice has none. A query of tenants cannot stand here: it
// was read a moment ago.
func (p *Plan) cut(s *pg.Statement, sc expiry.Scope, w *TenantCutoff) {
	s.Add("reaper_cut AS MATERIALIZED (")
	p.cutoffOf(s, sc, w)
	s.Add(")")
}

// cutoffOf writes the query of that.
func (p *Plan) cutoffOf(s *pg.Statement, sc expiry.Scope, w *TenantCutoff) {
	switch {
	case p.NoTenant:
		s.Add("SELECT ", s.Cast(w.Cutoff, "timestamptz"), " AS cutoff")
	case !p.Tenants.Inline():
		s.Add("SELECT ", s.Cast(*w.Key, p.Tenants.Key.SQLType), " AS key, ", s.Cast(w.Cutoff, "timestamptz"), " AS cutoff")
	default:
		sc.Only, sc.Whole = []string{*w.Key}, true
		s.Add("SELECT ", s.Cast(*w.Key, p.Tenants.Key.SQLType), " AS key, least(min(reaper_s.cutoff), ", s.Cast(w.Cutoff, "timestamptz"), ") AS cutoff FROM ",
			p.Tenants.Write(s, sc), " reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')")
	}
}

// PathJoin writes the tables of the tenant path from the root's side on, the
// first joined by condition, and gives the expression that holds the key.
func (p *Plan) PathJoin(first string) (joins, condition, key string) {
	alias := func(i int) string { return fmt.Sprintf("reaper_p%d", i+1) }
	var b strings.Builder
	key = first + pg.Ident(p.last.Name)
	before := first
	for i, h := range p.Hops {
		on := pg.And(len(h.from), func(k int) string {
			return h.pairs[k].FindOurs(alias(i)+"."+pg.Ident(h.To[k]), before+pg.Ident(h.from[k]))
		})
		if i == 0 {
			b.WriteString(schema.FromWithChildren(h.table) + " " + alias(i))
			condition = on
		} else {
			b.WriteString(" JOIN " + schema.FromWithChildren(h.table) + " " + alias(i) + " ON " + on)
		}
		before = alias(i) + "."
		key = before + pg.Ident(p.last.Name)
	}
	return b.String(), condition, key
}

// bracketed keeps joins together; PostgreSQL allows brackets around a join only.
func (p *Plan) bracketed(joins string) string {
	if len(p.Hops) > 1 {
		return "(" + joins + ")"
	}
	return joins
}

// conditions writes everything that makes a root expired, as it stands at the
// moment of the statement: age, where, hold, retention and the whole path. cut is the
// relation with the tenant's cutoff.
func (p *Plan) conditions(cut string) string {
	return p.aged(cut) + Parenthesized(p.Where)
}

// aged are those without where.
func (p *Plan) aged(cut string) string {
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

// among are the conditions for roots that are among keys. Conditions are asked in no
// certain order: a where that has failed is asked behind the key.
func (p *Plan) among(s *pg.Statement, sc expiry.Scope, keys pg.Values, cut string) string {
	return p.keyed(s, keys) + "\n   AND " + p.aged(cut) + p.meant(s, sc, keys)
}

// meant is the condition of where for roots that are among keys.
func (p *Plan) meant(s *pg.Statement, sc expiry.Scope, keys pg.Values) string {
	if !sc.WhereFailed || p.Where == "" {
		return Parenthesized(p.Where)
	}
	return " AND CASE WHEN " + p.keyed(s, keys) + " THEN (" + p.Where + "\n) ELSE false END"
}

// keyed is the condition that a root is among keys.
func (p *Plan) keyed(s *pg.Statement, keys pg.Values) string {
	return schema.Among(s, schema.Themselves(p.Key, p.keyOrders), schema.Cols(p.Root.Table, ColumnNames(p.Key)), keys, true)
}

// rootsSQL begins a statement on roots by key, with every condition repeated;
// verb is all that stands before the table's name.
func (p *Plan) rootsSQL(s *pg.Statement, sc expiry.Scope, w *TenantCutoff, keys pg.Values, verb string) *pg.Statement {
	s.Add("WITH ")
	p.cut(s, sc, w)
	return s.Add("\n", verb, schema.From(p.Root.Table), "\n WHERE ", p.among(s, sc, keys, "reaper_cut"))
}

// DeleteRootsSQL deletes roots.
func (p *Plan) DeleteRootsSQL(sc expiry.Scope, w *TenantCutoff, keys pg.Values) *pg.Statement {
	return p.rootsSQL(&pg.Statement{}, sc, w, keys, "DELETE FROM ")
}

// DeleteRuledSQL deletes roots of a table whose rules rewrite DELETE: PostgreSQL takes no
// WITH there.
func (p *Plan) DeleteRuledSQL(sc expiry.Scope, w *TenantCutoff, keys pg.Values) *pg.Statement {
	s := &pg.Statement{}
	cut := s.Inner()
	p.cutoffOf(cut, sc, w)
	return s.Add("DELETE FROM ", schema.From(p.Root.Table), "\n WHERE ", p.among(s, sc, keys, "("+cut.String()+" OFFSET 0) reaper_cut"))
}

// CountRootsSQL counts the roots among keys that are still expired.
func (p *Plan) CountRootsSQL(sc expiry.Scope, w *TenantCutoff, keys pg.Values) *pg.Statement {
	return p.rootsSQL(&pg.Statement{}, sc, w, keys, "SELECT count(*) FROM ")
}

// LockRootsSQL locks those of the roots that are expired and that nobody else
// has locked, and gathers tableoid, ctid, referenced columns…, key….
func (p *Plan) LockRootsSQL(sc expiry.Scope, w *TenantCutoff, keys pg.Values) *pg.Statement {
	t := p.Root.Table
	name := pg.Ident(t.Name.Name)
	selected, names := standing(t, p.Root.Refs, ColumnNames(p.Key))
	s := &pg.Statement{}
	inner := p.rootsSQL(s.Inner(), sc, w, keys, "SELECT "+selected+"\n  FROM ").
		Add("\n   FOR UPDATE OF ", name, " SKIP LOCKED")
	return s.Add(pg.Gathered(inner.String(), names))
}

// standing selects where rows of a table stand and what they hold in columns, the
// referenced ones first, and gives the names of what is selected. All of it is text.
func standing(t *schema.Table, refs, more []string) (selected string, names []string) {
	name := pg.Ident(t.Name.Name)
	columns, names := numbered(schema.Cols(t, slices.Concat(refs, more)))
	parts := append([]string{name + ".tableoid::text AS tab", name + ".ctid::text AS tid"}, columns...)
	return strings.Join(parts, ", "), append([]string{"tab", "tid"}, names...)
}

// numbered selects columns as text, and gives the names of what is selected: c0, c1, ….
func numbered(columns []string) (selected, names []string) {
	for i, c := range columns {
		names = append(names, fmt.Sprintf("c%d", i))
		selected = append(selected, c+"::text AS "+names[i])
	}
	return selected, names
}

// at is the condition that a row of a table stands at one of these places.
func at(s *pg.Statement, t *schema.Table, r *Rows) string {
	c := pg.Ident(t.Name.Name) + ".ctid = ANY(" + s.Array(r.CTIDs, "tid") + ")"
	if t.Kind == schema.Partitioned {
		c += " AND (" + pg.Ident(t.Name.Name) + ".tableoid, " + pg.Ident(t.Name.Name) + ".ctid) IN (SELECT * FROM unnest(" +
			s.Array(r.Tables, "oid") + ", " + s.Array(r.CTIDs, "tid") + "))"
	}
	return c
}

// behind is the condition that a row of the edge's child references one of
// these rows of its parent.
func behind(s *pg.Statement, e *Edge, r *Rows) string {
	return schema.Among(s, e.Pairs, schema.Cols(e.Child.Table, e.ChildColumns), r.referenced(e), e.Index != "") + Parenthesized(e.Where)
}

// ReadBehindSQL gathers the rows of the edge's child that reference rows of its
// parent (tableoid, ctid, referenced columns…), and locks them.
func ReadBehindSQL(e *Edge, r *Rows, limit int, lock bool) *pg.Statement {
	s := &pg.Statement{}
	t := e.Child.Table
	selected, names := standing(t, e.Child.Refs, nil)
	inner := "SELECT " + selected + "\n  FROM " + schema.From(t) + "\n WHERE " + behind(s, e, r) + fmt.Sprintf("\n LIMIT %d", limit)
	if lock {
		inner += "\n   FOR UPDATE OF " + pg.Ident(t.Name.Name)
	}
	return s.Add(pg.Gathered(inner, names))
}

// LockAtSQL locks rows where they were seen; a row that moved is not given.
func LockAtSQL(r *Rows) *pg.Statement {
	s := &pg.Statement{}
	t := r.Node.Table
	s.Add("SELECT ", pg.Ident(t.Name.Name), ".ctid::text\n  FROM ", schema.From(t), "\n WHERE ", at(s, t, r), "\n   FOR UPDATE OF ", pg.Ident(t.Name.Name))
	return s
}

// CountBehindSQL counts the rows behind an edge, up to a limit.
func CountBehindSQL(e *Edge, r *Rows, limit int) *pg.Statement {
	s := &pg.Statement{}
	s.Add("SELECT count(*) FROM (SELECT FROM ", schema.From(e.Child.Table), " WHERE ", behind(s, e, r), fmt.Sprintf(" LIMIT %d) x", limit))
	return s
}
