package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/tools/txtar"

	"github.com/reaperdb/reaper/internal/dbtest"
)

var updateMistakes = flag.Bool("update-mistakes", false, "write the messages of testdata/mistakes anew")

// leastMistakes is how many mistakes are looked at, at least.
const leastMistakes = 60

const mistakesSchema = `
	CREATE TABLE orgs (id int PRIMARY KEY, retention_days int);
	INSERT INTO orgs VALUES (1, 30), (4, 60);
	CREATE TABLE mails (id bigint PRIMARY KEY, org_id int NOT NULL REFERENCES orgs, created_at timestamptz NOT NULL, sent_at timestamptz, subject text, status int);
	CREATE INDEX ON mails (org_id, created_at, id);
	CREATE TABLE attachments (id bigint PRIMARY KEY, mail_id bigint NOT NULL REFERENCES mails);
	CREATE INDEX ON attachments (mail_id);
	CREATE TABLE copies (id bigint PRIMARY KEY, org_id int REFERENCES orgs, by_org_id int REFERENCES orgs, created_at timestamptz)`

const usualPolicy = `version: 1
tenants: {table: orgs, key: id, retention: retention_days, default: 30d}
policies: [{name: mails, table: mails, age: created_at, undecided: delete}]
`

// strange are words of Go and of libraries, which mean nothing to a person.
var strange = regexp.MustCompile(`strconv\.|slog:|pflag|keyword/value|invalid argument|unmarshal|(^| )yaml: |dial (tcp|unix)|lookup |cannot parse|failed to|shorthand|invalid syntax|%!|goroutine|panic|\*errors|time: |env:|record type|hunter2`)

// Every mistake ends with an exit code of its own kind, and with one line that names the place and
// the remedy; where a policy file does not fit the database, with a line and its fix for each error.
func TestMistakes(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, mistakesSchema)
	server, err := pgx.ParseConfig(db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	fixed := strings.NewReplacer("$OTHER", strings.Replace(db.DSN(), db.Name(), "shop_that_is_not", 1), "$ROLE", db.As("nobody_at_all"))
	shown := strings.NewReplacer(db.Name(), "DB", server.Host, "HOST")
	files, err := filepath.Glob("testdata/mistakes/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, file := range files {
		archive, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		count += len(archive.Files)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			for i, section := range archive.Files {
				policy, rest, ok := strings.Cut("\n"+string(section.Data), "\n$ ")
				if !ok {
					t.Fatalf("%s has no command", section.Name)
				}
				line, want, _ := strings.Cut(rest, "\n")
				policy = strings.TrimPrefix(policy+"\n", "\n")
				if policy == "" {
					policy = usualPolicy
				}
				got := shown.Replace(mistaken(t, db.DSN(), policy, fixed.Replace(line)))
				judge(t, section.Name, got)
				if got != strings.TrimSpace(want)+"\n" && !*updateMistakes {
					t.Errorf("%s: got\n%s\nwant\n%s", section.Name, got, want)
				}
				archive.Files[i].Data = []byte(string(section.Data[:len(section.Data)-len(want)]) + got + "\n")
			}
			if *updateMistakes {
				if err := os.WriteFile(file, txtar.Format(archive), 0o644); err != nil { //nolint:gosec // a golden file
					t.Fatal(err)
				}
			}
		})
	}
	if count < leastMistakes {
		t.Errorf("%d mistakes, want at least %d", count, leastMistakes)
	}
}

// judge says what is wrong with a message, whatever the golden file says.
func judge(t *testing.T, name, got string) {
	t.Helper()
	code, text, _ := strings.Cut(got, "\n")
	if code == "exit 0" {
		t.Errorf("%s ends in exit 0", name)
	}
	if words := strange.FindString(text); words != "" {
		t.Errorf("%s: %q is no word for a person:\n%s", name, words, text)
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) == 1 && (strings.HasPrefix(text, "reaper: ") || strings.HasPrefix(text, "reaper.yaml:")) {
		return
	}
	for i, l := range lines {
		last := i == len(lines)-1
		problem := strings.HasPrefix(l, "error") || strings.HasPrefix(l, "warning") || strings.HasPrefix(l, "note") || strings.HasPrefix(l, "  fix: ")
		if !problem && (!last || !strings.Contains(l, "fix")) {
			t.Errorf("%s: not one line:\n%s", name, text)
		}
	}
}

// mistaken runs a command line with a policy file, and returns how it ends and all that it says.
func mistaken(t *testing.T, dsn, policy, line string) string {
	t.Helper()
	words := shellWords(line)
	var env []string
	for len(words) > 0 && words[0] != "reaper" {
		env, words = append(env, words[0]), words[1:]
	}
	var target string
	if n := len(words); n > 2 && words[n-2] == ">" {
		target, words = words[n-1], words[:n-2]
	}
	cmd := program(t, dsn, words[1:]...)
	write(t, cmd.Dir, policy)
	cmd.Env = append(cmd.Env, env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if target != "" {
		f, err := os.OpenFile(target, os.O_WRONLY, 0)
		if err != nil && runtime.GOOS == "linux" {
			t.Fatal(err)
		}
		if err != nil {
			t.Skipf("%s is a device of Linux: %v", target, err)
		}
		defer f.Close()
		cmd.Stdout = f
	}
	err := cmd.Run()
	if _, ok := err.(*exec.ExitError); err != nil && !ok { //nolint:errorlint // it is not wrapped
		t.Fatal(err)
	}
	return fmt.Sprintf("exit %d\n%s", exitCode(t, err), out.String())
}

// shellWords splits a line at blanks, outside of double quotes.
func shellWords(line string) (words []string) {
	word, begun, quoted := "", false, false
	for _, r := range line + " " {
		switch {
		case r == '"':
			begun, quoted = true, !quoted
		case r == ' ' && !quoted:
			if begun {
				words = append(words, word)
			}
			word, begun = "", false
		default:
			word, begun = word+string(r), true
		}
	}
	return words
}
