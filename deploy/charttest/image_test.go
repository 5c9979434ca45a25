package charttest_test

import (
	"encoding/json"
	"os"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// stages are the Dockerfile's, as BuildKit reads them.
func stages(t testing.TB) []instructions.Stage {
	t.Helper()
	file, err := os.Open(repository + "/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	parsed, err := parser.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range parsed.Warnings {
		t.Errorf("Dockerfile: %s", w.Short)
	}
	all, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// find gives the instructions of one kind of a stage, and of those that it is made
// from.
func find[T any](all []instructions.Stage, stage instructions.Stage) (found []T) {
	for _, c := range stage.Commands {
		if it, ok := c.(T); ok {
			found = append(found, it)
		}
	}
	for _, s := range all {
		if s.Name != "" && s.Name == stage.BaseName {
			found = append(find[T](all, s), found...)
		}
	}
	return found
}

// entrypoint is the program that the image starts.
func entrypoint(t testing.TB) string {
	t.Helper()
	all := stages(t)
	entries := find[*instructions.EntrypointCommand](all, all[len(all)-1])
	if len(entries) != 1 || len(entries[0].CmdLine) != 1 || entries[0].PrependShell {
		t.Fatalf("the image's entry point is %v", entries)
	}
	return entries[0].CmdLine[0]
}

// Both images, the one built from the sources and the one of a release, hold one
// program on distroless, run as the user that the chart gives its pods, and have
// nothing that needs a shell.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	all := stages(t)
	for _, stage := range []instructions.Stage{named(t, all, "release"), all[len(all)-1]} {
		if user := find[*instructions.UserCommand](all, stage); len(user) != 1 || user[0].User != "65532:65532" {
			t.Errorf("the user is %v", user)
		}
		if run := find[*instructions.RunCommand](all, stage); len(run) != 0 {
			t.Errorf("there is no shell for %v", run)
		}
		copies := find[*instructions.CopyCommand](all, stage)
		if len(copies) != 1 || copies[0].DestPath != entrypoint(t) {
			t.Errorf("it copies %v", copies)
		}
		if base := named(t, all, "base").BaseName; !strings.HasPrefix(base, "gcr.io/distroless/static") || !strings.HasSuffix(base, ":nonroot") {
			t.Errorf("it is made from %s", base)
		}
	}
	uid := *pods(render(t, values{file: "deployment"}))["Deployment release-reaper"].Spec.SecurityContext.RunAsUser
	if uid != 65532 {
		t.Errorf("the chart's pods run as %d", uid)
	}
	build := find[*instructions.RunCommand](all, named(t, all, "build"))
	text, err := json.Marshal(build[len(build)-1].CmdLine)
	for _, want := range []string{"CGO_ENABLED=0", "-trimpath", "timetzdata", "main.version=$VERSION", "main.commit=$REVISION"} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("the build has no %s: %s", want, text)
		}
	}
}

func named(t testing.TB, all []instructions.Stage, name string) instructions.Stage {
	t.Helper()
	i := slices.IndexFunc(all, func(s instructions.Stage) bool { return s.Name == name })
	if i < 0 {
		t.Fatalf("no stage %s", name)
	}
	return all[i]
}

// What the context of a build leaves out is nothing that the program is built from.
func TestDockerignore(t *testing.T) {
	t.Parallel()
	packages := strings.Fields(must(t, repository, "go", "list", "-f", "{{.ImportPath}}", "-deps", "./cmd/reaper"))
	for line := range strings.Lines(read(t, repository+"/.dockerignore")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		for _, p := range packages {
			if own, ok := strings.CutPrefix(p, "github.com/reaperdb/reaper/"); ok && (own == line || path.Dir(own) == line) {
				t.Errorf("%s is left out, and the program is built from %s", line, p)
			}
		}
	}
}
