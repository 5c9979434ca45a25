package policy

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The `tenant:` value that a message suggests can be pasted into the file.
func TestPathYAML(t *testing.T) {
	for want, p := range map[string]Path{
		"none":                      {None: true},
		"":                          {},
		"[domain_id, organization]": {Steps: []Step{{Column: "domain_id"}, {Column: "organization"}}},
		`['"odd.name"', 'none']`:    {Steps: []Step{{Column: "odd.name"}, {Column: "none"}}},
		`['run -> app.Run.id', "a\u000ab"]`: {Steps: []Step{
			{Column: "run", Table: Table{Schema: "app", Name: "Run"}, ToColumn: "id"}, {Column: "a\nb"},
		}},
	} {
		if got := p.YAML(); got != want {
			t.Errorf("the path is written %s, want %s", got, want)
		}
	}
}

// strange are names made of what YAML or the policy file reads in another way.
func strange() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.StringOfN(rapid.RuneFrom([]rune("aB7 .\"'->é\n\t\\#:,[]{}&*!|%@`~\u202e\u0301😀")), 1, 8, -1),
		rapid.SampledFrom([]string{"null", "No", "none", "y", "1", "1e3", "0x1f", "~", "1_000", ".5", "true"}))
}

func TestPathYAMLRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Path{Steps: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Step {
			s := Step{Column: strange().Draw(t, "column")}
			if rapid.Bool().Draw(t, "arrow") {
				s.Table, s.ToColumn = Table{Schema: strange().Draw(t, "schema"), Name: strange().Draw(t, "table")}, strange().Draw(t, "to")
			}
			return s
		}), 1, 3).Draw(t, "steps")}
		file := "version: 1\ntenants: {table: t, key: id, default: 1d}\npolicies:\n  - name: p\n    table: p\n    age: at\n    tenant: " + want.YAML() + "\n"
		f, err := Parse("reaper.yaml", []byte(file))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if got := f.Policies[0].Tenant.YAML(); got != want.YAML() || strings.Contains(got, "\n") {
			t.Fatalf("%s reads back as %s", want.YAML(), got)
		}
		for i, s := range f.Policies[0].Tenant.Steps {
			s.Pos, s.Table.Pos = Pos{}, Pos{}
			if s != want.Steps[i] {
				t.Fatalf("step %d of %s reads back as %+v", i, want.YAML(), s)
			}
		}
	})
}
