package daemon

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/web"
)

// keptRuns is how many ended runs of a policy are shown.
const keptRuns = 10

// pastRuns are the runs of all processes. A book has them.
type pastRuns interface {
	CloseDead(ctx context.Context, policies []string) error
	Histories(ctx context.Context, policies []string) (map[string]*ledger.History, error)
	Totals(ctx context.Context, runID, policy string) (rows map[string]int64, nullified int64, err error)
}

// history is what the ledger knows of the policies' runs.
type history struct {
	past    pastRuns
	metrics *metrics.Metrics
	leads   func() bool         // this process closes the runs of those that have died
	ended   func(policy string) // a run has ended since the last look

	mu       sync.Mutex
	policies perPolicy[record]
}

// record is what the ledger knows of the runs of one policy.
type record struct {
	last  *web.Run // the newest run, under way or not
	runs  []web.Run
	ended []ledger.Ended // the same, newest first
	past  []web.Run      // those and, as far as this process has seen them, the ones before

	success *time.Time
	failure *ledger.Ended // the first since then; nil: none
}

func newHistory(past pastRuns, m *metrics.Metrics, leads func() bool, ended func(policy string)) *history {
	return &history{past: past, metrics: m, leads: leads, ended: ended}
}

func (h *history) adopt(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.policies.adopt(names)
}

// read reads what the ledger knows, in a fixed number of statements; and what each
// ended run has deleted, once.
func (h *history) read(ctx context.Context) error {
	names := h.names()
	if h.leads() {
		if err := h.past.CloseDead(ctx, names); err != nil {
			return fmt.Errorf("closing runs whose processes have died: %w", err)
		}
	}
	histories, err := h.past.Histories(ctx, names)
	if err != nil {
		return err
	}
	for _, name := range names {
		runs := h.known(name, histories[name].Runs)
		for i := range runs {
			if runs[i].Rows != nil {
				continue
			}
			if runs[i].Rows, runs[i].RowsNullified, err = h.past.Totals(ctx, runs[i].RunID, name); err != nil {
				return fmt.Errorf("reading what a run has deleted: %w", err)
			}
		}
		h.remember(name, histories[name], runs)
	}
	return nil
}

func (h *history) names() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.policies.names
}

// known gives runs with their counts, as far as they were read before.
func (h *history) known(name string, ended []ledger.Ended) []web.Run {
	h.mu.Lock()
	defer h.mu.Unlock()
	before := map[string]web.Run{}
	for _, r := range h.policies.of(name).runs {
		before[r.RunID] = r
	}
	runs := make([]web.Run, len(ended))
	for i, e := range ended {
		runs[i] = runOf(e.LastRun)
		if r, ok := before[e.RunID]; ok {
			runs[i].Rows, runs[i].RowsNullified = r.Rows, r.RowsNullified
		} else if e.RowsTotal == 0 && e.Batches == 0 {
			runs[i].Rows = map[string]int64{}
		}
	}
	return runs
}

func (h *history) remember(name string, past *ledger.History, runs []web.Run) {
	if h.replace(name, recordOf(past, runs)) {
		h.ended(name)
	}
	if len(runs) > 0 {
		h.metrics.SetLastRun(name, *runs[0].FinishedAt)
	}
	if past.Success != nil {
		h.metrics.SetLastSuccess(name, *past.Success)
	}
}

// replace puts a record in the place of the one before, and reports whether another run
// has ended last.
func (h *history) replace(name string, r record) (ended bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.policies.of(name)
	r.past = withPast(r.runs, now.past)
	ended = newest(r.ended) != newest(now.ended)
	*now = r
	return ended
}

// keptPast is how many ended runs of a policy are remembered.
const keptPast = 60

// withPast adds to the last runs, newest first, those that were known before.
func withPast(runs, before []web.Run) []web.Run {
	all := slices.Clone(runs)
	for _, r := range before {
		if !slices.ContainsFunc(all, func(x web.Run) bool { return x.RunID == r.RunID }) {
			r.Rows = nil // the sum is enough
			all = append(all, r)
		}
	}
	slices.SortStableFunc(all, func(a, b web.Run) int { return b.StartedAt.Compare(a.StartedAt) })
	return all[:min(len(all), keptPast)]
}

func recordOf(past *ledger.History, runs []web.Run) record {
	r := record{ended: past.Runs, runs: runs, success: past.Success, failure: past.Failure}
	if past.Last != nil {
		last := runOf(*past.Last)
		if len(runs) > 0 && runs[0].RunID == last.RunID { // which has its counts
			last.Rows, last.RowsNullified = runs[0].Rows, runs[0].RowsNullified
		}
		r.last = &last
	}
	return r
}

// of is what the ledger knows of a policy's runs.
func (h *history) of(name string) record {
	h.mu.Lock()
	defer h.mu.Unlock()
	return *h.policies.of(name)
}

// newest is the id of the first of these runs; empty: there is none.
func newest(runs []ledger.Ended) string {
	if len(runs) == 0 {
		return ""
	}
	return runs[0].RunID
}

func runOf(r ledger.LastRun) web.Run {
	return web.Run{
		RunID: r.RunID, Trigger: r.Trigger, Status: r.Status, Reason: r.Reason, StartedAt: r.StartedAt, FinishedAt: r.FinishedAt,
		RowsTotal: r.RowsTotal, RowsNullified: r.RowsNullified, Batches: r.Batches, WALBytes: r.WALBytes,
	}
}
