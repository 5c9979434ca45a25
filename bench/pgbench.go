package main

import (
	"bufio"
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

//go:embed foreground.sql
var foregroundSQL string

// foreground is pgbench running foreground.sql.
type foreground struct {
	program string
	script  string // path of the script
	dir     string // directory for logs
	mails   int
}

// request is one execution of the script.
type request struct {
	due     time.Time     // scheduled start in the open loop
	latency time.Duration // from due to the end, including the wait for a free client
}

// foreground prepares pgbench.
func (b *bench) foreground(mails int) (*foreground, error) {
	program, err := findPgbench(b.server.BinDir())
	if err != nil {
		return nil, err
	}
	dir := filepath.Dir(b.Binary)
	script := filepath.Join(dir, "foreground.sql")
	if err := os.WriteFile(script, []byte(foregroundSQL), 0o600); err != nil {
		return nil, err
	}
	return &foreground{program: program, script: script, dir: dir, mails: mails}, nil
}

// findPgbench returns the pgbench next to the server, or else the one in PATH; its version
// does not matter.
func findPgbench(binDir string) (string, error) {
	if program := filepath.Join(binDir, "pgbench"); executable(program) {
		return program, nil
	}
	program, err := exec.LookPath("pgbench")
	if err != nil {
		return "", fmt.Errorf("no pgbench in %s or in PATH; install it: apt-get install postgresql (elsewhere: the package postgresql-contrib)", binDir)
	}
	return program, nil
}

func executable(file string) bool {
	_, err := exec.LookPath(file)
	return err == nil
}

// clients is enough for the open loop to rarely wait for a free one, on a server that keeps
// up.
const clients = 8

func (f *foreground) command(ctx context.Context, dsn string, lasts time.Duration, args ...string) *exec.Cmd {
	all := []string{
		"--no-vacuum", "--protocol=prepared", fmt.Sprintf("--client=%d", clients), "--jobs=1", "--file=" + f.script,
		fmt.Sprintf("--define=mails=%d", f.mails), fmt.Sprintf("--time=%d", max(int(lasts.Seconds()+0.5), 1)),
	}
	cmd := exec.CommandContext(ctx, f.program, append(append(all, args...), dsn)...)
	cmd.Dir = f.dir
	return cmd
}

var tps = regexp.MustCompile(`(?m)^tps = ([0-9.]+) \(without`)

// maxRate returns the requests per second in a closed loop.
func (f *foreground) maxRate(ctx context.Context, dsn string, lasts time.Duration) (float64, error) {
	cmd := f.command(ctx, dsn, lasts)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("running pgbench: %w: %s", err, out)
	}
	m := tps.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("running pgbench: it printed no tps: %s", out)
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

// start issues requests at a fixed rate, whether or not earlier ones have finished. wait
// returns all of them.
func (f *foreground) start(ctx context.Context, dsn string, rate float64, lasts time.Duration) (wait func() ([]request, error), err error) {
	dir, err := os.MkdirTemp(f.dir, "pgbench-")
	if err != nil {
		return nil, err
	}
	cmd := f.command(ctx, dsn, lasts, "--rate="+strconv.FormatFloat(rate, 'f', 1, 64), "--log", "--log-prefix="+filepath.Join(dir, "log"))
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting pgbench: %w", err)
	}
	return func() ([]request, error) {
		if err := cmd.Wait(); err != nil {
			return nil, fmt.Errorf("running pgbench: %w: %s", err, output.Bytes())
		}
		return readLogs(dir)
	}, nil
}

func readLogs(dir string) (all []request, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "log.*"))
	if err != nil {
		return nil, err
	}
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		requests, err := readLog(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("reading pgbench's log: %w", err)
		}
		all = append(all, requests...)
	}
	return all, nil
}

// readLog parses pgbench's transaction log: client, number, latency, script, end in seconds,
// microseconds of the end, lag. Under --rate the latency is in microseconds from the scheduled
// start, so it includes the lag.
func readLog(log io.Reader) (all []request, err error) {
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 7 {
			return nil, fmt.Errorf("%q does not have the seven fields of a log under --rate", lines.Text())
		}
		var numbers [3]int64
		for i, at := range []int{2, 4, 5} {
			if numbers[i], err = strconv.ParseInt(fields[at], 10, 64); err != nil {
				return nil, fmt.Errorf("%q: %w", lines.Text(), err)
			}
		}
		latency := time.Duration(numbers[0]) * time.Microsecond
		ended := time.Unix(numbers[1], numbers[2]*1000)
		all = append(all, request{due: ended.Add(-latency), latency: latency})
	}
	return all, lines.Err()
}

// between returns the latencies, in seconds, of the requests due in a time span.
func between(all []request, from, to time.Time) (seconds []float64) {
	for _, r := range all {
		if !r.due.Before(from) && r.due.Before(to) {
			seconds = append(seconds, r.latency.Seconds())
		}
	}
	return seconds
}
