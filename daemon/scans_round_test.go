package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
)

// slowly measures policies, each in its own time, and notes when.
type slowly struct {
	takes    map[string]time.Duration
	err      error
	lag      float64
	measured []string
	sampled  int
	of       string // the current policy
}

func (s *slowly) compile(_ context.Context, e entry) (*plan.Plan, error) {
	s.of = e.name()
	s.measured = append(s.measured, clock(time.Now())+" "+s.of)
	time.Sleep(s.takes[s.of])
	return nil, s.err
}

func (s *slowly) measure(context.Context, *plan.Plan) (*ledger.Scan, error) {
	return &ledger.Scan{At: time.Now(), Lag: s.lag}, nil
}

func (s *slowly) unowned(context.Context, *plan.Plan) (*ledger.Unowned, error) {
	s.sampled++
	return &ledger.Unowned{Rows: int64(s.sampled)}, nil
}

// shelf keeps scans.
type shelf map[string]*ledger.Scan

func (s shelf) SaveScan(_ context.Context, policy string, scan ledger.Scan) error {
	s[policy] = &scan
	return nil
}

func (s shelf) Scans(context.Context, []string) (map[string]*ledger.Scan, error) { return s, nil }

// scansOf are scans of policies in a bubble.
func scansOf(m *slowly, kept shelf, log *logbook, entries []entry) *scans {
	s := newScans(m, kept, func(string, *plan.Plan) {}, time.Now, noMetrics(), log.complain)
	s.adopt(namesOf(entries), nil)
	return s
}

// A policy that takes long to measure is measured less often, and keeps the others from
// nothing.
func TestScans_Round(t *testing.T) {
	t.Parallel()
	entries := entriesOf(t, Config{}, twoPolicies)
	synctest.Test(t, func(t *testing.T) {
		m := &slowly{takes: map[string]time.Duration{"a": 10 * time.Second}}
		s := scansOf(m, shelf{}, &logbook{}, entries)
		go every(t.Context(), time.Minute, nil, func(ctx context.Context) { s.round(ctx, entries) })
		until(0, 9, 30)
		s.again("a") // a run has ended
		until(0, 14, 30)
		var a, b []string
		for _, at := range m.measured {
			if at[len(at)-1] == 'a' {
				a = append(a, at[:5])
			} else {
				b = append(b, at[:5])
			}
		}
		// It rests for 200 s after each time, but for a run that has ended.
		if diff := cmp.Diff([]string{"00:00", "00:04", "00:08", "00:10", "00:14"}, a); diff != "" {
			t.Error(diff)
		}
		if len(b) != 15 {
			t.Errorf("b is measured at %v, want once a minute", b)
		}
	})
}

// A run that ends while its policy is being measured has it measured again at the next
// round: what was read may be of before. The end of the measuring had forgotten that.
func TestScans_RunEndsMeanwhile(t *testing.T) {
	t.Parallel()
	entries := entriesOf(t, Config{}, text)
	synctest.Test(t, func(t *testing.T) {
		m := &slowly{takes: map[string]time.Duration{entries[0].name(): 10 * time.Second}}
		s := scansOf(m, shelf{}, &logbook{}, entries)
		go every(t.Context(), time.Minute, nil, func(ctx context.Context) { s.round(ctx, entries) })
		until(0, 0, 5)
		s.again(entries[0].name())
		if !s.waiting(entries) {
			t.Error("nothing waits")
		}
		until(0, 1, 30)
		if s.waiting(entries) || len(m.measured) != 2 {
			t.Errorf("measured at %v, want twice", m.measured)
		}
	})
}

// Rows are followed to their tenants once an hour, and at once where the file has changed
// what the policy means; what was found counts until then.
func TestScans_Sample(t *testing.T) {
	t.Parallel()
	entries := entriesOf(t, Config{}, text)
	synctest.Test(t, func(t *testing.T) {
		m, kept := &slowly{}, shelf{}
		s := scansOf(m, kept, &logbook{}, entries)
		round := func(rows int64) {
			t.Helper()
			s.round(t.Context(), entries)
			if got := kept["a"].Unowned; got == nil || got.Rows != rows {
				t.Errorf("at %s it keeps %+v, want that of sample %d", clock(time.Now()), got, rows)
			}
		}
		round(1)
		until(1, 0, 0)
		round(1)
		until(1, 0, 1)
		round(2)
		s.adopt([]string{"a"}, nil)
		round(2)
		s.adopt([]string{"a"}, map[string]bool{"a": true})
		round(3)
	})
}

// What cannot be measured is told once, and shown until it can.
func TestScans_Trouble(t *testing.T) {
	t.Parallel()
	entries := entriesOf(t, Config{}, text)
	synctest.Test(t, func(t *testing.T) {
		m, log := &slowly{err: errors.New("no such table")}, &logbook{}
		s := scansOf(m, shelf{}, log, entries)
		s.round(t.Context(), entries)
		s.round(t.Context(), entries)
		log.says(t, "no such table", 1)
		if p := s.of("a").problem; p != "not measured: no such table" {
			t.Errorf("the problem is %q", p)
		}
		m.err = nil
		s.round(t.Context(), entries)
		if p := s.of("a").problem; p != "" {
			t.Errorf("the problem is still %q", p)
		}
	})
}

// A policy is late since its lag has passed the limit, whoever has measured it.
func TestScans_Late(t *testing.T) {
	t.Parallel()
	const limited = "version: 1\npolicies: [{name: a, table: t, age: at, tenant: none, retention: 1d, max_lag: 1h}]\n"
	entries := entriesOf(t, Config{}, limited)
	synctest.Test(t, func(t *testing.T) {
		kept := shelf{}
		s := scansOf(&slowly{}, kept, &logbook{}, entries)
		read := func(lag time.Duration, since string) {
			t.Helper()
			kept["a"] = &ledger.Scan{At: time.Now(), Lag: lag.Seconds()}
			if err := s.read(t.Context(), entries); err != nil {
				t.Fatal(err)
			}
			m := s.of("a")
			if late := m.late(entries[0].maxLag()); late != (since != "") || late && clock(*m.lateSince) != since || !late && m.lateSince != nil {
				t.Errorf("a lag of %s: late: %t since %v, want since %s", lag, late, m.lateSince, since)
			}
		}
		until(3, 0, 0)
		read(time.Hour, "")
		read(90*time.Minute, "02:30:00")
		until(4, 0, 0)
		read(4*time.Hour, "02:30:00")
		read(0, "")
		read(61*time.Minute, "03:59:00")
	})
}
