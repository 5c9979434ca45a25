package purge

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/schema"
)

// This file and closure.go build what a batch says to the database. Every alias
// and CTE begins with reaper_, so that a user's SQL, which sees the columns of
// its own table unqualified, can never meet one.

// cols are columns of a table, qualified by its bare name.
func cols(t *schema.Table, names []string) []string {
	qualified := make([]string, len(names))
	for i, n := range names {
		qualified[i] = col(t, n)
	}
	return qualified
}

// defaultCollation is the OID of pg_catalog."default".
const defaultCollation = 100

// uncollated is a column's value for others to be compared with, which is done
// by their collation once the value has come out of its subselect: two columns
// with a collation each cannot be compared at all.
func uncollated(t *schema.Table, column string) string {
	k, _ := t.Column(column)
	if k.Collation == 0 || k.Collation == defaultCollation {
		return col(t, column)
	}
	return "(" + col(t, column) + ` COLLATE "default")`
}

func texts(columns []string) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c + "::text"
	}
	return out
}

func parenthesized(condition string) string {
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
func (p *Plan) cut(s *statement, sc scope, w *TenantCutoff) {
	s.add("reaper_cut AS MATERIALIZED (")
	p.cutoffOf(s, sc, w)
	s.add(")")
}

// cutoffOf writes the query of that.
func (p *Plan) cutoffOf(s *statement, sc scope, w *TenantCutoff) {
	switch {
	case p.noTenant:
		s.add("SELECT ", s.cast(w.Cutoff, "timestamptz"), " AS cutoff")
	case !p.tenants.inline():
		s.add("SELECT ", s.cast(*w.Key, p.tenants.key.SQLType), " AS key, ", s.cast(w.Cutoff, "timestamptz"), " AS cutoff")
	default:
		sc.only, sc.whole = []string{*w.Key}, true
		s.add("SELECT ", s.cast(*w.Key, p.tenants.key.SQLType), " AS key, least(min(reaper_s.cutoff), ", s.cast(w.Cutoff, "timestamptz"), ") AS cutoff FROM ",
			p.tenants.write(s, sc), " reaper_s HAVING count(*) = 1 AND bool_and(reaper_s.state = 'active')")
	}
}

// pathJoin writes the tables of the tenant path from the root's side on, the
// first joined by condition, and gives the expression that holds the key.
func (p *Plan) pathJoin(first string) (joins, condition, key string) {
	alias := func(i int) string { return fmt.Sprintf("reaper_p%d", i+1) }
	var b strings.Builder
	key = first + ident(p.last.Name)
	before := first
	for i, h := range p.hops {
		on := and(len(h.from), func(k int) string {
			return h.pairs[k].findOurs(alias(i)+"."+ident(h.to[k]), before+ident(h.from[k]))
		})
		if i == 0 {
			b.WriteString(fromWithHeirs(h.table) + " " + alias(i))
			condition = on
		} else {
			b.WriteString(" JOIN " + fromWithHeirs(h.table) + " " + alias(i) + " ON " + on)
		}
		before = alias(i) + "."
		key = before + ident(p.last.Name)
	}
	return b.String(), condition, key
}

// bracketed keeps joins together; PostgreSQL allows brackets around a join only.
func (p *Plan) bracketed(joins string) string {
	if len(p.hops) > 1 {
		return "(" + joins + ")"
	}
	return joins
}

// conditions writes everything that makes a root expired, as it stands at the
// moment of the statement: age, where, hold, retention and the whole path. cut is the
// relation with the tenant's cutoff.
func (p *Plan) conditions(cut string) string {
	return p.aged(cut) + parenthesized(p.where)
}

// aged are those without where.
func (p *Plan) aged(cut string) string {
	t := p.Root.Table
	a := col(t, p.age.column.Name)
	expired := p.age.expired(a, "reaper_cut.cutoff")
	if p.noTenant {
		return "EXISTS (SELECT FROM " + cut + " WHERE " + expired + ")"
	}
	joins, on, key := p.pathJoin(ident(t.Name.Name) + ".")
	if joins == "" {
		return "EXISTS (SELECT FROM " + cut + " WHERE " + p.owner.findOurs("reaper_cut.key", key) + " AND " + expired + ")"
	}
	return "EXISTS (SELECT FROM " + joins + " JOIN " + cut + " ON " + p.owner.findOurs("reaper_cut.key", key) +
		" WHERE " + on + " AND " + expired + ")"
}

// among are the conditions for roots that are among keys. Conditions are asked in no
// certain order: a where that has failed is asked behind the key.
func (p *Plan) among(s *statement, sc scope, keys values, cut string) string {
	return p.keyed(s, keys) + "\n   AND " + p.aged(cut) + p.meant(s, sc, keys)
}

// meant is the condition of where for roots that are among keys.
func (p *Plan) meant(s *statement, sc scope, keys values) string {
	if !sc.whereFailed || p.where == "" {
		return parenthesized(p.where)
	}
	return " AND CASE WHEN " + p.keyed(s, keys) + " THEN (" + p.where + "\n) ELSE false END"
}

// keyed is the condition that a root is among keys.
func (p *Plan) keyed(s *statement, keys values) string {
	return s.among(withThemselves(p.key, p.keyOrders), cols(p.Root.Table, columnNames(p.key)), keys, true)
}

// rootsSQL begins a statement on roots by key, with every condition repeated;
// verb is all that stands before the table's name.
func (p *Plan) rootsSQL(s *statement, sc scope, w *TenantCutoff, keys values, verb string) *statement {
	s.add("WITH ")
	p.cut(s, sc, w)
	return s.add("\n", verb, from(p.Root.Table), "\n WHERE ", p.among(s, sc, keys, "reaper_cut"))
}

// deleteRootsSQL deletes roots.
func (p *Plan) deleteRootsSQL(sc scope, w *TenantCutoff, keys values) *statement {
	return p.rootsSQL(&statement{}, sc, w, keys, "DELETE FROM ")
}

// deleteRuledSQL deletes roots of a table whose rules rewrite DELETE: PostgreSQL takes no
// WITH there.
func (p *Plan) deleteRuledSQL(sc scope, w *TenantCutoff, keys values) *statement {
	s := &statement{}
	cut := s.inner()
	p.cutoffOf(cut, sc, w)
	return s.add("DELETE FROM ", from(p.Root.Table), "\n WHERE ", p.among(s, sc, keys, "("+cut.String()+" OFFSET 0) reaper_cut"))
}

// countRootsSQL counts the roots among keys that are still expired.
func (p *Plan) countRootsSQL(sc scope, w *TenantCutoff, keys values) *statement {
	return p.rootsSQL(&statement{}, sc, w, keys, "SELECT count(*) FROM ")
}

// lockRootsSQL locks those of the roots that are expired and that nobody else
// has locked, and gathers tableoid, ctid, referenced columns…, key….
func (p *Plan) lockRootsSQL(sc scope, w *TenantCutoff, keys values) *statement {
	t := p.Root.Table
	name := ident(t.Name.Name)
	selected, names := standing(t, p.Root.refs, columnNames(p.key))
	s := &statement{}
	inner := p.rootsSQL(s.inner(), sc, w, keys, "SELECT "+selected+"\n  FROM ").
		add("\n   FOR UPDATE OF ", name, " SKIP LOCKED")
	return s.add(gathered(inner.String(), names))
}

// standing selects where rows of a table stand and what they hold in columns, the
// referenced ones first, and gives the names of what is selected. All of it is text.
func standing(t *schema.Table, refs, more []string) (selected string, names []string) {
	name := ident(t.Name.Name)
	columns, names := numbered(cols(t, slices.Concat(refs, more)))
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
func (s *statement) at(t *schema.Table, r *rowsOf) string {
	c := ident(t.Name.Name) + ".ctid = ANY(" + s.list(r.ctids, "tid") + ")"
	if t.Kind == schema.Partitioned {
		c += " AND (" + ident(t.Name.Name) + ".tableoid, " + ident(t.Name.Name) + ".ctid) IN (SELECT * FROM unnest(" +
			s.list(r.tables, "oid") + ", " + s.list(r.ctids, "tid") + "))"
	}
	return c
}

// behind is the condition that a row of the edge's child references one of
// these rows of its parent.
func (s *statement) behind(e *Edge, r *rowsOf) string {
	return s.among(e.pairs, cols(e.Child.Table, e.ChildColumns), r.referenced(e), e.Index != "") + parenthesized(e.Where)
}

// readBehindSQL gathers the rows of the edge's child that reference rows of its
// parent (tableoid, ctid, referenced columns…), and locks them.
func readBehindSQL(e *Edge, r *rowsOf, limit int, lock bool) *statement {
	s := &statement{}
	t := e.Child.Table
	selected, names := standing(t, e.Child.refs, nil)
	inner := "SELECT " + selected + "\n  FROM " + from(t) + "\n WHERE " + s.behind(e, r) + fmt.Sprintf("\n LIMIT %d", limit)
	if lock {
		inner += "\n   FOR UPDATE OF " + ident(t.Name.Name)
	}
	return s.add(gathered(inner, names))
}

// lockAtSQL locks rows where they were seen; a row that moved is not given.
func lockAtSQL(r *rowsOf) *statement {
	s := &statement{}
	t := r.node.Table
	s.add("SELECT ", ident(t.Name.Name), ".ctid::text\n  FROM ", from(t), "\n WHERE ", s.at(t, r), "\n   FOR UPDATE OF ", ident(t.Name.Name))
	return s
}

// countBehindSQL counts the rows behind an edge, up to a limit.
func countBehindSQL(e *Edge, r *rowsOf, limit int) *statement {
	s := &statement{}
	s.add("SELECT count(*) FROM (SELECT FROM ", from(e.Child.Table), " WHERE ", s.behind(e, r), fmt.Sprintf(" LIMIT %d) x", limit))
	return s
}
