// Package lab is shared by the programs that try reaper on throwaway servers, the benchmark
// and the replay: it builds reaper as a user would, provides the demo's workload, and runs
// statements on connections of their own.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Reaper is the program, built from the module around the working directory.
type Reaper struct {
	Root   string // root of the module, which contains the workload's SQL
	Binary string // in a directory of its own
}

// Build builds reaper; Remove removes it. who is the directory of the calling program in the
// module.
func Build(ctx context.Context, who string) (r Reaper, err error) {
	root, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return r, fmt.Errorf("finding the module's directory: %w; run it there: go run ./%s", err, who)
	}
	r.Root = strings.TrimSpace(string(root))
	dir, err := os.MkdirTemp("", "reaper-"+who+"-")
	if err != nil {
		return r, err
	}
	r.Binary = filepath.Join(dir, "reaper")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", r.Binary, "./cmd/reaper")
	cmd.Dir = r.Root
	if output, err := cmd.CombinedOutput(); err != nil {
		return r, errors.Join(fmt.Errorf("building reaper: %w\n%s", err, output), os.RemoveAll(dir))
	}
	return r, nil
}

// Remove removes the binary and its directory.
func (r Reaper) Remove() { _ = os.RemoveAll(filepath.Dir(r.Binary)) }

// Script reads a file of the demo's mail workload.
func (r Reaper) Script(name string) (string, error) {
	sql, err := os.ReadFile(filepath.Join(r.Root, "demo", "mail", name))
	if err != nil {
		return "", fmt.Errorf("reading the workload: %w", err)
	}
	return string(sql), nil
}

// Mail returns the demo's workload with that many mails: its schema and the fill.
func (r Reaper) Mail(mails int) (scripts []string, err error) {
	for _, file := range []string{"schema.sql", "fill.sql"} {
		sql, err := r.Script(file)
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, strings.ReplaceAll(sql, "{{n}}", strconv.Itoa(mails)))
	}
	return scripts, nil
}

// Machine describes the date and the machine, for the heading of a table.
func Machine(now time.Time) string {
	return fmt.Sprintf("%s, %d cores, %s/%s, %s", now.Format(time.DateOnly), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}
