package purge_test

import (
	"fmt"
	"slices"
)

// rows draws the rows of every table. Keys come from row numbers. The anchor, row 0, references
// only anchors and has no age, so it is never deleted.
func (m *schemaMaker) rows() {
	for _, t := range m.c.tables {
		n := m.upTo(0, 15, "rows")
		switch {
		case t == m.c.tenants:
			n = m.upTo(1, 6, "tenants")
		case t.protected:
			n = m.upTo(2, 6, "path rows")
		case t == m.c.root:
			n = m.upTo(1, 30, "roots")
		}
		for _, e := range m.c.edges { // one-to-one: no more rows than the parent
			if e.child == t && slices.Equal(e.columns, t.key) {
				n = min(n, len(e.parent.rows)-1)
			}
		}
		for i := range n + 1 {
			t.rows = append(t.rows, m.row(t, i))
		}
	}
	for _, h := range m.c.path {
		m.fillPath(h)
	}
	for _, e := range m.c.edges {
		m.fill(e)
	}
}

// row is the i-th row without its references.
func (m *schemaMaker) row(t *genTable, i int) map[string]string {
	r := map[string]string{}
	for k, name := range t.key {
		r[name] = quoteSQL(t.kind.values(i)[k])
	}
	r["rid"] = fmt.Sprint(i)
	if t.protected {
		if t == m.c.tenants {
			m.tenant(r)
		}
		return r
	}
	m.fillSecrets(t, r)
	if slices.ContainsFunc(t.columns, func(k genColumn) bool { return k.name == "shared" }) {
		r["shared"] = quoteSQL(fmt.Sprint(i % 3))
	}
	if t.code != "" && !m.chance(20, "no code") {
		r[t.code] = quoteSQL(fmt.Sprint(1000 + i))
	}
	if t == m.c.root {
		r["status"] = of(m.draw, "status", "'sent'", "'queued'", "'old'", "NULL")
		r["flag"] = of(m.draw, "flag", "true", "false", "NULL")
		if i > 0 {
			r[m.c.policy.age] = m.age()
		}
	}
	return r
}

func (m *schemaMaker) tenant(r map[string]string) {
	r["days"] = of(m.draw, "days", "30", "10", "20", "NULL", "90", "15", "30", "10", "NULL", "0", "-5", "32000")
	if days := r["days"]; days == "32000" && m.c.tenants.column("days").typ != "smallint" {
		r["days"] = of(m.draw, "many days", "800000", "2147483647")
	}
	r[`Span`] = of(m.draw, "span", "'30 days'", "NULL", "'1 mon'", "'36:00:00'", "'30 days'", "'1 mon'", "'0'", "'-1 day'", "'1 year 2 mons'", "'1 mon -29 days'")
	r["held"] = of(m.draw, "held", "false", "NULL", "false", "false", "false", "true")
	r["trial"] = of(m.draw, "trial", "false", "NULL", "false", "false", "false", "true")
}

// age is an age as SQL, relative to now so that a printed case stays valid.
func (m *schemaMaker) age() string {
	p := &m.c.policy
	switch m.upTo(0, 19, "kind of age") {
	case 18:
		return "NULL"
	case 19:
		return m.noAge()
	}
	// Ages avoid the hours around cutoffs, except for one exact hit: a root exactly as old as a
	// retention expires a moment later.
	exact := 30 * 24
	if p.zone != "" {
		exact += 4 // once a year an hour repeats
	}
	hours := of(m.draw, "hours", 400*24, 45*24+5, exact, 20, 15*24-3, 31*24+9, 100*24, 800*24+11, -50)
	instant := fmt.Sprintf("now() - interval '%d hours'", hours)
	if m.chance(30, "one of its own") {
		instant += fmt.Sprintf(" - interval '%d seconds'", m.upTo(1, 600, "seconds"))
	}
	zone := p.zone
	if zone == "" {
		zone = "UTC"
	}
	switch p.ageType {
	case "timestamp":
		return fmt.Sprintf("(%s) AT TIME ZONE '%s'", instant, zone)
	case "date":
		return fmt.Sprintf("((%s) AT TIME ZONE '%s')::date", instant, zone)
	case "timestamptz":
		return instant
	}
	return fmt.Sprintf("floor(extract(epoch FROM %s) * %s)::bigint", instant, map[string]string{"s": "1", "ms": "1000", "us": "1000000"}[p.unit])
}

// noAge is an age that never expires, or one close to such an age.
func (m *schemaMaker) noAge() string {
	p := &m.c.policy
	if p.unit != "" {
		return of(m.draw, "no age", "0", "-1")
	}
	none := []string{"'-infinity'", "'infinity'"}
	if m.may("zero", 60) {
		none = []string{"'0001-01-01 00:00:00+00'", "'1899-06-30 00:00:00+00'", "'1900-06-30 00:00:00+00'", "'1970-01-02 00:00:00+00'"}
		if p.zone == "" {
			none = append(none, "'1970-01-01 00:00:00+00'")
		}
	}
	return of(m.draw, "no age", none...)
}

// fillPath sets one step of the tenant path. Without a foreign key it may dangle.
func (m *schemaMaker) fillPath(h genHop) {
	for _, r := range h.before.rows[1:] {
		n := m.upTo(0, len(h.table.rows), "path")
		switch {
		case n == len(h.table.rows) && m.chance(50, "nowhere") && !h.key:
			n = 99 // no such row
		case n == len(h.table.rows):
			continue // NULL
		}
		for i, v := range h.table.kind.values(n) {
			r[h.from[i]] = m.spell(h.table.column(h.table.key[i]).typ, h.before.column(h.from[i]).typ, quoteSQL(v))
		}
	}
}

// fill sets the references of one edge.
func (m *schemaMaker) fill(e *genEdge) {
	if slices.Equal(e.columns, e.child.key) {
		return
	}
	for i, r := range e.child.rows {
		to := 0
		if i > 0 {
			to = m.upTo(-1, len(e.parent.rows)-1, e.name)
		}
		if e.leaf && to > 0 {
			to -= to % 3 // only these rows are in the partition
		}
		if e.columns[0] == "shared" && to > 0 {
			to += i%3 - to%3 // both have the same value in the shared column
			if to >= len(e.parent.rows) || e.leaf && to%3 != 0 {
				to = -1
			}
		}
		if e.columns[0] == "shared" && to == 0 && i%3 != 0 {
			to = -1
		}
		for k, column := range e.columns {
			required := e.child.column(column).notNull
			value, there := e.parent.rows[max(to, 0)][e.refs[k]]
			if column != "shared" && there && (required || to > 0 || to == 0 && i > 0) {
				if e.onDelete != "" {
					value = m.spell(e.parent.column(e.refs[k]).typ, e.child.column(column).typ, value)
				}
				r[column] = value
			}
		}
		// Half a reference is none.
		if first := e.columns[0]; len(e.columns) > 1 && to > 0 && !e.full && !e.child.column(first).notNull && m.chance(15, "half") {
			delete(r, first)
		}
		if e.kind != "" && i > 0 {
			r["record_type"] = of(m.draw, "record type", quoteSQL(e.kind), quoteSQL(e.kind), "'any'", "'other'", "NULL")
		}
	}
}
