package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
)

// Each archive in testdata/fixes is a small database and a policy file for which check reports
// problems. Its file "fixes" lists them, each with its fix indented in the line below, as a
// terminal shows them; … matches what differs between runs. The fixes are applied as printed, one
// after the other: SQL as superuser, YAML in reaper.yaml. After each, check must not report that
// problem, nor a new error; after the last, it passes. The other files are those of TestCases.
func TestFixes(t *testing.T) {
	t.Parallel()
	for name, c := range parseFixes(t) {
		if c.alone == "" {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				runFixes(t, c)
			})
		}
	}
}

// TestFixesAlone runs the archives that other tests on the same server would disturb.
func TestFixesAlone(t *testing.T) {
	for name, c := range parseFixes(t) {
		if c.alone != "" {
			t.Run(name, func(t *testing.T) { runFixes(t, c) })
		}
	}
}

type fixCase struct {
	testCase
	fixes []plan.Problem // text and fix
}

func parseFixes(t *testing.T) map[string]*fixCase {
	t.Helper()
	files, err := filepath.Glob("testdata/fixes/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no fixes: %v", err)
	}
	cases := map[string]*fixCase{}
	for _, file := range files {
		cases[strings.TrimSuffix(filepath.Base(file), ".txtar")] = parseFix(t, file)
	}
	return cases
}

func parseFix(t *testing.T, path string) *fixCase {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &fixCase{}
	for _, f := range archive.Files {
		text := string(f.Data)
		switch f.Name {
		case "schema.sql":
			c.schema = text
		case "reaper.yaml":
			c.policy = text
		case "steps":
			c.steps = text
		case "roles":
			for role := range strings.Lines(text) {
				c.roles = append(c.roles, strings.TrimSpace(role))
			}
		case "versions":
			c.versions = strings.TrimSpace(text)
		case "alone":
			c.alone = text
		case "fixes":
			c.fixes = parseProblems(text)
		default:
			t.Fatalf("%s: no file of a case is called %s", path, f.Name)
		}
	}
	if c.schema == "" || c.policy == "" || len(c.fixes) == 0 {
		t.Fatalf("%s: a case needs schema.sql, reaper.yaml and fixes", path)
	}
	return c
}

func parseProblems(text string) (problems []plan.Problem) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "":
		case strings.HasPrefix(line, " "):
			problems[len(problems)-1].Fix = strings.TrimSpace(line)
		default:
			problems = append(problems, plan.Problem{Text: line})
		}
	}
	return problems
}

func runFixes(t *testing.T, c *fixCase) {
	t.Helper()
	db := dbtest.New(t)
	if major := db.Int(t, `SELECT current_setting('server_version_num')::int / 10000`); !c.existsOn(t, major) {
		t.Logf("PostgreSQL %d cannot have such a database; %s can", major, c.versions)
		return
	}
	r := newCaseRun(t, db, &c.testCase)
	r.load()
	r.all(c.steps)
	found := r.checkSays()
	for _, want := range c.fixes {
		found = r.fixed(found, plan.Problem{Text: r.expand(want.Text), Fix: r.expand(want.Fix)})
	}
	for _, p := range found {
		if p.Level == plan.LevelError {
			t.Errorf("after all fixes check still says: %s\n\tfix: %s", p.Text, p.Fix)
		}
	}
}

// fixed applies the fix of one of the found problems, and returns what check reports then.
func (r *caseRun) fixed(found []plan.Problem, want plan.Problem) []plan.Problem {
	r.t.Helper()
	same := func(p plan.Problem) bool { return fitsPattern(want.Text, visible.Text(withoutPlace(p.Text))) }
	i := slices.IndexFunc(found, same)
	if i < 0 {
		r.t.Fatalf("check does not say: %s\nbut:\n%s", want.Text, listProblems(found))
	}
	if fix := visible.Text(found[i].Fix); !fitsPattern(want.Fix, fix) {
		r.t.Errorf("%s\nfix:  %s\nwant: %s", want.Text, fix, want.Fix)
	}
	r.apply(found[i])
	after := r.checkSays()
	if slices.ContainsFunc(after, same) {
		r.t.Errorf("the fix has mended nothing: %s\n%s", want.Text, found[i].Fix)
	}
	for _, p := range newErrorsAfter(found, after) {
		r.t.Errorf("in the place of: %s\nwith the fix:    %s\ncame the error:  %s\nwith the fix:    %s", want.Text, found[i].Fix, p.Text, p.Fix)
	}
	return after
}

// newErrorsAfter are the errors that were not reported before.
func newErrorsAfter(before, after []plan.Problem) []plan.Problem {
	return slices.DeleteFunc(slices.Clone(after), func(p plan.Problem) bool {
		return p.Level != plan.LevelError || slices.ContainsFunc(before, func(b plan.Problem) bool { return withoutPlace(b.Text) == withoutPlace(p.Text) })
	})
}

func listProblems(problems []plan.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		b.WriteString(visible.Text(withoutPlace(p.Text)) + "\n    " + visible.Text(p.Fix) + "\n")
	}
	return b.String()
}

// checkSays returns what reaper check reports, problems and notes.
func (r *caseRun) checkSays() []plan.Problem {
	r.t.Helper()
	var said checkResult
	out := r.reaper("", []string{"check", "-o", "json"})
	if err := json.Unmarshal([]byte(out), &said); err != nil {
		r.t.Fatalf("check -o json: %v\n%s", err, out)
	}
	for _, n := range said.Notes {
		said.Problems = append(said.Problems, plan.Problem{Level: plan.LevelWarning, Text: n.Text, Fix: n.Fix})
	}
	return said.Problems
}
