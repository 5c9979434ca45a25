package policy

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// Any name written in a flow mapping is read back unchanged.
func TestYAMLText(t *testing.T) {
	t.Parallel()
	name := rapid.OneOf(nasty(), rapid.StringOfN(rapid.RuneFrom([]rune("ab,:{}[]#&*!|>'%@`?- \\\n\t\u0085\u202e\u0301é😀")), 1, 8, -1),
		rapid.SampledFrom([]string{"null", "True", "no", "~", "none", "1", "1e5", "0x1", ".5", "-", "=", "<<", "2001-01-01", "->", ".inf"}))
	rapid.Check(t, func(t *rapid.T) {
		want := Dependent{
			Table: Table{Schema: name.Draw(t, "schema"), Name: name.Draw(t, "table")}, Action: Keep,
			Via: []Text{{Value: name.Draw(t, "first")}, {Value: name.Draw(t, "second")}},
		}
		if want.Via[0] == want.Via[1] {
			want.Via = want.Via[:1]
		}
		var columns []string
		for _, v := range want.Via {
			columns = append(columns, v.Value)
		}
		file := fmt.Sprintf("version: 1\npolicies:\n- {name: a, table: t, age: at, tenant: none, retention: 1d, dependents: [{table: %s, via: %s, action: keep}]}\n",
			YAMLTable(want.Table.Schema, want.Table.Name), YAMLColumns(columns))
		f, err := Parse("reaper.yaml", []byte(file))
		if err != nil {
			t.Fatalf("%v\n%s", err, file)
		}
		if diff := cmp.Diff(want, f.Policies[0].Dependents[0], cmpopts.IgnoreTypes(Pos{})); diff != "" {
			t.Fatalf("%s\n%s", diff, file)
		}
	})
}
