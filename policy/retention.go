package policy

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/invopop/jsonschema"
)

func (d *Duration) decode(key string, n *node) error {
	var s string
	switch n.kind {
	case kindInt:
		s = n.text // ParseDuration explains the missing unit
	case kindFloat:
		return errorAt(n.pos, "%s: %s is not a duration: %s", key, n.text, durationRemedy)
	default:
		var err error
		if s, err = n.textAs(key, "a duration, like 90d"); err != nil {
			return err
		}
	}
	parsed, err := ParseDuration(s)
	if err != nil {
		return n.in(key, err)
	}
	*d, d.Pos = parsed, n.pos
	return nil
}

func (Duration) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^(forever|([0-9]+(s|m|h|d|w|mo|y))+)$"}
}

func (r *Retention) decode(key string, n *node) error {
	if n.kind == kindInt || n.kind == kindFloat || n.kind == kindString && isDuration(n.text) {
		r.Duration = new(Duration)
		return r.Duration.decode(key, n)
	}
	var sql expression
	if err := sql.decode(key, n); err != nil {
		return err
	}
	if strings.EqualFold(strings.TrimSpace(sql.Value), forever) {
		return errorAt(n.pos, "%s is %q: write forever, exactly", key, sql.Value)
	}
	r.SQL = Text(sql)
	return nil
}

func (Retention) schema() *jsonschema.Schema {
	s := nonBlank()
	s.Not = &jsonschema.Schema{Pattern: "^([0-9]+|" + Choose + ")$"}
	return s
}

// isDuration reports whether text can only be meant as a duration: forever, or letters,
// digits, dots, signs and spaces that begin like a number. PostgreSQL 14 would read `1y`
// as the number 1 with a column alias.
func isDuration(s string) bool {
	if s == forever {
		return true
	}
	s = strings.TrimSpace(s)
	number := strings.TrimLeft(s, "+-. ")
	if number == "" || !isDigit(number[0]) {
		return false
	}
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsSpace(r) && !strings.ContainsRune("+-.", r) {
			return false
		}
	}
	return true
}

// overrides are retentions by tenant key, in the order of the file.
type overrides []Override

func (o *overrides) decode(key string, n *node) error {
	if n.kind != kindMapping {
		return errorAt(n.pos, "%s must be a mapping of tenants' keys and durations, not %s: write {\"42\": forever}", key, n.kind.describe())
	}
	for _, p := range n.pairs {
		if p.key.kind != kindString && p.key.kind != kindInt {
			return errorAt(p.key.pos, "%s: the key %s is %s in YAML: put it in quotes", key, p.key.text, p.key.kind.describe())
		}
		if p.key.text == "" {
			return errorAt(p.key.pos, "%s: a key is empty: write a tenant's key", key)
		}
		var d Duration
		if p.value.kind == kindNull {
			return errorAt(p.value.pos, "%s: %q has no value: %s", key, p.key.text, durationRemedy)
		}
		if err := d.decode(fmt.Sprintf("%s: %q", key, p.key.text), p.value); err != nil {
			return err
		}
		*o = append(*o, Override{Key: Text{p.key.text, p.key.pos}, Duration: d})
	}
	return nil
}

func (overrides) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", AdditionalProperties: Duration{}.schema()}
}

// expression is an SQL expression over one table.
type expression Text

func (e *expression) decode(key string, n *node) error {
	s, err := n.textAs(key, "SQL")
	if err != nil {
		return err
	}
	if err := checkFragment(s); err != nil {
		return n.in(key, err)
	}
	*e = expression{strings.TrimSpace(s), n.pos}
	return nil
}

func (expression) schema() *jsonschema.Schema { return nonBlank() }

// tenantQuery is the query that lists the tenants.
type tenantQuery Text

func (q *tenantQuery) decode(key string, n *node) error {
	s, err := n.textAs(key, "a query")
	if err != nil {
		return err
	}
	if s, err = checkQuery(s, "key, retention and optionally hold"); err != nil {
		return n.in(key, err)
	}
	*q = tenantQuery{s, n.pos}
	return nil
}

func (tenantQuery) schema() *jsonschema.Schema { return nonBlank() }
