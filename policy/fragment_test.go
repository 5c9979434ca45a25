package policy

import (
	"strings"
	"testing"
)

func TestCheckFragment(t *testing.T) {
	for _, ok := range []string{
		"retention_days",
		"retention_days * 2 + 1",
		"retention_days * interval '1 day'",
		"coalesce(a, b, 1.5e3, .5, 1.)",
		"status <> 'queued' AND NOT (x->>'a;b' = 'it''s -- fine')",
		`"select" = 1 or "a""b" is null`,
		`E'a\'b' = 'c\'`,
		"E'a'\n 'b\\'c' = d",
		"x = $$it's (fine$$ or y = $a1$ $$ ; $a1$",
		"a$1 = 1",
		"tags[1] = any(array['a', ')'])",
		"selected and tables",
		"größe > 1",
		"plan in (values (1), (2))",
		"b'1' | x'1F'::bit(1)",
	} {
		if err := checkFragment(ok); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	for bad, words := range map[string]string{
		"":                "empty",
		"  ":              "empty",
		"a;":              "semicolon",
		"a, b":            "comma",
		"a) or (b":        "without its opening",
		"(a":              "missing )",
		"a[1":             "missing ]",
		"(a]":             "without its opening",
		"'a":              "quote (')",
		"'a''":            "quote (')",
		`"a`:              `quote (")`,
		`E'a\'`:           "quote (')",
		"E'a'\n'b\\'":     "quote (')",
		"$$a":             "dollar quote ($$)",
		"$a$ $b$":         "dollar quote ($a$)",
		"a = $1":          "parameter ($1)",
		"a = $":           "lone $",
		"a -- b":          "comment",
		"a--b":            "comment",
		"a /* b":          "comment",
		"(select 1)":      "SELECT",
		"exists(tAbLe x)": "TABLE",
		"1y":              "number 1",
		"1_000":           "number 1",
		"0x10":            "number 0",
		"a + 30days":      "number 30",
		"1e":              "number 1",
		"1$1":             "number 1",
	} {
		if err := checkFragment(bad); err == nil {
			t.Errorf("%s: accepted", bad)
		} else if !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v, want %q in it", bad, err, words)
		}
	}
}

func TestCheckQuery(t *testing.T) {
	for in, want := range map[string]string{
		"select 1":                      "select 1",
		" SELECT 1 ; \n":                "SELECT 1",
		"WITH x AS (SELECT 1) TABLE x;": "WITH x AS (SELECT 1) TABLE x",
		"values (1, 2), (3, 4)":         "values (1, 2), (3, 4)",
		"TABLE t":                       "TABLE t",
		"SELECT ';', $$;$$":             "SELECT ';', $$;$$",
		"SELECT ';'":                    "SELECT ';'",
	} {
		if got, err := checkQuery(in, "one number"); err != nil || got != want {
			t.Errorf("%q is %q, %v, want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{"", ";", "SELECT 1;;", "SELECT 1; x", "INSERT INTO x", "(SELECT 1)", "'SELECT'", "SELECT (1", "SELECT $1", "SELECT 1 -- x", "SELECT 1 /* x */"} {
		if got, err := checkQuery(bad, "one number"); err == nil {
			t.Errorf("%q is %q, want an error", bad, got)
		}
	}
}

func TestIsDuration(t *testing.T) {
	for in, want := range map[string]bool{
		"forever": true, "90d": true, "30": true, "30 days": true, "-1d": true, "+ 1": true, "1.5": true, ".5": true, " 1y": true,
		"days": false, "days + 1": false, "1 * days": false, "(1)": false, "1_000": false, "": false, "-": false, "d1": false,
	} {
		if got := isDuration(in); got != want {
			t.Errorf("%q is a duration: %t, want %t", in, got, want)
		}
	}
}

// A fragment stays inside the parentheses put around it: no quote swallows what follows,
// and no bracket closes them.
func FuzzFragment(f *testing.F) {
	for _, seed := range []string{"a", "E'a\\''", "$a$ $a$", "(a[1])", "E'a'\n'b'", "1e5", "a)", "'", "$1", `"a""`, "--"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		_, _ = checkQuery(s, "one number")
		if checkFragment(s) != nil {
			return
		}
		if err := checkFragment("(" + s + ") AND b"); err != nil {
			t.Fatalf("%q is accepted, but in parentheses: %v", s, err)
		}
		if checkFragment("("+s+"))") == nil || checkFragment("("+s+"; x)") == nil {
			t.Fatalf("%q swallows what follows", s)
		}
	})
}
