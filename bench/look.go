package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

const mib = 1 << 20

// judgeCommand measures a command of reaper that only looks: its time, in seconds, and its memory.
func (b *bench) judgeCommand(ctx context.Context, part, name, dsn string, target float64, args ...string) (output []byte, err error) {
	var took []float64
	var peak int64
	for range b.rounds {
		c, stdout, err := b.command(ctx, dsn, args...)
		if err != nil {
			return nil, err
		}
		took, peak, output = append(took, c.took.Seconds()), max(peak, c.peak), stdout
	}
	b.Judge(part, name, spread(took, "%.2f")+" s", fmt.Sprintf("≤ %.0f s", target), median(took) <= target)
	b.Judge(part, name+", memory", fmt.Sprintf("%.1f MiB", float64(peak)/mib), "≤ 64 MiB", peak <= 64*mib)
	return output, nil
}

// judgePlans measures `reaper plan` of many tenants, and of the list of all of them its memory.
func (b *bench) judgePlans(ctx context.Context, part, what, dsn, policyFile string) error {
	if _, err := b.judgeCommand(ctx, part, "`reaper plan`, "+what, dsn, 5, "plan", "--policy-file", policyFile); err != nil {
		return err
	}
	c, output, err := b.command(ctx, dsn, "plan", "-o", "json", "--policy-file", policyFile)
	if err != nil {
		return err
	}
	b.Judge(part, fmt.Sprintf("memory of `reaper plan -o json`, %s, %d MB in %.1f s", what, len(output)/1e6, c.took.Seconds()),
		fmt.Sprintf("%.1f MiB", float64(c.peak)/mib), "≤ 64 MiB", c.peak <= 64*mib)
	return nil
}

// scrapes is how many times /metrics is read.
const scrapes = 100

// judgeScrapes measures how long a daemon takes to answer /metrics while it deletes.
func (b *bench) judgeScrapes(ctx context.Context, part, what, dsn, policyFile string) (err error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, b.Binary, "run", "--policy-file", policyFile, "--listen-addr", addr, "--schedule", "@every 5s", "--jitter", "0s")
	cmd.Env = []string{"DATABASE_URL=" + dsn}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	defer func() {
		stop := cmd.Process.Signal(syscall.SIGTERM)
		if ended := cmd.Wait(); err != nil {
			err = fmt.Errorf("%w; the daemon: %w: %s", err, errors.Join(stop, ended), stderr.Bytes())
		}
	}()
	url := "http://" + addr + "/metrics"
	if err := awaitDeletes(ctx, url); err != nil {
		return err
	}
	var took []float64
	busy, series := 0, 0
	for range scrapes {
		began := time.Now()
		text, err := get(ctx, url)
		if err != nil {
			return err
		}
		took = append(took, float64(time.Since(began).Microseconds())/1000)
		if deleting(text) {
			busy++
		}
		series = strings.Count("\n"+text, "\nreaper_")
		time.Sleep(50 * time.Millisecond)
	}
	longest := slices.Max(took)
	b.Judge(part, fmt.Sprintf("longest of %d scrapes of /metrics, %d of them during a run, %d series of reaper, %s", scrapes, busy, series, what),
		fmt.Sprintf("%.1f ms (median %.1f ms)", longest, median(took)), "≤ 100 ms", longest <= 100)
	return nil
}

// awaitDeletes waits until a daemon deletes rows.
func awaitDeletes(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		text, err := get(ctx, url)
		if err == nil && deleting(text) && strings.Contains(text, "\nreaper_rows_deleted_total{") {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(errors.New("waiting for the daemon to delete rows"), err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// deleting reports whether a run is under way.
func deleting(metrics string) bool {
	for line := range strings.Lines(metrics) {
		if strings.HasPrefix(line, "reaper_run_in_progress{") && strings.HasSuffix(line, " 1\n") {
			return true
		}
	}
	return false
}

func get(ctx context.Context, url string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", url, response.Status)
	}
	return string(text), err
}

// policyFile writes a policy file beside the binary, and returns its path.
func (b *bench) policyFile(name, text string) (string, error) {
	path := filepath.Join(filepath.Dir(b.Binary), name)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
