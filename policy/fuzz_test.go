package policy_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/reaperdb/reaper/policy"
)

// Any input yields an error with its position, or a file that later stages can rely on and
// the JSON Schema accepts; never a panic.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		inTenants("overrides: {42: 1d}"),
		inPolicy("dependents: [{table: x, match: {a: b}, where: c, action: keep}]"),
		inPolicy("tenant: [a -> b.c, d]\n  limits: {rows: 1, bytes: 1KB, time: 1s}"),
		inNone("retention: 1y6mo\n  heartbeat: https://x/"),
		byQuery("default: 1d\n  min: 1h"),
		"version: 1\npolicies:\n- name: a\n  table: t\n  age: {column: x, unit: ms}\n  where: |\n    x = 'y'\n  tenant: none\n  default: 1w\n",
		"? [", "a: &b [*b]", "\t", "- - -", "{", "'", "|",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := policy.Parse("f", data)
		if err != nil {
			checkMistake(t, file, err)
			return
		}
		for i := range file.Policies {
			checkPolicy(t, file, &file.Policies[i])
		}
		checkShape(t, data)
	})
}

func checkMistake(t *testing.T, file *policy.File, err error) {
	t.Helper()
	var mistake *policy.Error
	if !errors.As(err, &mistake) || file != nil {
		t.Fatalf("%T with file %v, want an *Error alone", err, file)
	}
	if mistake.File != "f" || mistake.Pos.Line < 1 || mistake.Pos.Col < 1 || mistake.Msg == "" {
		t.Fatalf("%+v lacks its place or its message", mistake)
	}
}

func checkPolicy(t *testing.T, file *policy.File, p *policy.Policy) {
	t.Helper()
	l := p.Limits
	switch {
	case p.Name == "" || p.Pos.Line < 1 || !p.Table.IsSet() || !p.Age.Column.IsSet() && !p.Age.SQL.IsSet():
		t.Fatalf("%+v lacks a name, a place, a table or an age", p)
	case l.Rows < 1 || l.TotalRows < 1 || l.Bytes < 1 || l.Time < 1:
		t.Fatalf("limits are %+v", l)
	case !p.Tenant.None && file.Tenants == nil:
		t.Fatalf("%s has tenants and the file none", p.Name)
	case p.Tenant.None && (p.Retention.SQL.IsSet() || p.Hold.IsSet() || p.Overrides != nil):
		t.Fatalf("%s has no tenants and settings for them", p.Name)
	case file.MinOf(p) != nil && (file.MinOf(p).Forever || file.MinOf(p).IsZero()):
		t.Fatalf("%s has the min %s", p.Name, file.MinOf(p))
	}
	for _, d := range p.Dependents {
		if d.Action != policy.Delete && d.Action != policy.Nullify && d.Action != policy.Keep {
			t.Fatalf("%s has a dependent with action %q", p.Name, d.Action)
		}
	}
}

func checkShape(t *testing.T, data []byte) {
	t.Helper()
	text, err := yaml.YAMLToJSON(bytes.TrimPrefix(data, []byte("\ufeff")))
	if err != nil {
		return // odd numbers as keys; the schema sees JSON alone
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(string(text)))
	if err != nil {
		return
	}
	if err := compileSchema(t).Validate(doc); err != nil {
		t.Fatalf("%q is parsed, but the JSON Schema says: %v", data, err)
	}
}
