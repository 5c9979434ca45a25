package main

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/reaperdb/reaper/internal/pgtemp"
)

// demoProgram runs the demo with all its files in one directory.
func demoProgram(t *testing.T, args ...string) (cmd *exec.Cmd, dir string) {
	t.Helper()
	if testing.Short() {
		t.Skip("starts PostgreSQL")
	}
	dir, err := pgtemp.TempDir("")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	bin, err := pgtemp.Find(os.Getenv("REAPER_TEST_PG_BIN"))
	if err != nil {
		t.Fatal(err)
	}
	cmd = program(t, "", append([]string{"demo", "--postgres-bin=" + bin}, args...)...)
	cmd.Env = append(cmd.Env, "TMPDIR="+dir)
	return cmd, dir
}

func left(t *testing.T, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// Ctrl-C during the demo leaves nothing behind.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"Starting", "$ reaper plan", "$ reaper purge"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			cmd, dir := demoProgram(t, "--mails", "2000", "--keep")
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			lines := bufio.NewScanner(stdout)
			for lines.Scan() {
				if strings.HasPrefix(lines.Text(), at) {
					if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
						t.Fatal(err)
					}
				}
			}
			if code := exitCode(t, cmd.Wait()); code != 3 {
				t.Errorf("exit code %d, want 3", code)
			}
			if found := left(t, dir); len(found) > 0 {
				t.Errorf("it left %v behind", found)
			}
		})
	}
}

// With --keep the server runs until the command that the demo prints.
func TestDemoKeep(t *testing.T) {
	t.Parallel()
	cmd, dir := demoProgram(t, "--mails", "200", "--keep")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	said := func(pattern string) string {
		m := regexp.MustCompile(pattern).FindSubmatch(out)
		if m == nil {
			t.Fatalf("no %s in\n%s", pattern, out)
		}
		return string(m[1])
	}
	stop := said(`(?m)^  (\S.*pg_ctl .* && rm -rf .*)$`)
	t.Cleanup(func() { _ = exec.Command("sh", "-c", stop).Run() }) //nolint:noctx // a clean-up
	status := program(t, said(`DATABASE_URL='(.*)'`), "status", "--policy-file", said(`REAPER_POLICY_FILE=(.*)`))
	if text, err := status.CombinedOutput(); err != nil || !strings.Contains(string(text), "complete") {
		t.Errorf("reaper status: %v\n%s", err, text)
	}
	if text, err := exec.CommandContext(t.Context(), "sh", "-c", stop).CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", stop, err, text)
	}
	if found := left(t, dir); len(found) > 0 {
		t.Errorf("it left %v behind", found)
	}
}
