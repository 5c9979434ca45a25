package erasure

import (
	"fmt"
	"slices"
	"strings"
)

// Print is all that decides which rows an erasure deletes, overwrites and keeps, one fact a line, in
// an order of its own: for drift, and for certificates. It does not depend on the role, on indexes and
// on the version of the server.
func (p *Plan) Print() string {
	lines := []string{fmt.Sprintf("tenants %s, key %s %s, row: %s", p.Tenants.Name(), p.Key.Name, p.Key.Type, p.Tenants.Action)}
	if p.Section.When.IsSet() {
		lines = append(lines, "when "+p.Section.When.Value)
	}
	lines = append(lines, "leftovers: "+map[bool]string{true: "delete", false: "report"}[p.DeletesLeftovers()])
	for _, t := range p.Tables {
		if t != p.Tenants {
			lines = append(lines, t.line())
		}
		for _, w := range t.Ways {
			lines = append(lines, "owner "+t.Name()+": "+w.Text)
		}
		if t.Redaction != nil {
			for _, k := range t.Redaction.Columns {
				lines = append(lines, fmt.Sprintf("set %s.%s = %s", t.Name(), k.Name, k.SQL))
			}
		}
	}
	for _, e := range p.edges {
		if e.key != nil {
			lines = append(lines, "key "+e.key.Name+": "+keyText(e.key))
		}
	}
	slices.Sort(lines[1:])
	return strings.Join(lines, "\n") + "\n"
}

// line says what becomes of a table's rows.
func (t *Table) line() string {
	text := fmt.Sprintf("table %s: %s", t.Name(), t.Action)
	if t.Action != Keep {
		return text
	}
	text += " for " + t.Entry.For.String()
	if t.age != nil {
		text += " from " + t.age.Column.Name + " on"
	}
	return text + " (" + t.Entry.Reason + ")"
}
