package torture

import (
	"fmt"
	"slices"
	"strings"
)

// action is what a policy does along an edge.
type action string

const (
	deletes action = "delete"
	clears  action = "nullify"
	keeps   action = "keep"
)

// edge is a reference from the rows of one table to the key of another.
type edge struct {
	child   string
	columns []string
	parent  string
	action  action
	// onDelete is the foreign key's action; empty for a match without a foreign key.
	onDelete string
	// kind is the record_type that a match selects.
	kind string
	// most and share determine the children of a new row: up to most, each with this
	// probability.
	most  int
	share float64
}

func (e *edge) match() bool { return e.onDelete == "" }

func (e *edge) String() string {
	return fmt.Sprintf("%s(%s)→%s", e.child, strings.Join(e.columns, ","), e.parent)
}

// target returns the key of the row that a child references, or false if none.
func (e *edge) target(t tuple) (string, bool) {
	if e.match() && t["record_type"] != e.kind {
		return "", false
	}
	return joined(t, e.columns)
}

func joined(t tuple, columns []string) (string, bool) {
	values := make([]string, len(columns))
	for i, c := range columns {
		value, ok := t[c]
		if !ok {
			return "", false
		}
		values[i] = value
	}
	return strings.Join(values, ","), true
}

// layout is the tables and policies of one run.
type layout struct {
	name   string
	edges  []*edge
	limits string // limits of each policy
	proven bool   // safety: {foreign_key_checks: proven}
	big    bool   // some roots have more dependents than fit in a batch
}

const (
	// defaultDays is the retention of tenants without a value of their own.
	defaultDays = 30
	// foreverTenant is kept forever by an override.
	foreverTenant = "6"
	tenantCount   = 6
	domainCount   = 12
)

// roots are the policies: the name is the root table's.
var roots = []string{"mails", "events"}

func keyOf(table string) []string {
	if table == "mails" {
		return []string{"shard", "id"}
	}
	return []string{"id"}
}

// tables returns the tables of the layout, parents first.
func (l *layout) tables() []string {
	list := []string{"tenants", "domains", "mails", "events"}
	for _, e := range l.edges {
		if !slices.Contains(list, e.child) {
			list = append(list, e.child)
		}
	}
	return list
}

var mailColumns = []string{"mail_shard", "mail_id"}

// foreign is an edge with a foreign key.
func foreign(child string, columns []string, parent string, act action, onDelete string, most int, share float64) *edge {
	return &edge{child: child, columns: columns, parent: parent, action: act, onDelete: onDelete, most: most, share: share}
}

// deletingEdges are three levels below a mail, including a child of two parents with a child of
// its own; onDelete sets the action of each foreign key.
func deletingEdges(onDelete func(n int) string) []*edge {
	return []*edge{
		foreign("parts", mailColumns, "mails", deletes, onDelete(0), 3, 0.6),
		foreign("clicks", []string{"part_id"}, "parts", deletes, onDelete(1), 2, 0.6),
		foreign("marks", []string{"click_id"}, "clicks", deletes, onDelete(2), 2, 0.6),
		foreign("links", mailColumns, "mails", deletes, onDelete(3), 1, 0.6),
		foreign("links", []string{"event_id"}, "events", deletes, onDelete(4), 3, 0.6),
		foreign("hops", []string{"link_id"}, "links", deletes, onDelete(5), 2, 0.6),
	}
}

// repliesEdges are a self-referencing table below a mail.
func repliesEdges(onDelete func(n int) string) []*edge {
	return []*edge{
		foreign("replies", mailColumns, "mails", deletes, onDelete(6), 2, 0.7),
		foreign("replies", []string{"parent_id"}, "replies", deletes, onDelete(7), 1, 0.4),
	}
}

func clearingEdges(onDelete string) []*edge {
	return []*edge{
		foreign("notes", mailColumns, "mails", clears, onDelete, 1, 0.4),
		foreign("part_notes", []string{"part_id"}, "parts", clears, onDelete, 1, 0.3),
	}
}

func keepingEdges(onDelete string) []*edge {
	return []*edge{
		foreign("invoices", mailColumns, "mails", keeps, onDelete, 1, 0.04),
		foreign("seals", []string{"click_id"}, "clicks", keeps, onDelete, 1, 0.02),
	}
}

func matchEdges() []*edge {
	return []*edge{
		{child: "files", columns: []string{"record_id"}, parent: "clicks", action: deletes, kind: "Click", most: 1, share: 0.3},
		{child: "tags", columns: []string{"record_shard", "record_id"}, parent: "mails", action: clears, kind: "Mail", most: 1, share: 0.3},
	}
}

func always(onDelete string) func(int) string { return func(int) string { return onDelete } }

// alternating mixes all actions of a deleting foreign key.
func alternating(n int) string { return []string{"CASCADE", "NO ACTION", "RESTRICT"}[n%3] }

// layouts are all ways of deleting.
func layouts() []*layout {
	return []*layout{
		{
			// Some batches are too large: for a while after them, rows are counted before they are
			// deleted.
			name: "cascade", limits: "rows: 25, total_rows: 250",
			edges: slices.Concat(deletingEdges(always("CASCADE")), clearingEdges("SET NULL")),
		},
		{
			// Nothing is kept, so nothing is locked for that.
			name: "by-hand", limits: "rows: 200",
			edges: slices.Concat(deletingEdges(always("NO ACTION")), repliesEdges(always("NO ACTION")), clearingEdges("NO ACTION"), matchEdges()),
		},
		{
			name: "keeping", limits: "rows: 40",
			edges: slices.Concat(deletingEdges(always("NO ACTION")), repliesEdges(always("NO ACTION")), clearingEdges("NO ACTION"), keepingEdges("NO ACTION"), matchEdges()),
		},
		{
			name: "drain", limits: "rows: 20, total_rows: 60", big: true,
			edges: slices.Concat(deletingEdges(alternating), repliesEdges(always("CASCADE")), clearingEdges("SET NULL"), keepingEdges("CASCADE"), matchEdges()),
		},
		{
			name: "proven", limits: "rows: 40", proven: true,
			edges: slices.Concat(deletingEdges(alternating), repliesEdges(alternating), clearingEdges("NO ACTION"), keepingEdges("NO ACTION"), matchEdges()),
		},
	}
}

func (l *layout) keeps() bool {
	return slices.ContainsFunc(l.edges, func(e *edge) bool { return e.action == keeps })
}

// columnType returns the type of a dependent's column, by its name.
func columnType(name string) string {
	switch {
	case name == "record_type":
		return "text"
	case strings.HasSuffix(name, "shard"):
		return "int"
	}
	return "bigint"
}

const fixedTables = `
CREATE TABLE tenants (id int PRIMARY KEY, hold boolean, days int);
CREATE TABLE domains (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
CREATE INDEX ON domains (tenant_id);
CREATE TABLE mails (shard int, id bigint GENERATED BY DEFAULT AS IDENTITY, domain_id int NOT NULL REFERENCES domains, at timestamptz NOT NULL, status text NOT NULL, PRIMARY KEY (shard, id));
CREATE INDEX ON mails (at, shard, id);
CREATE INDEX ON mails (domain_id, at);
CREATE TABLE events (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, at timestamptz NOT NULL);
CREATE INDEX ON events (tenant_id, at, id);
`

// schema returns the SQL that creates the tables.
func (l *layout) schema() string {
	var b strings.Builder
	b.WriteString(fixedTables)
	for _, table := range l.tables()[4:] {
		columns := []string{"id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY"}
		for _, c := range l.columns(table) {
			columns = append(columns, c+" "+columnType(c))
		}
		fmt.Fprintf(&b, "CREATE TABLE %s (%s);\n", table, strings.Join(columns, ", "))
	}
	for _, e := range l.edges {
		list := strings.Join(e.columns, ", ")
		fmt.Fprintf(&b, "CREATE INDEX ON %s (%s);\n", e.child, list)
		if !e.match() {
			fmt.Fprintf(&b, "ALTER TABLE %s ADD FOREIGN KEY (%s) REFERENCES %s ON DELETE %s;\n", e.child, list, e.parent, e.onDelete)
		}
	}
	for _, table := range l.tables() {
		fmt.Fprintf(&b, "ALTER TABLE %s REPLICA IDENTITY FULL;\n", table)
	}
	return b.String()
}

// columns of a dependent, without its key.
func (l *layout) columns(table string) []string {
	var list []string
	for _, e := range l.edges {
		if e.child != table {
			continue
		}
		if e.match() {
			list = append(list, "record_type")
		}
		for _, c := range e.columns {
			if !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
	}
	return list
}

// policyFile returns the policy file of the layout.
func (l *layout) policyFile() string {
	var b strings.Builder
	b.WriteString("version: 1\n")
	if l.proven {
		b.WriteString("safety: {foreign_key_checks: proven}\n")
	}
	fmt.Fprintf(&b, "tenants: {table: tenants, key: id, retention: days, hold: hold, default: %dd, min: 1d, overrides: {\"%s\": forever}}\n", defaultDays, foreverTenant)
	b.WriteString("policies:\n")
	for _, root := range roots {
		fmt.Fprintf(&b, "  - name: %s\n    table: %s\n    age: at\n    limits: {%s}\n    vacuum: never\n", root, root, l.limits)
		if root == "mails" {
			b.WriteString("    where: status <> 'queued'\n    tenant: [domain_id, tenant_id]\n")
		} else {
			b.WriteString("    tenant: tenant_id\n")
		}
		var entries strings.Builder
		for _, e := range l.reach(root) {
			if entry := e.entry(root); entry != "" {
				entries.WriteString("      - {" + entry + "}\n")
			}
		}
		if entries.Len() > 0 {
			b.WriteString("    dependents:\n" + entries.String())
		}
	}
	return b.String()
}

// entry returns the policy file's entry for an edge, or "" if the schema decides.
func (e *edge) entry(root string) string {
	if e.action == deletes && e.onDelete == "CASCADE" || e.action == clears && e.onDelete == "SET NULL" {
		return ""
	}
	entry := "table: " + e.child
	if e.parent != root {
		entry += ", parent: " + e.parent
	}
	if e.match() {
		var pairs []string
		for i, c := range e.columns {
			pairs = append(pairs, c+": "+keyOf(e.parent)[i])
		}
		entry += fmt.Sprintf(", match: {%s}, where: record_type = '%s'", strings.Join(pairs, ", "), e.kind)
	} else {
		entry += fmt.Sprintf(", via: [%s]", strings.Join(e.columns, ", "))
	}
	return entry + ", action: " + string(e.action)
}

// reach returns the edges below a table along deleting ones.
func (l *layout) reach(table string) []*edge {
	var found []*edge
	seen := []string{table}
	for i := 0; i < len(seen); i++ {
		for _, e := range l.edges {
			if e.parent != seen[i] {
				continue
			}
			found = append(found, e)
			if e.action == deletes && !slices.Contains(seen, e.child) {
				seen = append(seen, e.child)
			}
		}
	}
	return found
}
