package charttest_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"sigs.k8s.io/yaml"
)

// goreleaser is what the tests need to know of .goreleaser.yaml.
type goreleaser struct {
	NFPMs []struct {
		Bindir   string
		Contents []struct{ Src, Dst string }
		Scripts  map[string]string
	}
	Archives []struct{ Files []any } // patterns, or mappings with src
	Signs    []struct{ Cmd, Artifacts, Signature string }
}

func releases(t *testing.T) (g goreleaser) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, repository+"/.goreleaser.yaml")), &g); err != nil {
		t.Fatal(err)
	}
	if len(g.NFPMs) != 1 || len(g.Archives) != 1 || len(g.Signs) != 1 {
		t.Fatalf("%+v", g)
	}
	return g
}

// What archives and packages are made of is there: `goreleaser check` does not look.
func TestReleaseFiles(t *testing.T) {
	t.Parallel()
	g := releases(t)
	var files []string
	for _, f := range g.Archives[0].Files {
		switch f := f.(type) {
		case string:
			files = append(files, f)
		case map[string]any:
			files = append(files, f["src"].(string))
		}
	}
	for _, c := range g.NFPMs[0].Contents {
		files = append(files, c.Src)
	}
	for _, script := range g.NFPMs[0].Scripts {
		files = append(files, script)
	}
	for _, pattern := range files {
		if strings.HasPrefix(pattern, ".cache/man/") {
			continue // make man, which goreleaser runs before, makes them
		}
		if found, err := filepath.Glob(filepath.Join(repository, pattern)); err != nil || len(found) == 0 {
			t.Errorf("%s: there is no such file (%v)", pattern, err)
		}
	}
}

// The unit starts the program where the packages put it, with the files that they bring, and a
// mistake in the settings is not tried again and again.
func TestUnitOfThePackages(t *testing.T) {
	t.Parallel()
	unit := read(t, repository+"/deploy/systemd/reaper.service")
	n := releases(t).NFPMs[0]
	for _, line := range []string{"ExecStart=" + n.Bindir + "/reaper run", "EnvironmentFile=/etc/reaper/environment", "RestartPreventExitStatus=2", "DynamicUser=yes"} {
		if !strings.Contains(unit, "\n"+line+"\n") {
			t.Errorf("the unit has no %s", line)
		}
	}
	for _, dst := range []string{"/usr/lib/systemd/system/reaper.service", "/etc/reaper/environment"} {
		if !slices.ContainsFunc(n.Contents, func(c struct{ Src, Dst string }) bool { return c.Dst == dst }) {
			t.Errorf("no package has %s", dst)
		}
	}
	for _, script := range n.Scripts {
		if info, err := os.Stat(filepath.Join(repository, script)); err != nil || info.Mode()&0o111 == 0 {
			t.Errorf("%s cannot be run: %v", script, err)
		}
		must(t, repository, "sh", "-n", script)
	}
}

// The workflow runs nothing before somebody has switched it on, and has no more permissions than a
// release needs.
func TestReleaseWorkflow(t *testing.T) {
	t.Parallel()
	var w struct {
		Permissions map[string]string
		Jobs        map[string]struct {
			If          string
			Permissions map[string]string
			Steps       []struct{ Run, Uses string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, repository+"/.github/workflows/release.yml")), &w); err != nil {
		t.Fatal(err)
	}
	if w.Permissions == nil || len(w.Permissions) > 0 || len(w.Jobs) != 1 {
		t.Errorf("permissions %v of %d jobs", w.Permissions, len(w.Jobs))
	}
	for name, job := range w.Jobs {
		if job.If != "vars.RELEASE == 'on'" {
			t.Errorf("the job %s runs if %q", name, job.If)
		}
		var all strings.Builder
		for _, s := range job.Steps {
			all.WriteString(s.Run)
		}
		if !strings.Contains(all.String(), "make release") || job.Permissions["id-token"] != "write" {
			t.Errorf("the job %s makes no signed release: %v", name, job.Permissions)
		}
	}
}

// An image tells what it is also where it was built without the history of its sources.
func TestDockerfile_Labels(t *testing.T) {
	t.Parallel()
	all := stages(t)
	labels := map[string]string{}
	for _, l := range find[*instructions.LabelCommand](all, all[len(all)-1]) {
		for _, pair := range l.Labels {
			labels[strings.TrimPrefix(pair.Key, "org.opencontainers.image.")] = strings.Trim(pair.Value, `"`)
		}
	}
	for name, want := range map[string]string{
		"title": "reaper", "source": "https://github.com/reaperdb/reaper", "licenses": "Apache-2.0", "version": "$VERSION", "revision": "$REVISION",
	} {
		if labels[name] != want {
			t.Errorf("the label %s is %q, want %q", name, labels[name], want)
		}
	}
	if labels["description"] == "" {
		t.Error("the image has no description")
	}
}
