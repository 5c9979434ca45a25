package visible_test

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/visible"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func TestText(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{
		"": "", "acme": "acme", "Zürich": "Zürich", "東京": "東京", `C:\x`: `C:\x`,
		"a\nb\tc\rd":                `a\nb\tc\rd`,
		"\x1b[2J\a":                 `\x1b[2J\a`,
		"\u202eevil":                `\u202eevil`,
		"\u009b2J":                  `\u009b2J`,
		"a\xffb\uFFFD":              `a\xffb` + "\uFFFD",
		"\U000e0001":                `\U000e0001`,
		"e\u0301":                   "e\u0301",
		"e\u0301\u0301\u0301\u0301": "e\u0301\u0301\u0301" + `\u0301`,
	} {
		if got := visible.Text(value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	for value, want := range map[string]string{"abcd": "abcd", "abcde": "abcd… (5 bytes)", "abc\x1b": "abc… (4 bytes)"} {
		if got := visible.Brief(value, 4); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

// The display of any value is valid, bounded, on one line, and has no invisible characters.
func FuzzText(f *testing.F) {
	for _, seed := range []string{"", "a", "\xff", "\uFFFD", "\u202e", "\u0301", "a\u0301\u0301\u0301\u0301", strings.Repeat("x", 90), "\U000e0001", "\r\n"} {
		f.Add(seed)
	}
	const unseen = "\u200b\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\x00\x1b\x7f\u009b\r"
	f.Fuzz(func(t *testing.T, value string) {
		short := visible.Brief(value, 80)
		if n := utf8.RuneCountInString(short); n > 120 || n == 0 && value != "" {
			t.Errorf("%q: %q", value, short)
		}
		for _, got := range []string{short, visible.Text(value)} {
			if !utf8.ValidString(got) || strings.ContainsAny(got, unseen+"\n\t") {
				t.Errorf("%q shows %q", value, got)
			}
		}
		// Cut anywhere, the input gives the same output.
		var whole, cut bytes.Buffer
		for out, parts := range map[*bytes.Buffer][]string{&whole: {value}, &cut: {value[:len(value)/2], value[len(value)/2:]}} {
			w := visible.NewWriter(out)
			for _, part := range parts {
				if n, err := w.Write([]byte(part)); err != nil || n != len(part) {
					t.Fatalf("%d, %v", n, err)
				}
			}
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if got := whole.String(); got != cut.String() || !utf8.ValidString(got) || strings.ContainsAny(got, unseen) {
			t.Errorf("%q is written as %q and %q", value, got, cut.String())
		}
	})
}

// JSON keeps its meaning.
func TestJSONWriter(t *testing.T) {
	t.Parallel()
	value := "\x1b[2J\n\t\u202e\u009b\x7f\U000e0001é東"
	text, err := json.Marshal(map[string]string{value: value})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := visible.NewJSONWriter(visible.NewWriter(&b)) // chained, as in the program
	for i := range text {
		if _, err := w.Write(text[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if strings.ContainsAny(b.String(), "\x1b\u202e\u009b\x7f\U000e0001") || !strings.Contains(b.String(), "é東") {
		t.Errorf("got %q", b.String())
	}
	var got map[string]string
	if err := json.Unmarshal(b.Bytes(), &got); err != nil || got[value] != value {
		t.Errorf("got %q (%v), want %q", got, err, value)
	}
}

// SQL's result is visible, and PostgreSQL reads it like the original statement.
func TestSQL(t *testing.T) {
	t.Parallel()
	conn := dbtest.Connect(t, dbtest.New(t).DSN())
	for _, statement := range []string{
		`SELECT 'x' AS "a"`,
		"SELECT 'x' AS \"a\nb\x1b[2J\u202e\"\"q\\u0041\U000e0001\"",
		"SELECT 'it''s \x1b \\n\n' AS a, 1 AS b",
		"SELECT e'\\' \\x41 '' x' AS \"\x1b\"",
		"SELECT $q$ \" ' $q$ || $$'$$ AS \"\x1b\", N'a' || U&'\\0041' AS b -- \x1b[2J\n, 2 AS c",
		"SELECT U&\"d!0061\" UESCAPE '!', \"\x07\" FROM (SELECT 1 AS da, 2 AS \"\x07\") x",
		"SELECT a$1, \"\x1b\" FROM (SELECT 1 AS a$1, 2 AS \"\x1b\") x",
	} {
		shown := visible.SQL(statement)
		if strings.ContainsAny(shown, "\x1b\a\u202e\U000e0001") {
			t.Errorf("%q is shown as %q", statement, shown)
		}
		want, err := conn.PgConn().Exec(t.Context(), statement).ReadAll()
		if err != nil {
			t.Fatalf("%q: %v", statement, err)
		}
		got, err := conn.PgConn().Exec(t.Context(), shown).ReadAll()
		if err != nil {
			t.Errorf("%q: %v", shown, err)
			continue
		}
		for i, f := range want[0].FieldDescriptions {
			if name := got[0].FieldDescriptions[i].Name; name != f.Name || !bytes.Equal(got[0].Rows[0][i], want[0].Rows[0][i]) {
				t.Errorf("%q: column %q is %q", shown, name, got[0].Rows[0][i])
			}
		}
	}
}
