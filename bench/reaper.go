package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
)

//go:embed mail.yaml
var mailPolicy []byte

// watch keeps what a run says of its batches.
type watch struct {
	purge.Silent
	batches []purge.BatchEvent
	retries int
}

// Batch keeps a batch.
func (w *watch) Batch(e purge.BatchEvent) { w.batches = append(w.batches, e) }

// Retry counts.
func (w *watch) Retry(string, string) { w.retries++ }

// timed is one way to delete, once.
type timed struct {
	took  time.Duration
	mails int64
	rows  int64
	after map[string]content
}

// purgeHere makes what `reaper purge` makes of a database, from the connection
// on, in this process: so each batch can be seen.
func purgeHere(ctx context.Context, dsn string) (t timed, w *watch, base string, err error) {
	w = &watch{}
	started := time.Now()
	report, err := purgeOnce(ctx, dsn, w)
	t.took = time.Since(started)
	if err != nil {
		return t, w, "", err
	}
	if report.Status != purge.Complete {
		return t, w, "", fmt.Errorf("the purge ended %s: %s", report.Status, report.Policies[0].Reason)
	}
	t.mails, t.rows = report.Policies[0].Roots, report.Policies[0].RowsTotal
	// Others shall take the same cutoff.
	if base, err = text(ctx, dsn, `SELECT to_char(cutoff_base, 'YYYY-MM-DD HH24:MI:SS.US') FROM reaper.runs`); err != nil {
		return t, w, "", err
	}
	t.after, err = contents(ctx, dsn)
	return t, w, base, err
}

func purgeOnce(ctx context.Context, dsn string, w *watch) (*purge.Report, error) {
	file, err := policy.Parse("mail.yaml", mailPolicy)
	if err != nil {
		return nil, err
	}
	config, err := purge.Config(dsn)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	var plans []*purge.Plan
	err = pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		server, err := purge.ReadServer(ctx, c.Conn())
		if err != nil {
			return err
		}
		plans, err = purge.Compile(ctx, c.Conn(), file, server, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		for _, x := range p.Problems {
			if x.Level == purge.LevelError {
				return nil, fmt.Errorf("planning: %s", x.Text)
			}
		}
	}
	l := ledger.New(ledger.DefaultSchema, 0)
	if _, err := l.Migrate(ctx, pool); err != nil {
		return nil, err
	}
	runner := purge.Runner{Pool: pool, Ledger: l, Observer: w}
	return runner.Run(ctx, plans, purge.Options{Trigger: "manual"})
}

// child is what a `reaper purge` of its own process did.
type child struct {
	took   time.Duration
	peak   int64 // bytes of memory, by the process's own account where the system gives one
	maxRSS int64 // bytes, as the system reports it afterwards
	rows   int64
}

// purgeChild runs the binary, as cron would.
func (b *bench) purgeChild(ctx context.Context, dsn string, policyFile []byte) (child, error) {
	file := filepath.Join(filepath.Dir(b.binary), "policy.yaml")
	if err := os.WriteFile(file, policyFile, 0o600); err != nil {
		return child{}, err
	}
	cmd := exec.CommandContext(ctx, b.binary, "purge", "--yes", "-o", "json", "--policy-file", file)
	cmd.Env = []string{"DATABASE_URL=" + dsn}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	started := time.Now()
	if err := cmd.Start(); err != nil {
		return child{}, err
	}
	watched := watchPeak(cmd.Process.Pid)
	err := cmd.Wait()
	c := child{took: time.Since(started), peak: watched()}
	if err != nil {
		return c, fmt.Errorf("reaper purge: %w: %s", err, stderr.Bytes())
	}
	if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		c.maxRSS = usage.Maxrss
		if runtime.GOOS != "darwin" { // there it is bytes
			c.maxRSS *= 1024
		}
	}
	if c.peak == 0 {
		c.peak = c.maxRSS
	}
	var report struct {
		Policies []struct {
			RowsTotal int64 `json:"rows_total"`
		} `json:"policies"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		return c, fmt.Errorf("reading reaper's report: %w", err)
	}
	for _, p := range report.Policies {
		c.rows += p.RowsTotal
	}
	return c, nil
}

var highWater = regexp.MustCompile(`VmHWM:\s+(\d+) kB`)

// watchPeak follows a process's peak of memory. What the system reports at the
// end is never below the peak of the process that started it, which is us.
func watchPeak(pid int) (stop func() int64) {
	var peak int64
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
			if m := highWater.FindSubmatch(status); m != nil {
				if kb, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
					peak = max(peak, kb*1024)
				}
			}
			select {
			case <-ended:
				return
			case <-tick.C:
			}
		}
	}()
	return func() int64 {
		close(ended)
		<-done
		return peak
	}
}

// plainSQL is the whole policy as one statement; ON DELETE CASCADE does the
// rest.
const plainSQL = `DELETE FROM outgoing_emails e USING domains d, organizations o
	WHERE d.id = e.domain_id AND o.id = d.organization_id
	AND e.created_at < $1::text::timestamptz - make_interval(days => o.retention_days)`

// plainDelete runs it in one transaction.
func plainDelete(ctx context.Context, dsn, base string) (t timed, err error) {
	err = onDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		started := time.Now()
		tag, err := conn.Exec(ctx, plainSQL, base)
		t.took, t.mails = time.Since(started), tag.RowsAffected()
		return err
	})
	if err != nil {
		return t, err
	}
	t.after, err = contents(ctx, dsn)
	return t, err
}
