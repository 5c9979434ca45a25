//go:build torture

package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// reaper is the program, built from this module, with its arguments.
type reaper struct {
	binary string
	dir    string // directory of the policy file
	dsn    string
}

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "reaper")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/reaperdb/reaper/cmd/reaper").CombinedOutput()
	if err != nil {
		t.Fatalf("building reaper: %v\n%s", err, out)
	}
	return binary
}

func (r *reaper) command(ctx context.Context, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	cmd = exec.CommandContext(ctx, r.binary, args...)
	cmd.Dir = r.dir
	cmd.Env = append(os.Environ(), "DATABASE_URL="+r.dsn)
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	return cmd, stdout, stderr
}

func exitCode(err error) (int, error) {
	exit, ok := errors.AsType[*exec.ExitError](err)
	if err != nil && !ok {
		return 0, fmt.Errorf("running reaper: %w", err)
	}
	if exit == nil {
		return 0, nil
	}
	return exit.ExitCode(), nil
}

// must runs a command that must exit with 0.
func (r *reaper) must(t *testing.T, args ...string) string {
	t.Helper()
	cmd, stdout, stderr := r.command(t.Context(), args...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("reaper %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout.String()
}

// proven requires every policy to use proven checks.
func (r *reaper) proven(t *testing.T) {
	t.Helper()
	var plan struct {
		Policies []struct {
			Name        string `json:"name"`
			ForeignKeys string `json:"foreign_key_checks"`
			Problems    []struct {
				Text string `json:"text"`
			} `json:"problems"`
		} `json:"policies"`
	}
	if err := json.Unmarshal([]byte(r.must(t, "plan", "-o", "json")), &plan); err != nil {
		t.Fatalf("reading the plan: %v", err)
	}
	for _, p := range plan.Policies {
		if p.ForeignKeys != "proven" {
			t.Fatalf("the policy %s goes the %s way: %v", p.Name, p.ForeignKeys, p.Problems)
		}
	}
}

// purger runs purges one after the other and kills some of them.
type purger struct {
	*reaper
	ended  map[int]int // runs by exit code
	killed int
}

func (p *purger) purge(ctx, stop context.Context) error {
	for stop.Err() == nil {
		cmd, stdout, stderr := p.command(ctx, "purge", "--yes", "--connections", "2")
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("running reaper: %w", err)
		}
		killer := time.AfterFunc(time.Duration(200+rand.IntN(6000))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		// A run may take as long as the writers work.
		release := context.AfterFunc(stop, func() { _ = cmd.Process.Signal(os.Interrupt) })
		err := cmd.Wait()
		release()
		killer.Stop()
		code, err := exitCode(err)
		switch {
		case err != nil:
			return err
		case code == -1:
			p.killed++
		case slices.Contains([]int{0, 3}, code):
			p.ended[code]++
		default:
			return fmt.Errorf("reaper purge ended with %d:\n%s%s", code, stdout, stderr)
		}
	}
	return nil
}

// terminate occasionally ends a session of reaper during a batch.
func terminate(ctx, stop context.Context, conn *pgx.Conn) (n int, err error) {
	for {
		select {
		case <-stop.Done():
			return n, nil
		case <-time.After(time.Duration(500+rand.IntN(2500)) * time.Millisecond):
		}
		tag, err := conn.Exec(ctx, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE datname = current_database() AND pid IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted) ORDER BY random() LIMIT 1`)
		if err != nil {
			return n, fmt.Errorf("terminating a session of reaper: %w", err)
		}
		n += int(tag.RowsAffected())
	}
}
