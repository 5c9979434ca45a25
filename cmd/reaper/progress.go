package main

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/purge"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// progress shows a run's progress on stderr, or logs it.
type progress struct{ *terminal.Progress }

func (a *app) newProgress() progress {
	to, ok := a.stderr.(*terminal.Writer)
	if !ok {
		to = terminal.NewWriter(a.stderr)
	}
	p := progress{terminal.NewProgress(to, time.Now)}
	p.Every = a.progressEvery
	if a.records {
		p.Every, p.Log = cmp.Or(a.progressEvery, time.Minute), a.logProgress
	}
	return p
}

func (a *app) logProgress(x terminal.PolicyProgress) {
	attrs := []any{"policy", x.Policy, "roots", x.Roots, "rows", x.Rows, "wal_bytes", x.WAL, "duration_seconds", float64(x.Took.Milliseconds()) / 1000}
	if x.Due >= 0 {
		attrs = append(attrs, "due", x.Due)
	}
	a.log.Info("run in progress", attrs...)
}

// Batch counts a batch.
func (p progress) Batch(e purge.BatchEvent) {
	p.Progress.Batch(e.Policy, e.Roots, e.Rows, e.WALBytes, e.Tenant)
}

// Retry does nothing: retries are logged.
func (p progress) Retry(string, string) {}

// Advised prints at once why a run is held up, and when it resumes: the next figures may take
// minutes.
func (p progress) Advised(policy string, a guard.Advice) {
	line := map[guard.State]string{
		guard.Go: "goes on", guard.Slow: "slowed down", guard.Pause: "paused", guard.Stop: "stopped",
	}[a.State]
	if a.Guard != "" {
		line += " by the guard " + visible.Text(a.Guard) + ": " + visible.Text(a.Reason)
	}
	p.Say(policy, line)
}
