package purge_test

import (
	"slices"
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/policy"
)

// This file is about columns that a policy redacts in rows that stay.

// genRedaction is what one column of a table is overwritten with, whichever reference asks for it: so
// the order of the references does not matter.
type genRedaction struct {
	column, sql string
	value       func(*genRow) (value string, there bool)
}

// secrets adds columns that may be redacted.
func (m *schemaMaker) secrets(t *genTable) {
	if m.archived || !m.may("redact", 60) {
		return
	}
	constant := func(v string) func(*genRow) (string, bool) { return func(*genRow) (string, bool) { return v, true } }
	null := func(*genRow) (string, bool) { return "", false }
	secret := genColumn{name: "Secret", typ: of(m.draw, "secret", "text", "varchar(30)"), notNull: m.chance(30, "never NULL")}
	choices := []genRedaction{
		{secret.name, "'gone'", constant("gone")},
		{secret.name, "'row ' || rid", func(r *genRow) (string, bool) { return "row " + r.number(), true }},
	}
	if !secret.notNull {
		choices = append(choices, genRedaction{secret.name, "NULL", null}, genRedaction{secret.name, "upper(record_type)", func(r *genRow) (string, bool) {
			v, there := r.values["record_type"]
			return strings.ToUpper(v), there
		}})
	}
	t.add(secret)
	t.redactions = append(t.redactions, of(m.draw, "secret becomes", choices...))
	t.add(genColumn{name: "mark", typ: "int"})
	t.redactions = append(t.redactions, of(m.draw, "mark becomes", genRedaction{"mark", "0", constant("0")}, genRedaction{"mark", "NULL", null},
		genRedaction{"mark", "rid * 2", func(r *genRow) (string, bool) {
			n, err := strconv.Atoi(r.number())
			if err != nil {
				panic(err)
			}
			return strconv.Itoa(2 * n), true
		}}))
}

// fillSecrets draws what stands in the columns; some rows are as if they were redacted.
func (m *schemaMaker) fillSecrets(t *genTable, r map[string]string) {
	if t.redactions == nil {
		return
	}
	r["Secret"] = of(m.draw, "secret", "'ann'", "'gone'", "'bob'")
	r["mark"] = of(m.draw, "mark", "7", "NULL", "0")
}

// redacting draws what a reference overwrites, as the policy file writes it.
func (m *schemaMaker) redacting(e *genEdge) string {
	e.redact = e.child.redactions
	if m.chance(40, "one column") {
		e.redact = e.redact[m.upTo(0, 1, "which"):][:1]
	}
	values := make([]string, len(e.redact))
	for i, x := range e.redact {
		values[i] = quoteYAML(policy.QuoteName(x.column)) + ": " + quoteYAML(x.sql)
	}
	if e.child.key != nil && m.chance(3, "redacts the key") {
		values = append(values, quoteYAML(policy.QuoteName(e.child.key[0]))+`: "NULL"`)
		m.refuse("cannot be overwritten")
	}
	entry := "redact: {" + strings.Join(values, ", ") + "}"
	if m.chance(50, "says redact twice") {
		entry = "action: redact, " + entry
	}
	return entry
}

// redacts reports whether rows of a table are redacted.
func (c *genCase) redacts(t *genTable) bool {
	return slices.ContainsFunc(c.edges, func(e *genEdge) bool { return e.child == t && e.redact != nil })
}

// redacted reports whether a row already is what the reference makes of it.
func (e *genEdge) redacted(r *genRow) bool {
	return !slices.ContainsFunc(e.redact, func(x genRedaction) bool {
		want, there := x.value(r)
		got, is := r.values[x.column]
		return want != got || there != is
	})
}

// overwrite redacts a row.
func (e *genEdge) overwrite(r *genRow) {
	for _, x := range e.redact {
		if v, there := x.value(r); there {
			r.values[x.column] = v
		} else {
			delete(r.values, x.column)
		}
	}
}

// redacted are the columns of a row as all references together make them.
func (t *genTable) redacted(r *genRow) map[string]string {
	values := map[string]string{}
	for _, x := range t.redactions {
		if v, there := x.value(r); there {
			values[x.column] = v
		}
	}
	return values
}
