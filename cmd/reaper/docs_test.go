package main

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/reaperdb/reaper/policy"
)

const repository = "../../"

// pages are the pages for users, by their path in the repository.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"README.md", "CONTRIBUTING.md", "deploy/README.md", "docs/*.md", "docs/runbooks/*.md"} {
		found, err := filepath.Glob(repository + pattern)
		if err != nil || len(found) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range found {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all[strings.TrimPrefix(file, repository)] = string(text)
		}
	}
	return all
}

// fenced is a code block, with its indentation removed.
type fenced struct{ language, text string }

func fences(page string) (all []fenced) {
	var open *fenced
	var indent string
	for line := range strings.Lines(page) {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case open == nil && strings.HasPrefix(trimmed, "```"):
			open = &fenced{language: strings.TrimSpace(trimmed[3:])}
			indent = line[:len(line)-len(trimmed)]
		case open != nil && strings.HasPrefix(trimmed, "```"):
			all = append(all, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent)
		}
	}
	return all
}

// blocks are the texts of a page's blocks of one language.
func blocks(page, language string) (texts []string) {
	for _, f := range fences(page) {
		if f.language == language {
			texts = append(texts, f.text)
		}
	}
	return texts
}

// The pages with commands and what they print are played: the scripts in testdata/docs have, besides
// the commands of the other scripts,
//
//	mail N                 fills the demo's mail schema with N mails, each half an hour off any cutoff
//	yaml PAGE N FILE       writes the N-th yaml block of a page to a file
//	console CODE PAGE N    types each command of the page's N-th console block, and compares what is
//	                       printed; the last one must end with this exit code, all others with 0
//
// Every console block of every page is in one of the scripts.
func TestDocs(t *testing.T) {
	t.Parallel()
	all := pages(t)
	commands := map[string]scriptCommand{
		"mail": fillMail,
		"yaml": func(ts *testscript.TestScript, _ bool, args []string) {
			ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(numbered(ts, all, "yaml", args[0], args[1])), 0o600))
		},
		"console": func(ts *testscript.TestScript, _ bool, args []string) {
			typeConsole(ts, numbered(ts, all, "console", args[1], args[2]), args[0])
		},
	}
	scripts, err := filepath.Glob("testdata/docs/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	var played string
	for _, file := range scripts {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		played += string(text)
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			runScript(t, file, commands)
		})
	}
	for page, text := range all {
		for i := range blocks(text, "console") {
			if !regexp.MustCompile(fmt.Sprintf(`(?m)^console \d %s %d$`, regexp.QuoteMeta(page), i+1)).MatchString(played) {
				t.Errorf("%s: console block %d is in no script of testdata/docs", page, i+1)
			}
		}
	}
}

// numbered is the n-th block of a page, from 1.
func numbered(ts *testscript.TestScript, pages map[string]string, language, page, n string) string {
	found := blocks(pages[page], language)
	i, err := strconv.Atoi(n)
	if err != nil || i < 1 || i > len(found) {
		ts.Fatalf("%s has %d blocks of %s", page, len(found), language)
	}
	return found[i-1]
}

// fillMail makes every age half an hour off any whole number of hours, so that no row becomes due
// meanwhile.
func fillMail(ts *testscript.TestScript, _ bool, args []string) {
	t, db := ts.Value("t").(*testing.T), testDatabase(ts)
	for _, file := range []string{"schema.sql", "fill.sql"} {
		text, err := os.ReadFile(repository + "demo/mail/" + file)
		ts.Check(err)
		db.Exec(t, strings.ReplaceAll(string(text), "{{n}}", args[0]))
	}
	db.Exec(t, `UPDATE outgoing_emails SET created_at = now() - (floor(extract(epoch FROM now() - created_at) / 3600) + 0.5) * interval '1 hour'`)
	db.Exec(t, `VACUUM FULL ANALYZE`)
}

// differs is what is not the same in two runs.
var differs = []struct {
	what *regexp.Regexp
	word string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d( UTC)?`), "TIME"},
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "RUN"},
	{regexp.MustCompile(`\([^() ]+@[^() ,]+`), "(WHO"},
	{regexp.MustCompile(`of \d+ segments`), "of N segments"},
	{regexp.MustCompile(`^storage: .*`), "storage: N"},
	{regexp.MustCompile(` +$`), ""},
}

func sameEverywhere(line string) string {
	for _, d := range differs {
		line = d.what.ReplaceAllString(line, d.word)
	}
	return line
}

// typeConsole types the commands of a block and compares the outputs. A line of … stands for any
// number of lines; a command without an output in the page may print anything.
func typeConsole(ts *testscript.TestScript, block, code string) {
	first, rest, _ := strings.Cut(block, "\n$ ")
	for steps := append([]string{strings.TrimPrefix(first, "$ ")}, strings.Split(rest, "\n$ ")...); len(steps) > 0; steps = steps[1:] {
		if strings.TrimSpace(steps[0]) == "" {
			continue
		}
		want := "0"
		if len(steps) == 1 || strings.TrimSpace(strings.Join(steps[1:], "")) == "" {
			want = code
		}
		command, output, _ := strings.Cut(steps[0], "\n")
		args := splitLine(ts.Fatalf, differs[1].what.ReplaceAllStringFunc(command, func(string) string { return lastRun(ts) }))
		exits(ts, false, append([]string{want}, args...))
		compareOutput(ts, command, strings.TrimSpace(output), ts.ReadFile("stdout"), ts.ReadFile("stderr"))
	}
}

// lastRun is the last run that deleted something.
func lastRun(ts *testscript.TestScript) string {
	return testDatabase(ts).Text(ts.Value("t").(*testing.T), `SELECT run_id FROM reaper.runs WHERE rows_total > 0 ORDER BY started_at DESC LIMIT 1`)
}

// compareOutput finds every line of the page in the order of its stream, and without … also every
// line of the streams in the page. An answer behind a question was typed.
func compareOutput(ts *testscript.TestScript, command, page string, streams ...string) {
	if page == "" {
		return
	}
	var lines [][]string
	printed := 0
	for _, s := range streams {
		list := strings.Split(strings.TrimSpace(sameEverywhere(s)), "\n")
		for i := range list {
			list[i] = sameEverywhere(list[i])
		}
		if list[0] == "" {
			list = nil
		}
		printed += len(list)
		lines = append(lines, list)
	}
	whole, found := true, 0
	for line := range strings.SplitSeq(page, "\n") {
		if line == "…" {
			whole = false
			continue
		}
		if question, _, asked := strings.Cut(line, "[y/N]"); asked {
			line = question + "[y/N]"
		}
		line = sameEverywhere(line)
		at := slices.IndexFunc(lines, func(list []string) bool { return slices.ContainsFunc(list, sameLine(line)) })
		if at < 0 {
			ts.Fatalf("%s\nthe page says, and it does not print in this order:\n%s\nit prints:\n%s", command, line, strings.Join(streams, ""))
		}
		lines[at] = lines[at][slices.IndexFunc(lines[at], sameLine(line))+1:]
		found++
	}
	if whole && found != printed {
		ts.Fatalf("%s\nprints %d lines, and the page has %d of them:\n%s", command, printed, found, strings.Join(streams, ""))
	}
}

// sameLine compares with a line of the page, whose end may be left out by ….
func sameLine(want string) func(string) bool {
	return func(got string) bool {
		start, cut := strings.CutSuffix(want, "…")
		return got == want || cut && strings.HasPrefix(got, start)
	}
}

// splitLine splits a command line as a shell does, quotes included.
func splitLine(fatal func(string, ...any), line string) (list []string) {
	var word strings.Builder
	var quote rune
	begun := false
	for _, r := range line {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote == 0 && (r == '"' || r == '\''):
			quote, begun = r, true
		case quote == 0 && r == ' ':
			if begun {
				list = append(list, word.String())
			}
			word.Reset()
			begun = false
		default:
			word.WriteRune(r)
			begun = true
		}
	}
	if quote != 0 {
		fatal("a quote is not closed: %s", line)
	}
	if begun {
		list = append(list, word.String())
	}
	return list
}

var (
	inline     = regexp.MustCompile("`(reaper [^`]+)`")
	assignment = regexp.MustCompile(`^[A-Z_]+=`)
	// here is where pages say that the program is.
	here = []string{"reaper", "/reaper", "./bin/reaper", "/usr/local/bin/reaper"}
)

// invocations are the command lines of reaper in a page: in code blocks and within the text.
func invocations(page string) (all [][]string) {
	fatal := func(string, ...any) {} // quotes that end on another line belong to other programs
	for _, f := range fences(page) {
		if !slices.Contains([]string{"sh", "console", "crontab"}, f.language) {
			continue
		}
		for line := range strings.Lines(f.text) {
			line, typed := strings.CutPrefix(strings.TrimSpace(line), "$ ")
			if f.language == "console" && !typed {
				continue
			}
			line, _, _ = strings.Cut(line, " #")
			line, _, _ = strings.Cut(line, " >")
			for _, part := range regexp.MustCompile(` \| | && |; `).Split(line, -1) {
				list := splitLine(fatal, part)
				list = slices.DeleteFunc(list, assignment.MatchString)
				at := slices.IndexFunc(list, func(w string) bool { return w != "reaper" && slices.Contains(here, w) })
				if at < 0 && len(list) > 0 && list[0] == "reaper" {
					at = 0
				}
				if at >= 0 {
					all = append(all, list[at+1:])
				}
			}
		}
	}
	text := regexp.MustCompile("(?ms)^ *```.*?^ *```$").ReplaceAllString(page, "")
	for _, m := range inline.FindAllStringSubmatch(strings.Join(strings.Fields(text), " "), -1) {
		all = append(all, splitLine(fatal, m[1])[1:])
	}
	return all
}

// messages are in the log, and no commands.
var messages = []string{"started", "ends"}

// Every command line of reaper in the pages is one: its commands and flags exist.
func TestDocs_CommandLines(t *testing.T) {
	t.Parallel()
	found := 0
	for page, text := range pages(t) {
		for _, args := range invocations(text) {
			args = slices.DeleteFunc(args, func(a string) bool { return a == "…" && !strings.HasPrefix(args[max(len(args)-2, 0)], "--") })
			if slices.Contains(args, "COMMAND") || slices.Contains(messages, strings.Join(args, " ")) {
				continue
			}
			found++
			root, err := (&app{}).command()
			if err != nil {
				t.Fatal(err)
			}
			root.InitDefaultCompletionCmd()
			root.InitDefaultHelpCmd()
			cmd, rest, err := root.Find(args)
			if err == nil {
				cmd.InitDefaultHelpFlag()
				err = cmd.ParseFlags(rest)
			}
			if err == nil {
				err = cmd.ValidateArgs(cmd.Flags().Args())
			}
			if err == nil && cmd == root && len(args) > 0 {
				err = fmt.Errorf("there is no such command")
			}
			if err != nil {
				t.Errorf("%s: reaper %s: %v", page, strings.Join(args, " "), err)
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d command lines found", found)
	}
}

// foreign are the first lines of the yaml blocks that are not for reaper, and whose they are.
var foreign = map[string]string{
	"# compose.yaml": "Docker Compose",
	"serviceMonitor: {enabled: true, labels: {release: prometheus}}   # or podMonitor": "the chart's values",
	"extraVolumes: [{name: ca, configMap: {name: database-ca}}]":                       "the chart's values",
	"extraContainers:":     "the chart's values",
	"apiVersion: batch/v1": "Kubernetes",
}

// Every yaml fragment in the pages is valid: of the policy file it is parsed as part of one.
func TestDocs_YAML(t *testing.T) {
	t.Parallel()
	for page, text := range pages(t) {
		for _, block := range blocks(text, "yaml") {
			first, _, _ := strings.Cut(block, "\n")
			if _, others := foreign[first]; others {
				var v any
				if err := yaml.Unmarshal([]byte(block), &v); err != nil {
					t.Errorf("%s: %v", page, err)
				}
				continue
			}
			for fragment := range strings.SplitSeq(wholeFiles(block), "\n\n\x00") {
				if _, err := policy.Parse("reaper.yaml", []byte(around(fragment))); err != nil {
					t.Errorf("%s: %v in\n%s", page, err, around(fragment))
				}
			}
		}
	}
}

// wholeFiles marks where a block without a version ends one fragment and begins the next: at empty
// lines, and between lines that give the same key again.
func wholeFiles(block string) string {
	if strings.HasPrefix(block, "version:") {
		return block
	}
	block = strings.ReplaceAll(block, "\n\n", "\n\n\x00")
	return regexp.MustCompile(`(?m)\ntable:`).ReplaceAllString(block, "\n\n\x00table:")
}

// around makes a policy file of a fragment.
func around(fragment string) string {
	const head, entry = "version: 1\n", "  - {name: p, table: t, age: at, tenant: none, retention: 1d}\n"
	key, _, _ := strings.Cut(fragment, ":")
	switch {
	case key == "version":
		return fragment
	case key == "tenants":
		return head + fragment + "\npolicies:\n  - {name: p, table: t, age: at}\n"
	case key == "policies":
		return head + "tenants: {table: t, key: id, retention: 1d}\n" + fragment
	case key == "erasure":
		return head + "tenants: {table: t, key: id, retention: 1d}\n" + fragment + "\npolicies:\n  - {name: p, table: t, age: at}\n"
	case topLevel[key]:
		return head + fragment + "\npolicies:\n" + entry
	}
	rest := "name: p\nage: at\ntenant: none\nretention: 1d\n"
	if key != "table" {
		rest += "table: t\n"
	}
	return head + "policies:\n  -\n" + regexp.MustCompile(`(?m)^`).ReplaceAllString(rest+fragment, "    ")
}

// topLevel are the sections beside policies.
var topLevel = map[string]bool{"safety": true, "guards": true, "archive": true, "erasure": true, "notify": true, "databases": true}

// Every setting and every command is in the page of settings.
func TestDocs_Settings(t *testing.T) {
	t.Parallel()
	all := pages(t)
	page := all["docs/SETTINGS.md"]
	for f := range reflect.TypeFor[settings]().Fields() {
		name := f.Tag.Get("env")
		if !strings.Contains(page, "`"+name+"`") && !(strings.HasPrefix(name, "OTEL_") && strings.Contains(all["docs/TRACING.md"], name)) {
			t.Errorf("docs/SETTINGS.md lacks `%s`", name)
		}
	}
	root, err := (&app{}).command()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range root.Commands() {
		names := []string{c.Name()}
		for _, sub := range c.Commands() {
			names = append(names, c.Name()+" "+sub.Name())
		}
		if len(names) > 1 && c.Name() != "completion" {
			names = names[1:]
		}
		for _, name := range names {
			if !c.Hidden && c.Name() != "help" && !strings.HasPrefix(name, "completion ") && !strings.Contains(page, "`"+name+"`") {
				t.Errorf("docs/SETTINGS.md lacks the command `%s`", name)
			}
		}
	}
}

// Prose wraps at 120 columns, and each page in docs begins with whom it is for. Code, tables,
// pictures, commands on a line of their own, and what has no space to break at are free.
func TestDocs_Form(t *testing.T) {
	t.Parallel()
	for page, text := range pages(t) {
		if strings.HasPrefix(page, "docs/") && (strings.Count(page, "/") == 1 || page == "docs/runbooks/README.md") {
			if _, body, _ := strings.Cut(text, "\n\n"); !strings.HasPrefix(body, "For ") {
				t.Errorf("%s: begin it, below the title, with whom it is for: “For …”", page)
			}
		}
		code := false
		for i, line := range strings.Split(text, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				code = !code
			}
			free := code || strings.HasPrefix(line, "|") || strings.HasPrefix(line, "![") || strings.HasPrefix(line, "    ") || strings.HasPrefix(strings.TrimSpace(line), "`")
			if !free && utf8.RuneCountInString(line) > 120 && strings.Contains(strings.TrimSpace(string([]rune(line)[:120])), " ") {
				t.Errorf("%s:%d: wrap it at 120 columns", page, i+1)
			}
		}
	}
}
