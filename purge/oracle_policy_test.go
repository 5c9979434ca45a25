package purge_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/policy"
)

// genPolicy is the policy of a case. Durations are as the file writes them; empty ones are
// omitted.
type genPolicy struct {
	age         string // column
	ageType     string
	unit        string // of an integer age
	zone        string
	where       string
	omitPath    bool
	pasted      string     // the path as proposed by the error for omitting it; empty: not omitted yet
	query       bool       // tenants come from a query
	undecided   string     // decides edges without an entry
	limits      [3]int     // rows, total_rows, bytes; 0: the default
	tenants     genSetting // section tenants
	own         genSetting // the policy itself
	proven      bool       // foreign_key_checks
	grace       string     // the case's runs see no shorter retention than the first
	connections int

	allowTriggers bool
	ownHop        string // the first step of the path, from the root to another of its rows; empty: none
}

// genSetting holds settings that may be set for tenants and for a policy.
type genSetting struct {
	retention string // a duration, or one of the columns days and Span
	hold      string // one of the columns held and trial
	def, min  string
	written   []genOverride
	overrides map[string]string // by the tenant's number
}

// genOverride is an override as the file writes it.
type genOverride struct{ key, length string }

// wheres are the possible conditions of a policy, as SQL; meant evaluates them.
var wheres = []string{"status <> 'queued'", "status = 'sent' OR flag", "flag", "NOT flag", "status IN ('sent', 'queued')"}

// durations are possible retentions; each is far from every other.
var durations = []string{"10d", "30d", "1mo", "1y6mo", "36h", "2w1d"}

func (m *schemaMaker) policy() {
	p := &m.c.policy
	m.ages(p)
	if m.chance(50, "has a where") {
		p.where = of(m.draw, "where", wheres...)
	}
	p.limits = [3]int{of(m.draw, "rows", 1000, 1, 2, 7), of(m.draw, "total rows", 0, 0, 5, 50, 1, 2), of(m.draw, "bytes", 0, 0, 0, 1000)}
	p.proven = m.chance(40, "proven")
	p.grace = of(m.draw, "grace", "", "", "7d", "1mo")
	p.connections = of(m.draw, "connections", 1, 3)
	if m.c.tenants == nil {
		p.own.retention = of(m.draw, "retention", durations...)
		if m.chance(20, "default instead") {
			p.own.def, p.own.retention = p.own.retention, ""
		}
		return
	}
	p.query = m.chance(15, "tenants by query") && m.c.tenants.kind != caseKey // a query's column has no index
	p.omitPath = !p.query && m.pathIsPlain() && m.chance(50, "omit the path")
	m.setting(&p.tenants, p.query, true)
	m.setting(&p.own, p.query, false)
}

func (m *schemaMaker) ages(p *genPolicy) {
	p.ageType = of(m.draw, "age", "timestamptz", "timestamp", "date", "bigint", "int")
	p.age = of(m.draw, "age column", "created_at", "Created At")
	switch p.ageType {
	case "bigint":
		p.unit = of(m.draw, "unit", "s", "ms", "us")
	case "int":
		p.unit = "s"
	case "timestamp", "date":
		p.zone = of(m.draw, "zone", "", "Europe/Paris", "Pacific/Auckland")
	}
	m.c.root.add(genColumn{name: p.age, typ: p.ageType})
}

// pathIsPlain reports whether exactly one path of foreign keys leads from the root to the
// tenants.
func (m *schemaMaker) pathIsPlain() bool {
	for _, h := range m.c.path {
		if !h.key {
			return false
		}
	}
	return !slices.ContainsFunc(m.c.edges, func(e *genEdge) bool { return e.child == m.c.root || e.child.protected })
}

func (m *schemaMaker) setting(s *genSetting, query, shared bool) {
	s.def = of(m.draw, "default", "", durations[1], durations[1], durations[1], durations[3], "forever")
	if m.chance(25, "min") {
		s.min = of(m.draw, "min", "1d", "20d")
	}
	switch {
	case query && shared: // the query returns retention and hold
	case shared:
		s.retention = of(m.draw, "retention", "days", "Span", "", durations[2], "interval")
	default:
		s.retention = of(m.draw, "own retention", "", "", "", durations[0], "days", "Span")
	}
	if query && (s.retention == "days" || s.retention == "Span") {
		s.retention = ""
	}
	if !query && m.chance(20, "hold") {
		s.hold = of(m.draw, "hold column", "held", "trial")
	}
	s.overrides = map[string]string{}
	for range m.upTo(0, 2, "overrides") {
		m.override(s, m.upTo(1, 6, "override"))
	}
}

// override gives a tenant an override. Two for one tenant are an error, however they are
// spelled.
func (m *schemaMaker) override(s *genSetting, number int) {
	kind := m.c.tenants.kind
	key := kind.values(number)[0]
	if m.may("spellings", 60) {
		key = m.respell(kind, key)
	}
	if s.overrides[fmt.Sprint(number)] != "" {
		if !m.may("spellings", 15) || slices.ContainsFunc(s.written, func(o genOverride) bool { return o.key == key }) {
			return
		}
		m.refuse("override")
	}
	length := of(m.draw, "override length", append([]string{"forever"}, durations...)...)
	s.written = append(s.written, genOverride{key, length})
	s.overrides[fmt.Sprint(number)] = length
}

// decide settles what every reference means, from the root down, and how the policy file says
// it.
func (m *schemaMaker) decide() {
	m.c.policy.undecided = of(m.draw, "undecided", "", "delete", "keep")
	going := []*genTable{m.c.root}
	for i := 0; i < len(going); i++ {
		for _, e := range m.c.edges {
			if e.parent != going[i] {
				continue
			}
			m.decideEdge(e)
			if e.action == goes && !slices.Contains(going, e.child) {
				going = append(going, e.child)
			}
		}
	}
}

func (m *schemaMaker) decideEdge(e *genEdge) {
	type way struct {
		action action
		entry  string
	}
	var ways []way
	switch e.onDelete {
	case "CASCADE":
		ways = []way{{goes, ""}, {goes, ""}, {goes, ""}, {goes, ""}, {keeps, "keep"}}
	case "SET NULL", "SET DEFAULT":
		ways = []way{{clears, ""}, {clears, ""}, {clears, ""}, {goes, "delete"}, {goes, "delete"}, {keeps, "keep"}}
	default:
		ways = []way{{goes, "delete"}, {goes, "delete"}, {goes, "delete"}, {clears, "nullify"}, {clears, "nullify"}, {keeps, "keep"}}
		if e.onDelete != "" && m.c.policy.undecided != "" {
			ways = append(ways, way{map[string]action{"delete": goes, "keep": keeps}[m.c.policy.undecided], ""})
		}
	}
	if e.child.redactions != nil && e.onDelete != "CASCADE" {
		ways = append(ways, way{clears, "redact"}, way{clears, "redact"})
	}
	if cascades := e.onDelete == "CASCADE" || e.twin == "CASCADE"; cascades && e.twin != "" && e.onDelete != e.twin {
		ways = slices.DeleteFunc(ways, func(w way) bool { return w.action == clears || w.entry == "" })
		ways = append(ways, way{goes, "delete"})
	}
	ways = slices.DeleteFunc(ways, func(w way) bool {
		return w.action == goes && e.child.protected || w.action == clears && !e.clearable() && (w.entry != "redact" || e.onDelete != "")
	})
	if len(ways) == 0 {
		ways = []way{{keeps, "keep"}}
	}
	w := of(m.draw, "action", ways...)
	e.action = w.action
	if w.entry != "" {
		e.entry = m.entry(e, w.entry)
	}
	if e.action == clears && (e.redact == nil || e.onDelete != "") {
		e.cleared()
	}
}

// clearable reports whether the reference can be cleared.
func (e *genEdge) clearable() bool {
	if e.child.key != nil && slices.Equal(e.columns, e.child.key) {
		return false
	}
	switch {
	case e.onDelete == "SET DEFAULT", e.setOnly != "":
		return true
	case e.onDelete == "SET NULL", e.full:
		return !slices.ContainsFunc(e.columns, func(k string) bool { return e.child.column(k).notNull })
	}
	return slices.ContainsFunc(e.columns, func(k string) bool { return !e.child.column(k).notNull })
}

// cleared decides which columns are set, and to what.
func (e *genEdge) cleared() {
	for _, k := range e.columns {
		column, to := e.child.column(k), "NULL"
		if e.setOnly != "" && k != e.setOnly {
			continue
		}
		if e.onDelete == "SET DEFAULT" && column.def != "" {
			to = column.def
		}
		if to == "NULL" && column.notNull {
			continue
		}
		e.sets, e.defaults = append(e.sets, k), append(e.defaults, to)
	}
}

// entry writes the policy file's entry for an edge.
func (m *schemaMaker) entry(e *genEdge, what string) string {
	parts := []string{"table: " + e.child.yaml()}
	if e.parent != m.c.root && e.onDelete == "" || m.chance(30, "name the parent") {
		parts = append(parts, "parent: "+e.parent.yaml())
	}
	if e.onDelete == "" {
		var pairs []string
		for i := range e.columns {
			pairs = append(pairs, quoteYAML(policy.QuoteName(e.columns[i]))+": "+quoteYAML(policy.QuoteName(e.refs[i])))
		}
		parts = append(parts, "match: {"+strings.Join(pairs, ", ")+"}")
		if e.where != "" {
			parts = append(parts, "where: "+quoteYAML(e.where))
		}
	} else if m.chance(70, "via") || m.outgoing(e.child) > 1 {
		via := make([]string, len(e.columns))
		for i, k := range e.columns {
			via[i] = quoteYAML(policy.QuoteName(k))
		}
		parts = append(parts, "via: ["+strings.Join(via, ", ")+"]")
	}
	if what == "redact" {
		what = m.redacting(e)
	} else {
		what = "action: " + what
	}
	return "{" + strings.Join(parts, ", ") + ", " + what + "}"
}

func (m *schemaMaker) outgoing(t *genTable) (n int) {
	for _, e := range m.c.edges {
		if e.child == t && e.onDelete != "" {
			n++
		}
	}
	return n
}

// yaml is the policy file.
func (c *genCase) yaml() string {
	var b strings.Builder
	p := &c.policy
	b.WriteString("version: 1\n")
	if p.proven {
		b.WriteString("safety: {foreign_key_checks: proven}\n")
	}
	if c.tenants != nil {
		b.WriteString("tenants:\n")
		if p.query {
			fmt.Fprintf(&b, "  query: %s\n", quoteYAML(fmt.Sprintf("SELECT %s, days, held FROM %s", quoteColumns(c.tenants.key), c.tenants.sql())))
		} else {
			fmt.Fprintf(&b, "  table: %s\n  key: %s\n", c.tenants.yaml(), quoteYAML(policy.QuoteName(c.tenants.key[0])))
		}
		p.tenants.write(&b, "  ")
	}
	fmt.Fprintf(&b, "policies:\n  - name: case\n    table: %s\n    age: {column: %s", c.root.yaml(), quoteYAML(policy.QuoteName(p.age)))
	if p.unit != "" {
		b.WriteString(", unit: " + p.unit)
	}
	if p.zone != "" {
		b.WriteString(", time_zone: " + p.zone)
	}
	b.WriteString("}\n")
	c.writePath(&b)
	if p.where != "" {
		fmt.Fprintf(&b, "    where: %s\n", quoteYAML(p.where))
	}
	p.own.write(&b, "    ")
	if p.grace != "" {
		fmt.Fprintf(&b, "    grace: %s\n", p.grace)
	}
	if p.undecided != "" {
		fmt.Fprintf(&b, "    undecided: %s\n", p.undecided)
	}
	if p.allowTriggers {
		b.WriteString("    triggers: allow\n")
	}
	dependents := ""
	for _, e := range c.edges {
		if e.entry != "" {
			dependents += "      - " + e.entry + "\n"
		}
	}
	if dependents != "" {
		b.WriteString("    dependents:\n" + dependents)
	}
	fmt.Fprintf(&b, "    limits: {rows: %d", p.limits[0])
	if p.limits[1] > 0 {
		fmt.Fprintf(&b, ", total_rows: %d", p.limits[1])
	}
	if p.limits[2] > 0 {
		fmt.Fprintf(&b, ", bytes: %dB", p.limits[2])
	}
	b.WriteString("}\n")
	if c.bystander != nil {
		b.WriteString(c.bystander.yaml())
	}
	return b.String()
}

func (c *genCase) writePath(b *strings.Builder) {
	if c.tenants == nil {
		b.WriteString("    tenant: none\n")
		return
	}
	if c.policy.omitPath {
		if c.policy.pasted != "" {
			b.WriteString("    " + c.policy.pasted + "\n")
		}
		return
	}
	var steps []string
	if p := c.policy.ownHop; p != "" {
		steps = append(steps, quoteYAML(p))
	}
	for i, h := range c.path {
		step := policy.QuoteName(h.from[0])
		if i < len(c.path)-1 && !h.key {
			t := h.table.name
			step += " -> " + policy.QuoteName(t.Schema) + "." + policy.QuoteName(t.Name) + "." + policy.QuoteName(h.table.key[0])
		}
		steps = append(steps, quoteYAML(step))
	}
	fmt.Fprintf(b, "    tenant: [%s]\n", strings.Join(steps, ", "))
}

func (s *genSetting) write(b *strings.Builder, indent string) {
	line := func(key, value string) {
		if value != "" {
			fmt.Fprintf(b, "%s%s: %s\n", indent, key, value)
		}
	}
	switch s.retention {
	case "Span":
		line("retention", `'"Span"'`)
	case "interval":
		line("retention", "days * interval '1 day'")
	default:
		line("retention", s.retention)
	}
	line("hold", s.hold)
	line("default", s.def)
	line("min", s.min)
	if len(s.written) > 0 {
		b.WriteString(indent + "overrides:\n")
		for _, o := range s.written {
			fmt.Fprintf(b, "%s  %s: %s\n", indent, quoteYAML(o.key), o.length)
		}
	}
}
