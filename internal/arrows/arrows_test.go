// Package arrows holds the test of which package may import which.
package arrows

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/reaperdb/reaper"

// anything stands for every package of ours but dbtest.
const anything = "*"

// rooms says for each package which of ours its code may import; its tests
// may import what they like. A package that is not here has no room yet:
// decide what it may know before it is written.
var rooms = map[string][]string{
	"policy":            {"archive", "guard", "internal/nearest"},
	"schema":            {"internal/nearest", "internal/pg", "internal/visible"},
	"expiry":            {"internal/pg", "policy", "schema"},
	"plan":              {"expiry", "internal/components", "internal/pg", "internal/planner", "internal/usersql", "internal/visible", "policy", "redact", "schema"},
	"search":            {"expiry", "internal/pg", "plan", "schema"},
	"collected":         {"expiry", "internal/keeping", "internal/pg", "plan", "schema", "search"},
	"preview":           {"collected", "expiry", "guard", "internal/keeping", "internal/pg", "internal/usersql", "internal/visible", "partition", "plan", "policy", "schema", "search"},
	"guard":             {"internal/pg"},
	"growth":            {},
	"heartbeat":         {},
	"metrics":           {},
	"ledger":            {"internal/pg"},
	"drift":             {"internal/pg", "internal/usersql", "internal/visible", "plan", "policy", "schema"},
	"gate":              {"drift", "expiry", "internal/pg", "ledger", "plan", "purge", "search"},
	"explain":           {"expiry", "gate", "internal/pg", "internal/visible", "ledger", "plan", "policy", "preview", "schema", "search"},
	"deletion":          {"archive", "collected", "expiry", "internal/keeping", "internal/pg", "plan", "policy", "preview", "schema", "search"},
	"purge":             {"archive", "deletion", "expiry", "guard", "internal/nearest", "internal/pg", "internal/reservoir", "internal/visible", "partition", "plan", "policy", "preview", "schema", "search", "vacuum"},
	"archive":           {},
	"erasure":           {"expiry", "internal/components", "internal/pg", "internal/usersql", "internal/visible", "plan", "policy", "redact", "schema"},
	"erasing":           {"drift", "erasure", "expiry", "gate", "guard", "internal/nearest", "internal/pg", "internal/visible", "ledger", "plan", "policy", "purge"},
	"redact":            {"internal/pg", "internal/usersql", "policy", "schema"},
	"restore":           {"archive", "internal/pg"},
	"partition":         {"internal/pg", "schema"},
	"vacuum":            {"internal/pg", "schema"},
	"starter":           {"internal/visible", "policy", "schema"},
	"tracing":           {"guard", "purge"},
	"web":               {"guard", "internal/visible", "preview"},
	"daemon":            {"archive", "deletion", "erasing", "gate", "growth", "guard", "heartbeat", "internal/pg", "ledger", "metrics", "plan", "policy", "preview", "purge", "restore", "schema", "tracing", "web"},
	"demo":              {"internal/pgtemp", "purge"},
	"internal/pgtemp":   {},
	"internal/gosource": {},
	"internal/dbtest":   {"internal/pgtemp"},
	"internal/pg":       {},
	"internal/lab":      {},
	"cmd/reaper":        {anything},
	"bench":             {anything},
	"replay":            {"internal/lab", "internal/pgtemp", "internal/svg", "purge"},

	"internal/components": {},
	"internal/keeping":    {"internal/components"},
	"internal/planner":    {"internal/pg", "schema"},
	"internal/plantest":   {"internal/dbtest", "plan", "policy"},
	"internal/usersql":    {"internal/pg", "schema"},
	"internal/nearest":    {},
	"internal/reservoir":  {},
	"internal/svg":        {},
	"internal/visible":    {},
	"internal/manual":     {},
	"internal/mistake":    {"internal/nearest"},
	"internal/terminal":   {"internal/visible"},
}

// testOnly packages have no place in a program.
var testOnly = []string{"internal/dbtest", "internal/gosource", "internal/plantest"}

// wrong compares what packages import with the rooms; both maps are from the
// importing package to the imported ones, without the module's path.
func wrong(rooms, imports map[string][]string) []string {
	var found []string
	for from, targets := range imports {
		may, known := rooms[from]
		if !known {
			found = append(found, fmt.Sprintf("%s has no room; add it to the table in internal/arrows, with what it may import", from))
			continue
		}
		for _, to := range targets {
			switch {
			case slices.Contains(testOnly, to) && !slices.Contains(testOnly, from):
				found = append(found, fmt.Sprintf("%s imports %s, which only tests may", from, to))
			case !slices.Contains(may, to) && !slices.Contains(may, anything):
				found = append(found, fmt.Sprintf("%s imports %s; it may import %s", from, to, names(may)))
			}
		}
	}
	slices.Sort(found)
	return found
}

func names(may []string) string {
	if len(may) == 0 {
		return "nothing of ours"
	}
	return strings.Join(may, ", ")
}

func TestArrows(t *testing.T) {
	t.Parallel()
	imports, err := read("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(imports) < 2 {
		t.Fatalf("only %v found; is this the module's root?", imports)
	}
	for _, w := range wrong(rooms, imports) {
		t.Error(w)
	}
	for from, may := range rooms {
		for _, to := range may {
			if to != anything && !slices.Contains(imports[from], to) {
				t.Errorf("%s does not import %s: take it out of the table", from, to)
			}
		}
	}
}

// read collects what the packages below root import, from the files and not
// from the go command: so it sees files for other systems too, and go test
// knows when its cached answer is old.
func read(root string) (map[string][]string, error) {
	imports := map[string][]string{}
	err := eachFile(root, func(dir, path string) error {
		targets, err := importsOf(path)
		imports[dir] = append(imports[dir], targets...)
		return err
	})
	for from, targets := range imports {
		slices.Sort(targets)
		imports[from] = slices.Compact(targets)
	}
	return imports, err
}

// eachFile visits the files below root that belong to programs, tests aside, with their
// package's folder below root.
func eachFile(root string, visit func(dir, path string) error) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if path != root && (strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		dir, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		return visit(filepath.ToSlash(dir), path)
	})
}

// importsOf lists the packages of ours that a file imports.
func importsOf(path string) ([]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	var targets []string
	for _, spec := range file.Imports {
		if target, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module+"/"); ok {
			targets = append(targets, target)
		}
	}
	return targets, nil
}

// A wrong arrow in a file for another system is seen as well; tests and
// testdata are not.
func TestRead(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{
		"policy/a.go":          "package policy\n\nimport \"fmt\"\n",
		"policy/b_windows.go":  "package policy\n\nimport x \"" + module + "/purge\"\n",
		"policy/a_test.go":     "package policy\n\nimport \"" + module + "/internal/dbtest\"\n",
		"policy/testdata/x.go": "not Go",
		"internal/deep/c.go":   "package deep\n",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := read(root)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"policy": {"purge"}, "internal/deep": nil}
	if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		imports map[string][]string
		want    []string
	}{
		"down is right": {
			map[string][]string{"purge": {"policy", "schema"}, "policy": nil, "cmd/reaper": {"purge", "ledger", "demo"}}, nil,
		},
		"up is wrong": {
			map[string][]string{"heartbeat": {"policy"}},
			[]string{"heartbeat imports policy; it may import nothing of ours"},
		},
		"sideways is wrong": {
			map[string][]string{"purge": {"policy", "ledger"}},
			[]string{"purge imports ledger; it may import archive, deletion, expiry, guard, internal/nearest, internal/pg, internal/reservoir, internal/visible, partition, plan, policy, preview, schema, search, vacuum"},
		},
		"a program must not import what is for tests": {
			map[string][]string{"cmd/reaper": {"internal/dbtest"}},
			[]string{"cmd/reaper imports internal/dbtest, which only tests may"},
		},
		"a new package needs a room": {
			map[string][]string{"util": nil},
			[]string{"util has no room; add it to the table in internal/arrows, with what it may import"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := wrong(rooms, c.imports); !slices.Equal(got, c.want) {
				t.Errorf("got %q\nwant %q", got, c.want)
			}
		})
	}
}
