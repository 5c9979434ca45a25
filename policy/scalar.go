package policy

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// textAs returns the value of a string. Messages do not repeat it, because it may be a
// secret.
func (n *node) textAs(key, want string) (string, error) {
	if n.kind != kindString {
		return "", errorAt(n.pos, "%s must be %s, not %s: write it as text, quoted if necessary", key, want, n.kind.describe())
	}
	if strings.TrimSpace(n.text) == "" {
		return "", errorAt(n.pos, "%s is empty: it must be %s", key, want)
	}
	return n.text, nil
}

// nameAs returns the value of a string, or of a whole number as written: a column or a key
// may be named 42.
func (n *node) nameAs(key, want string) (string, error) {
	if n.kind == kindInt {
		return n.text, nil
	}
	return n.textAs(key, want)
}

// in adds the key and n's position to an error.
func (n *node) in(key string, err error) error {
	return errorAt(n.pos, "%s: %s", key, err)
}

type version int

func (v *version) decode(key string, n *node) error {
	if n.kind != kindInt || n.text != "1" {
		return errorAt(n.pos, "%s must be the number 1, the only version of the policy file: write version: 1", key)
	}
	*v = 1
	return nil
}

func (version) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Const: 1}
}

type policyName Text

func (p *policyName) decode(key string, n *node) error {
	const want = "a name of a-z, 0-9 and -"
	s, err := n.nameAs(key, want)
	if err != nil {
		return err
	}
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return errorAt(n.pos, "%s %q must be %s only: it is used as a label and a flag", key, s, want)
	}
	*p = policyName{s, n.pos}
	return nil
}

func (policyName) schema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		{Type: "string", Pattern: "^[a-z0-9-]+$"},
		{Type: "integer"},
	}}
}

// nonEmpty is text that is checked elsewhere.
type nonEmpty Text

func (t *nonEmpty) decode(key string, n *node) error {
	s, err := n.textAs(key, "text")
	*t = nonEmpty{s, n.pos}
	return err
}

func (nonEmpty) schema() *jsonschema.Schema { return nonBlank() }

// nonBlank is the schema of a string that is not blank.
func nonBlank() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `\S`}
}

// schedule is a cron expression.
type schedule Text

func (t *schedule) decode(key string, n *node) error {
	s, err := n.textAs(key, "a cron expression")
	if err != nil {
		return err
	}
	if _, err := ParseSchedule(s, time.UTC); err != nil {
		return errorAt(n.pos, "%s %q: %v", key, s, err)
	}
	*t = schedule{s, n.pos}
	return nil
}

func (schedule) schema() *jsonschema.Schema { return nonBlank() }

// secretURL is an http or https URL that no message may show.
type secretURL Text

func (t *secretURL) decode(key string, n *node) error {
	s, err := n.textAs(key, "an http or https URL")
	if err != nil {
		return err
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
		return errorAt(n.pos, "%s must be a complete URL that begins with https:// or http:// (not shown, because it is a secret)", key)
	}
	*t = secretURL{s, n.pos}
	return nil
}

func (secretURL) schema() *jsonschema.Schema { return urlSchema() }

func urlSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^[hH][tT][tT][pP][sS]?://."}
}

type undecided string

func (u *undecided) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(u), "error", "delete", "keep")
}

func (undecided) schema() *jsonschema.Schema { return choiceSchema("error", "delete", "keep") }

type action string

func (a *action) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(a), "delete", "nullify", "keep", "redact")
}

func (action) schema() *jsonschema.Schema { return choiceSchema("delete", "nullify", "keep", "redact") }

type permission string

func (p *permission) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(p), "error", "allow")
}

func (permission) schema() *jsonschema.Schema { return choiceSchema("error", "allow") }

type foreignKeyChecks string

func (f *foreignKeyChecks) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(f), "ordinary", "proven", "auto")
}

func (foreignKeyChecks) schema() *jsonschema.Schema {
	return choiceSchema("ordinary", "proven", "auto")
}

type onOff string

func (o *onOff) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(o), "on", "off")
}

func (onOff) schema() *jsonschema.Schema { return choiceSchema("on", "off") }

type vacuum string

func (v *vacuum) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(v), "auto", "always", "never")
}

func (vacuum) schema() *jsonschema.Schema { return choiceSchema("auto", "always", "never") }

type partitions string

func (p *partitions) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(p), "drop", "delete")
}

func (partitions) schema() *jsonschema.Schema { return choiceSchema("drop", "delete") }

func decodeChoice(key string, n *node, into *string, choices ...string) error {
	s, err := n.textAs(key, "one of "+strings.Join(choices, ", "))
	if err != nil {
		return err
	}
	if !slices.Contains(choices, s) {
		return errorAt(n.pos, "%s is %q: write one of %s", key, s, strings.Join(choices, ", "))
	}
	*into = s
	return nil
}

func choiceSchema(choices ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{Type: "string"}
	for _, c := range choices {
		s.Enum = append(s.Enum, c)
	}
	return s
}

// count is a number of rows, at least one.
type count int

const maxCount = 1<<31 - 1

func (c *count) decode(key string, n *node) error {
	v, err := strconv.Atoi(n.text)
	if n.kind != kindInt || err != nil || v < 1 || v > maxCount {
		return errorAt(n.pos, "%s must be a whole number from 1 to %d", key, maxCount)
	}
	*c = count(v)
	return nil
}

func (count) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "1", Maximum: "2147483647"}
}

type onDrift string

func (d *onDrift) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(d), "refuse", "warn")
}

func (onDrift) schema() *jsonschema.Schema { return choiceSchema("refuse", "warn") }
