package daemon

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/ledger"
)

// past are runs in a ledger, and the questions about them.
type past struct {
	histories map[string]*ledger.History
	asked     []string
	err       error // of the questions for what a run has deleted
}

func (p *past) CloseDead(_ context.Context, policies []string) error {
	p.asked = append(p.asked, "close "+strings.Join(policies, ","))
	return nil
}

func (p *past) Histories(context.Context, []string) (map[string]*ledger.History, error) {
	return p.histories, nil
}

func (p *past) Totals(_ context.Context, runID, _ string) (map[string]int64, int64, error) {
	p.asked = append(p.asked, "totals "+runID)
	return map[string]int64{"t": 3}, 4, p.err
}

func endedRun(id string, batches int64) ledger.Ended {
	return ledger.Ended{LastRun: ledger.LastRun{RunID: id, Batches: batches, StartedAt: noon, FinishedAt: new(noon.Add(time.Minute))}}
}

// What a run has deleted is asked for once, when it has ended, and not where it was
// nothing.
func TestHistory(t *testing.T) {
	t.Parallel()
	ledgerOf := func(runs ...ledger.Ended) map[string]*ledger.History {
		h := &ledger.History{Runs: runs}
		if len(runs) > 0 {
			h.Last = &runs[0].LastRun
		}
		return map[string]*ledger.History{"a": h, "b": {}}
	}
	p, leads := &past{}, false
	var ended []string
	h := newHistory(p, noMetrics(), func() bool { return leads }, func(name string) { ended = append(ended, name) })
	h.adopt([]string{"a", "b"})
	read := func(runs map[string]*ledger.History, asks ...string) {
		t.Helper()
		p.histories, p.asked = runs, nil
		if err := h.read(t.Context()); err != nil || !slices.Equal(p.asked, asks) {
			t.Errorf("asked %q (%v), want %q", p.asked, err, asks)
		}
	}
	read(ledgerOf(), []string{}...)
	read(ledgerOf(endedRun("2", 0), endedRun("1", 5)), "totals 1")
	read(ledgerOf(endedRun("3", 1), endedRun("2", 0), endedRun("1", 5)), "totals 3")
	h.adopt([]string{"a", "b"}) // a reload
	leads = true
	read(ledgerOf(endedRun("3", 1), endedRun("2", 0), endedRun("1", 5)), "close a,b")
	if !slices.Equal(ended, []string{"a", "a"}) {
		t.Errorf("told of the ends of runs of %v", ended)
	}
	r := h.of("a")
	if len(r.runs) != 3 || r.runs[0].Rows["t"] != 3 || r.runs[0].RowsNullified != 4 || r.runs[1].Rows == nil || len(r.runs[1].Rows) != 0 {
		t.Errorf("runs %+v", r.runs)
	}
	if r.last == nil || r.last.RunID != "3" || r.last.Rows["t"] != 3 {
		t.Errorf("the last run is %+v", r.last)
	}

	// What cannot be read leaves what is known.
	p.histories, p.err = ledgerOf(endedRun("4", 1)), errors.New("no answer")
	if err := h.read(t.Context()); !errors.Is(err, p.err) || h.of("a").last.RunID != "3" {
		t.Errorf("%v; the last run is %+v", err, h.of("a").last)
	}
}
