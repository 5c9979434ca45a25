package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/reaperdb/reaper/purge"
)

// purged is the result of a `reaper purge` process.
type purged struct {
	exit   int
	took   time.Duration // from its start to its exit
	report purge.Report
}

// reason is why it ended as it did; empty if everything was done.
func (p purged) reason() string {
	if len(p.report.Policies) == 0 {
		return ""
	}
	return p.report.Policies[0].Reason
}

// paused is how long the guards paused it.
func (p purged) paused() time.Duration {
	var seconds float64
	for _, x := range p.report.Policies {
		seconds += x.PausedSeconds
	}
	return time.Duration(seconds * float64(time.Second))
}

func (p purged) rows() (n int64) {
	for _, x := range p.report.Policies {
		n += x.RowsTotal
	}
	return n
}

// purge runs the binary once, as cron would. onPause, if not nil, is called during the run
// with the reason of each guard that pauses.
func (r *replay) purge(ctx context.Context, s *stage, onPause func(reason string)) (p purged, err error) {
	file := filepath.Join(filepath.Dir(r.Binary), "reaper.yaml")
	r.policy = s.room.policyFile()
	if err := os.WriteFile(file, []byte(r.policy), 0o600); err != nil {
		return p, err
	}
	cmd := exec.CommandContext(ctx, r.Binary, "purge", "--yes", "-o", "json", "--policy-file", file)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Env = []string{"DATABASE_URL=" + s.dsn(), "REAPER_LOG_LEVEL=info", "REAPER_LOG_FORMAT=json"}
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	logs, err := cmd.StderrPipe()
	if err != nil {
		return p, err
	}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return p, fmt.Errorf("starting reaper: %w", err)
	}
	text := followLog(logs, onPause)
	err = cmd.Wait()
	p.took = time.Since(started)
	if ctx.Err() != nil {
		return p, ctx.Err()
	}
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return p, fmt.Errorf("reaper purge: %w", err)
	}
	p.exit = cmd.ProcessState.ExitCode()
	if err := json.Unmarshal(stdout.Bytes(), &p.report); err != nil || len(p.report.Policies) == 0 {
		return p, fmt.Errorf("reaper purge ended with %d, and its report is not readable (%w): %s%s", p.exit, err, stdout.Bytes(), text)
	}
	return p, nil
}

// event is a line of reaper's log.
type event struct{ Msg, State, Reason string }

// pauses reports whether the line announces a guard's pause.
func (e event) pauses() bool { return e.Msg == "guard state changed" && e.State == "pause" }

// followLog reads a log to its end, reports pauses, and returns the text.
func followLog(logs io.Reader, onPause func(reason string)) string {
	var text strings.Builder
	lines := bufio.NewScanner(logs)
	for lines.Scan() {
		text.WriteString(lines.Text() + "\n")
		var e event
		if onPause != nil && json.Unmarshal(lines.Bytes(), &e) == nil && e.pauses() {
			onPause(e.Reason)
		}
	}
	return text.String()
}
