// Package charttest_test holds the Helm chart, the alerts, the dashboard and the
// image against what they will meet: Kubernetes' own types, promtool, an Alertmanager, the program
// and a PostgreSQL. `make chart-test` brings the tools and runs it.
package charttest_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/reaperdb/reaper/internal/dbtest"
)

func TestMain(m *testing.M) {
	os.Exit(dbtest.Main(m, func() error { return goleak.Find() }))
}

const (
	repository = "../.."
	chart      = repository + "/deploy/helm/reaper"
	// kubeVersion is that of the k8s.io modules which the rendered objects are
	// decoded with.
	kubeVersion = "1.37.0"
)

// tool gives the path of one of the tools that scripts/chart-tools.sh builds.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(repository, ".cache/bin", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no %s: run scripts/chart-tools.sh (%v)", name, err)
	}
	return path
}

// output runs a tool, and gives what it prints to stdout and to stderr.
func output(t testing.TB, dir, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// must runs a tool that is to succeed, and gives what it prints.
func must(t testing.TB, dir, name string, args ...string) string {
	t.Helper()
	out, errs, err := output(t, dir, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", filepath.Base(name), strings.Join(args, " "), err, out, errs)
	}
	return out
}

// values are those of a file of the chart's, and changes of it, as --set takes
// them.
type values struct {
	file string // in the chart's folder ci, without -values.yaml
	set  []string
}

func (v values) String() string { return fmt.Sprintf("%s %s", v.file, strings.Join(v.set, " ")) }

func (v values) args() []string {
	args := []string{
		"template", "release", chart, "--namespace", "ops", "--kube-version", kubeVersion,
		"--values", filepath.Join(chart, "ci", v.file+"-values.yaml"),
	}
	for _, s := range v.set {
		args = append(args, "--set", s)
	}
	return args
}

// render gives the chart's objects with these values.
func render(t testing.TB, v values) []object {
	t.Helper()
	text := must(t, "", tool(t, "helm"), v.args()...)
	return decode(t, v, text)
}
