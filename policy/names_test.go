package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseTable(t *testing.T) {
	for in, want := range map[string]Table{
		"TaskRun":      {Name: "TaskRun"},
		"app.TaskRun":  {Schema: "app", Name: "TaskRun"},
		`"odd.name"`:   {Name: "odd.name"},
		`a."odd.name"`: {Schema: "a", Name: "odd.name"},
		`"a.b"."c""d"`: {Schema: "a.b", Name: `c"d`},
		`my table`:     {Name: "my table"},
		`" "`:          {Name: " "},
		`größe`:        {Name: "größe"},
		`drop;--`:      {Name: "drop;--"},
	} {
		got, err := ParseTable(in)
		if err != nil {
			t.Errorf("%s: %v", in, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
	for _, in := range []string{"", " ", ".", "a.", ".a", "a..b", "a.b.c", `"`, `""`, `"a`, `"a"b`, `a"b`, `a."b`, ` a`, `a `, "a -> b"} {
		if got, err := ParseTable(in); err == nil {
			t.Errorf("%q is %+v, want an error", in, got)
		}
	}
}

func TestQuoteName(t *testing.T) {
	for in, want := range map[string]string{
		"TaskRun": "TaskRun", "my table": "my table", "odd.name": `"odd.name"`,
		`a"b`: `"a""b"`, " a": `" a"`, "": `""`, "a->b": `"a->b"`,
	} {
		if got := QuoteName(in); got != want {
			t.Errorf("%q is written %s, want %s", in, got, want)
		}
	}
}

// nasty are names made of characters that matter to the syntax.
func nasty() *rapid.Generator[string] {
	return rapid.StringOfN(rapid.RuneFrom([]rune(`aB ."->é`)), 1, 8, -1)
}

func TestTableRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Table{Name: nasty().Draw(t, "name")}
		if rapid.Bool().Draw(t, "with schema") {
			want.Schema = nasty().Draw(t, "schema")
		}
		got, err := ParseTable(want.String())
		if err != nil || got != want {
			t.Fatalf("%s reads back as %+v, %v", want, got, err)
		}
	})
}

func TestStepRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := Step{Column: nasty().Draw(t, "column")}
		written := QuoteName(want.Column)
		if rapid.Bool().Draw(t, "with arrow") {
			want.Table = Table{Schema: nasty().Draw(t, "schema"), Name: nasty().Draw(t, "name")}
			want.ToColumn = nasty().Draw(t, "to")
			written += " -> " + want.Table.String() + "." + QuoteName(want.ToColumn)
		}
		got, err := parseStep(written)
		if err != nil || got != want {
			t.Fatalf("%s reads back as %+v, %v", written, got, err)
		}
	})
}
