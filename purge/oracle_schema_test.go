package purge_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/reaperdb/reaper/schema"
)

// draw is a shorthand for drawing choices.
type draw struct{ t *rapid.T }

// chance is true in this percentage of cases, and shrinks to false.
func (d draw) chance(percent int, label string) bool {
	return rapid.IntRange(0, 99).Draw(d.t, label) >= 100-percent
}

// upTo is a number from least to most, and shrinks to least.
func (d draw) upTo(least, most int, label string) int {
	return rapid.IntRange(least, most).Draw(d.t, label)
}

// of is one of the choices, and shrinks to the first.
func of[T any](d draw, label string, choices ...T) T {
	return choices[rapid.IntRange(0, len(choices)-1).Draw(d.t, label)]
}

// schemaMaker draws the tables of a case and the references between them.
type schemaMaker struct {
	draw
	c        *genCase
	used     map[schema.Name]bool
	fks      int
	version  int  // of the server
	archived bool // the policy has an archive
}

// oddNames are table names that need quoting or that generated SQL might use itself.
var oddNames = []string{"t", "x", "w", "s", "c", "o", "b", "d", "order", "Mixed Case", "odd.name", `say "hi"`, "tenants", "ä"}

func (m *schemaMaker) table(plain string) *genTable {
	t := &genTable{name: schema.Name{Schema: "public", Name: plain}}
	if m.chance(25, "odd name") {
		t.name.Name = of(m.draw, "name", oddNames...)
	}
	if m.chance(20, "other schema") {
		t.name.Schema = of(m.draw, "schema", "app", "Odd.Schema")
	}
	for m.used[t.name] {
		t.name.Name += "2"
	}
	m.used[t.name] = true
	m.c.tables = append(m.c.tables, t)
	return t
}

// keyed gives a table a primary key.
func (m *schemaMaker) keyed(t *genTable, kinds ...keyKind) {
	t.kind = of(m.draw, "key", kinds...)
	for i, typ := range t.kind.types() {
		name := []string{"id", "Id part"}[i]
		if typ == "int" && t.kind == intKey {
			typ = of(m.draw, "key type", "int", "bigint", "smallint")
		}
		t.key = append(t.key, t.add(genColumn{name: name, typ: typ, notNull: true}))
	}
}

// tenancy draws the tenants and the tables on the path to them, last first.
func (m *schemaMaker) tenancy() {
	if m.chance(12, "no tenants") {
		return
	}
	n := m.table("organizations")
	n.protected = true
	n.rid()
	m.keyed(n, m.tenantKinds(intKey, textKey, uuidKey)...)
	n.add(genColumn{name: "days", typ: of(m.draw, "days", "int", "smallint", "bigint")})
	n.add(genColumn{name: "Span", typ: "interval"})
	n.add(genColumn{name: "held", typ: "boolean"})
	n.add(genColumn{name: "trial", typ: "boolean"})
	m.c.tenants = n
	for i := range m.upTo(0, 2, "hops") {
		p := m.table(fmt.Sprintf("path%d", i+1))
		p.protected = true
		p.rid()
		m.keyed(p, m.tenantKinds(intKey, textKey, uuidKey, pairKey)...)
		m.c.path = append(m.c.path, genHop{table: p})
	}
}

// path creates the columns that lead from the root to the tenant's key.
func (m *schemaMaker) path() {
	if m.c.tenants == nil {
		return
	}
	before := m.c.root
	for i := range m.c.path {
		h := &m.c.path[i]
		h.before, h.key = before, h.table.kind == pairKey || m.chance(75, "path has a key")
		m.step(h, "to "+fmt.Sprint(i+1))
		before = h.table
	}
	last := genHop{before: before, table: m.c.tenants, key: m.chance(60, "tenant has a key")}
	m.step(&last, "tenant")
	m.c.path = append(m.c.path, last)
}

// step adds the columns of one path step, and possibly their foreign key.
func (m *schemaMaker) step(h *genHop, prefix string) {
	link := byPathKey
	if !h.key {
		link = byPath
	}
	h.from = m.referring(h.before, h.table, prefix, false, link)
	if h.key {
		m.constraint(h.before, h.from, h.table)
	}
}

// constraint adds a foreign key that no delete of the case follows.
func (m *schemaMaker) constraint(child *genTable, columns []string, parent *genTable) {
	m.fks++
	m.c.extra = append(m.c.extra, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT path_fk%d FOREIGN KEY (%s) REFERENCES %s (%s)",
		child.sql(), m.fks, quoteColumns(columns), parent.sql(), quoteColumns(parent.key)))
}

// referring adds columns to child that can hold the key of parent.
func (m *schemaMaker) referring(child, parent *genTable, prefix string, notNull bool, by link) []string {
	var names []string
	for i, k := range parent.key {
		name := prefix
		if i > 0 {
			name += " b"
		}
		typ := parent.column(k).typ
		if strings.HasSuffix(typ, "int") && m.chance(30, "another integer") {
			typ = of(m.draw, "integer", "int", "bigint", "smallint")
		} else {
			typ = m.across(typ, by)
		}
		names = append(names, child.add(genColumn{name: name, typ: typ, notNull: notNull}))
	}
	return names
}

// tables draws the root and its dependents, with columns but without rows.
func (m *schemaMaker) tables() {
	m.c.root = m.table("emails")
	m.keyed(m.c.root, m.kinds()...)
	m.common(m.c.root)
	m.c.root.add(genColumn{name: "status", typ: "text"})
	m.c.root.add(genColumn{name: "flag", typ: "boolean"})
	dependents := []*genTable{m.c.root}
	for i := range m.upTo(1, 7, "dependents") {
		t := m.table(fmt.Sprintf("dep%d", i+1))
		if m.chance(80, "has a key") {
			m.keyed(t, m.kinds()...)
		}
		m.common(t)
		m.edges(t, dependents)
		dependents = append(dependents, t)
	}
	for _, t := range dependents {
		m.back(t, dependents)
	}
	m.strangers(dependents)
}

// common are the columns that every table needs: a name for the row, and what a polymorphic
// reference says about its target.
func (m *schemaMaker) common(t *genTable) {
	t.rid()
	t.add(genColumn{name: "record_type", typ: "text"})
	m.secrets(t)
	if t.key != nil && m.chance(20, "second unique column") {
		t.code = t.add(genColumn{name: "code", typ: of(m.draw, "code", "text", "bigint")})
	} else if m.chance(15, "partitioned") {
		m.partition(t)
	}
}

// edges adds references from a new table to earlier ones: trees, diamonds, and several keys
// between the same two tables.
func (m *schemaMaker) edges(t *genTable, earlier []*genTable) {
	var parents []*genTable
	for _, p := range earlier {
		if p.key != nil {
			parents = append(parents, p)
		}
	}
	for i := range m.upTo(1, 3, "references") {
		p := of(m.draw, "parent", parents...)
		if i == 0 && t.key != nil && t.kind == p.kind && m.chance(15, "key is the reference") {
			m.sharedKey(t, p)
			continue
		}
		m.edge(t, p)
	}
}

// back adds references to the table itself and to later tables: cycles.
func (m *schemaMaker) back(t *genTable, all []*genTable) {
	if t.key != nil && m.chance(20, "self-reference") {
		m.edge(t, t)
	}
	if m.chance(10, "cycle") {
		if p := of(m.draw, "cycle to", all...); p.key != nil {
			m.edge(t, p)
		}
	}
}

// strangers are references from the tenants' tables into the tree.
func (m *schemaMaker) strangers(dependents []*genTable) {
	for _, t := range m.c.tables {
		if !t.protected || !m.chance(8, "stranger") {
			continue
		}
		if p := of(m.draw, "stranger to", dependents...); p.key != nil {
			m.edge(t, p)
		}
	}
}

// sharedKey makes the table's own key a foreign key: one-to-one.
func (m *schemaMaker) sharedKey(t, p *genTable) {
	for i, k := range t.key {
		t.column(k).typ = p.column(p.key[i]).typ
	}
	m.c.edges = append(m.c.edges, &genEdge{
		name: m.edgeName(), child: t, parent: p, columns: t.key, refs: p.key,
		onDelete: of(m.draw, "on delete", "CASCADE", "NO ACTION", "RESTRICT"),
	})
}

func (m *schemaMaker) edgeName() string {
	m.fks++
	return fmt.Sprintf("fk%d", m.fks)
}

func (m *schemaMaker) edge(child, parent *genTable) {
	e := &genEdge{name: m.edgeName(), child: child, parent: parent, refs: parent.key}
	if m.chance(12, "match") {
		m.match(e)
		m.c.edges = append(m.c.edges, e)
		return
	}
	e.onDelete = of(m.draw, "on delete", "CASCADE", "NO ACTION", "RESTRICT", "SET NULL", "SET DEFAULT")
	if child.protected && e.onDelete == "CASCADE" {
		e.onDelete = "SET NULL"
	}
	prefix := e.name + " ref"
	if parent.code != "" && m.chance(40, "references the unique column") {
		e.refs = []string{parent.code}
		e.columns = []string{child.add(genColumn{name: prefix, typ: m.across(parent.column(parent.code).typ, byKey)})}
	} else if parent.kind == pairKey && !child.protected && m.chance(40, "shares a column") {
		m.sharing(e, prefix)
	} else {
		e.columns = m.referring(child, parent, prefix, e.onDelete != "SET NULL" && m.chance(20, "not null"), byKey)
		if e.full = len(e.columns) > 1 && m.chance(20, "match full"); !e.full && len(e.columns) > 1 && m.chance(30, "first may be null") {
			child.column(e.columns[0]).notNull = false
		}
	}
	if strings.HasPrefix(e.onDelete, "SET") && m.version < 15 {
		m.oneCollation(e)
	}
	e.leaf = child != parent && strings.Contains(parent.partition, "LIST") && len(e.columns) > 1 && m.chance(40, "references a partition")
	if e.onDelete == "SET DEFAULT" && e.setOnly == "" && e.refs[0] == parent.key[0] && m.chance(50, "default is the anchor") {
		m.anchorDefault(e)
	}
	if e.onDelete == "SET DEFAULT" && e.setOnly == "" {
		for _, k := range e.columns { // without a default it acts as SET NULL
			child.column(k).notNull = child.column(k).notNull && child.column(k).def != ""
		}
	}
	if e.onDelete != "RESTRICT" && m.chance(15, "deferrable") {
		e.deferrable = of(m.draw, "deferrable", "DEFERRABLE", "DEFERRABLE INITIALLY DEFERRED")
	}
	m.twin(e)
	m.c.edges = append(m.c.edges, e)
}

// sharing makes the first column of a composite reference common to all such references of the
// table, like a tenant column.
func (m *schemaMaker) sharing(e *genEdge, prefix string) {
	const shared = "shared"
	if !slices.ContainsFunc(e.child.columns, func(k genColumn) bool { return k.name == shared }) {
		e.child.add(genColumn{name: shared, typ: "int", notNull: true})
	}
	e.columns = []string{shared, e.child.add(genColumn{name: prefix, typ: "text"})}
	if strings.HasPrefix(e.onDelete, "SET") {
		if e.setOnly = e.columns[1]; m.version < 15 {
			e.onDelete, e.setOnly = "CASCADE", ""
		}
	}
}

// match declares a reference without a foreign key. Some are polymorphic: one column, and
// another that names the referenced table.
func (m *schemaMaker) match(e *genEdge) {
	names := make([]string, len(e.refs))
	for i, k := range e.refs {
		names[i] = fmt.Sprintf("%s match %d", e.name, i)
		typ := e.parent.column(k).typ
		if !e.parent.kind.manyTexts() && m.chance(40, "text column") {
			typ = "text"
		}
		e.child.add(genColumn{name: names[i], typ: typ})
	}
	e.columns = names
	if !e.child.protected && m.chance(60, "polymorphic") {
		e.kind = e.parent.name.Name
		e.where = "record_type = " + quoteSQL(e.kind)
		if m.chance(30, "or") {
			e.where += " OR record_type = 'any'"
		}
	}
}

// partition partitions a table by hash of its key or by list. A second unique column would have
// to be part of the key.
func (m *schemaMaker) partition(t *genTable) {
	if t.kind == pairKey && m.chance(50, "by list") {
		t.partition = "PARTITION BY LIST (" + quoteColumns(t.key[:1]) + ")"
		t.parts = []string{"FOR VALUES IN (0)", "FOR VALUES IN (1)", "DEFAULT"}
		return
	}
	by := []string{"rid"}
	if t.key != nil {
		by = []string{of(m.draw, "partition key", t.key...)}
	}
	t.partition = "PARTITION BY HASH (" + quoteColumns(by) + ")"
	for i := range 3 {
		t.parts = append(t.parts, fmt.Sprintf("FOR VALUES WITH (MODULUS 3, REMAINDER %d)", i))
	}
}

// indexes adds some of the indexes that references and the search could use.
func (m *schemaMaker) indexes() {
	for _, e := range m.c.edges {
		if m.chance(60, "index behind the reference") {
			m.c.extra = append(m.c.extra, "CREATE INDEX ON "+e.child.sql()+" ("+quoteColumns(e.columns)+")")
		}
	}
	age := pgx.Identifier{m.c.policy.age}.Sanitize()
	lead := ""
	if m.c.tenants != nil {
		lead = quoteColumns(m.c.path[0].from) + ", "
	}
	key := ", " + quoteColumns(m.c.root.key)
	desc := strings.ReplaceAll(quoteColumns(slices.Concat([]string{m.c.policy.age}, m.c.root.key)), ",", " DESC,") + " DESC"
	if index := of(m.draw, "search index", "", lead+age+key, lead+age, age, age+key, lead+desc, lead+age+" DESC", lead+age+key+" DESC"); index != "" {
		m.c.extra = append(m.c.extra, "CREATE INDEX ON "+m.c.root.sql()+" ("+index+")")
	}
}
