package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/reaperdb/reaper/purge"
)

// child is the result of a `reaper purge` process.
type child struct {
	took   time.Duration // from its start to its exit
	peak   int64         // peak memory in bytes, from /proc where available
	maxRSS int64         // bytes, as reported by the system afterwards
	report purge.Report
}

// rows returns the rows deleted according to the report, over all tables.
func (c child) rows() (n int64) {
	for _, p := range c.report.Policies {
		n += p.RowsTotal
	}
	return n
}

// purgeChild runs the binary, as cron would, until nothing is due.
func (b *bench) purgeChild(ctx context.Context, dsn, policyFile string) (child, error) {
	c, err := b.reaper(ctx, dsn, policyFile)
	if err == nil && c.report.Status != purge.Complete {
		err = fmt.Errorf("the purge ended %s: %s", c.report.Status, c.report.Policies[0].Reason)
	}
	return c, err
}

// purgeFor runs it for a limited time, so that it may end incomplete.
func (b *bench) purgeFor(ctx context.Context, dsn, policyFile string, atMost time.Duration) (child, error) {
	return b.reaper(ctx, dsn, policyFile, "--max-duration", atMost.String())
}

func (b *bench) reaper(ctx context.Context, dsn, policyFile string, args ...string) (c child, err error) {
	file := filepath.Join(filepath.Dir(b.Binary), "policy.yaml")
	if err := os.WriteFile(file, []byte(policyFile), 0o600); err != nil {
		return c, err
	}
	all := []string{"purge", "--yes", "-o", "json", "--policy-file", file, "--connections", strconv.Itoa(b.connections)}
	c, stdout, err := b.command(ctx, dsn, append(all, args...)...)
	var exit *exec.ExitError
	if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == purge.Incomplete.ExitCode()) {
		return c, err
	}
	if err := json.Unmarshal(stdout, &c.report); err != nil {
		return c, fmt.Errorf("reading reaper's report: %w", err)
	}
	return c, nil
}

// command runs the binary with the given arguments and returns its output.
func (b *bench) command(ctx context.Context, dsn string, args ...string) (c child, output []byte, err error) {
	cmd := exec.CommandContext(ctx, b.Binary, args...)
	cmd.Env = []string{"DATABASE_URL=" + dsn}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return c, nil, err
	}
	watched := watchPeak(cmd.Process.Pid)
	err = cmd.Wait()
	c.took, c.peak, c.maxRSS = time.Since(started), watched(), maxRSS(cmd.ProcessState)
	if c.peak == 0 {
		c.peak = c.maxRSS
	}
	if err != nil {
		return c, stdout.Bytes(), fmt.Errorf("reaper %s: %w: %s", args[0], err, stderr.Bytes())
	}
	return c, stdout.Bytes(), nil
}

func maxRSS(state *os.ProcessState) int64 {
	usage, ok := state.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" { // in bytes there
		return usage.Maxrss
	}
	return usage.Maxrss * 1024
}
