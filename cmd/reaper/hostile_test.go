package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/purge"
)

// unseen returns characters of a text that a terminal would hide or act on.
func unseen(text string) string {
	var found []rune
	for _, r := range text {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			found = append(found, r)
		}
	}
	if !utf8.ValidString(text) {
		found = append(found, utf8.RuneError)
	}
	return string(found)
}

func hostileDatabase(t *testing.T) (db *dbtest.DB, policy string) {
	t.Helper()
	var texts []string
	for _, name := range []string{"schema.sql", "reaper.yaml"} {
		text, err := os.ReadFile(filepath.Join("testdata", "hostile", name))
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	return dbtest.New(t, texts[0]), texts[1]
}

// Whatever names, keys and errors contain, no command prints anything that a terminal would act on,
// and none of them breaks a line.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	db, policy := hostileDatabase(t)
	role := db.Role(t, "app")
	for _, c := range []struct {
		args string // words without spaces
		code int
		says string
	}{
		{"check", 0, `fix: CREATE INDEX CONCURRENTLY ON "public"."side" (U&"\001bref")`},
		{"plan", 0, `a\nb\tc\rOVERWRITE`},
		{"plan --sql", 0, `U&"\001bid" <> 99) OR (U&'\001b[2J\000a'::text = ''::text)`},
		{"plan --policy unseen", 0, `\u202e`},
		{"plan --tenant \x1b[2J", 2, `\x1b[2J`},
		{"plan --policy \x1b[2J", 2, `\x1b[2J`},
		{"plan --\x1b[2J", 2, `\x1b[2J`},
		{"\x1b[2J", 2, `\x1b[2J`},
		{"check --policy-file \x1b[2J", 2, `\x1b[2J`},
		{"init", 0, `\u202e`},
		{"grants --role " + role, 0, `U&"\001bid"`},
		{"purge --yes --log-level debug", 3, `[2J<script>alert(2)</script>\nreaper: all is well`},
		{"purge --yes --log-level debug --log-format json", 3, "pwned"},
		{"status", 0, `"\x1b[2J\x1b]0;pwned\a\x1b[31mred" for 30.0 days`},
		{"pause --reason \u202e", 0, `\u202e`},
		{"resume", 0, ""},
		{"migrate", 0, ""},
	} {
		for _, output := range []string{"text", "json"} {
			cmd := program(t, db.DSN(), append(strings.Fields(c.args), "-o", output)...)
			write(t, cmd.Dir, policy)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			if code := exitCode(t, err); code != c.code {
				t.Errorf("%q in %s: exit code %d, want %d\n%s%s", c.args, output, code, c.code, &stdout, &stderr)
			}
			all := stdout.String() + stderr.String()
			if u := unseen(all); u != "" {
				t.Errorf("%q in %s writes %q", c.args, output, u)
			}
			if output == "json" && !json.Valid(stdout.Bytes()) {
				t.Errorf("%q: no JSON: %s", c.args, &stdout)
			}
			if output == "text" && !strings.Contains(all, c.says) {
				t.Errorf("%q does not say %s:\n%s", c.args, c.says, all)
			}
			for line := range strings.Lines(all) {
				if strings.HasPrefix(line, "reaper: all is well") || strings.HasPrefix(line, "DROP SCHEMA") || strings.HasPrefix(line, "  - {name: e") {
					t.Errorf("%q in %s: a name or an error broke its line: %s", c.args, output, line)
				}
			}
		}
	}
}

// The output of init is a valid policy file, and that of grants grants the privileges and does
// nothing else.
func TestHostileNamesInFiles(t *testing.T) {
	t.Parallel()
	db, policy := hostileDatabase(t)
	// init only proposes tables named like history.
	db.Exec(t, `ALTER TABLE "Wëird ""sch.ema"."<img src=x onerror=alert(1)>" RENAME TO "<img src=x onerror=alert(1)> messages"`)
	db.Exec(t, `ALTER TABLE U&"\000aDROP SCHEMA public CASCADE; -- \001b[2J".U&"\001b]0;t\0007\000a\202e" RENAME TO U&"\001b]0;t\0007\000a\202e logs"`)
	made, err := program(t, db.DSN(), "init").Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd := program(t, db.DSN(), "plan", "-o", "json")
	write(t, cmd.Dir, strings.NewReplacer("CHOOSE}", "delete}", "retention: CHOOSE", "retention: 30d").Replace(string(made)))
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, made, out)
	}
	var plan contractPlan
	if err := json.Unmarshal(out, &plan); err != nil {
		t.Fatal(err)
	}
	for _, p := range plan.Policies {
		if p.Name == "e" {
			t.Errorf("the name of a constraint became a policy:\n%s", made)
		}
	}
	if len(plan.Policies) != 2 {
		t.Errorf("%d policies, want 2:\n%s", len(plan.Policies), made)
	}
	db.Exec(t, `ALTER TABLE "Wëird ""sch.ema"."<img src=x onerror=alert(1)> messages" RENAME TO "<img src=x onerror=alert(1)>"`)
	db.Exec(t, `ALTER TABLE U&"\000aDROP SCHEMA public CASCADE; -- \001b[2J".U&"\001b]0;t\0007\000a\202e logs" RENAME TO U&"\001b]0;t\0007\000a\202e"`)

	role := db.Role(t, "app")
	if out, err := program(t, db.DSN(), "migrate").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, dsn := range []string{db.DSN(), db.As(role)} { // row-level security hides rows only from the role
		cmd := program(t, dsn, "grants", "--role", role)
		write(t, cmd.Dir, policy)
		if out, err = cmd.Output(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		sqlOn(t, db.DSN(), string(out))
	}
	if !strings.Contains(string(out), "\n-- row-level security") {
		t.Errorf("no name stands in a comment:\n%s", out)
	}
	if !db.Bool(t, `SELECT to_regclass('public.org') IS NOT NULL`) {
		t.Errorf("the statements did more than grant:\n%s", out)
	}
	check := program(t, db.As(role), "check")
	write(t, check.Dir, policy)
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("with the privileges granted: %v\n%s", err, out)
	}
}

// Progress writes nothing that is invisible; package terminal's tests look at a terminal.
func TestHostileProgress(t *testing.T) {
	t.Parallel()
	key := "\x1b[2Ja\nb\r\u202e"
	var written bytes.Buffer
	p := (&app{stderr: &written, progressEvery: 1}).newProgress()
	p.Due("p", 5)
	p.Batch(purge.BatchEvent{Policy: "p", Tenant: &key, Roots: 1, Rows: 1, Duration: time.Second})
	p.Advised("p", guard.Advice{State: guard.Pause, Guard: key, Reason: key})
	p.Done()
	if got := written.String(); unseen(got) != "" || !strings.Contains(got, `tenant "\x1b[2Ja\nb\r\u202e"`) || strings.Count(got, "\n") != 2 {
		t.Errorf("%q", got)
	}
}
