package daemon

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/web"
)

// sampleEvery is how often rows of a policy are followed to their tenants.
const sampleEvery = time.Hour

// scanRest is how many times as long as it took a policy is not measured again: a
// twentieth of the time at most.
const scanRest = 20

// measurer measures what is due of a policy. A survey is one.
type measurer interface {
	compile(ctx context.Context, e entry) (*plan.Plan, error)
	measure(ctx context.Context, p *plan.Plan) (*ledger.Scan, error)
	// unowned follows a sample of the rows to their tenants; nil: there are none.
	unowned(ctx context.Context, p *plan.Plan) (*ledger.Unowned, error)
}

// scanKeeper keeps what was measured. A book does.
type scanKeeper interface {
	Scans(ctx context.Context, policies []string) (map[string]*ledger.Scan, error)
	SaveScan(ctx context.Context, policy string, s ledger.Scan) error
}

// scans are what is due of each policy, as the one process measures it that has the
// lease.
type scans struct {
	measurer measurer
	keeper   scanKeeper
	planned  func(policy string, p *plan.Plan) // is told of each plan
	now      func() time.Time
	metrics  *metrics.Metrics
	complain func(what string, err error)
	limit    func(entry) time.Duration // the lag above which a policy is late; 0: none

	mu       sync.Mutex
	policies perPolicy[measured]
}

// measured is what is known to be due of one policy.
type measured struct {
	scan      *ledger.Scan  // nil: it was never measured
	lateSince *time.Time    // nil: it is not late
	lags      []web.Lag     // over time, oldest first
	lagStep   time.Duration // how far apart they are at least, but for the last; 0: as measured
	problem   string        // why it could not be measured; empty: it could

	scanAfter time.Time // measured again not before
	// wanted: a run of it has ended since a measuring of it began. Whatever kept it from
	// being measured then, it is its turn.
	wanted bool
	// sampled is when rows were last followed to their tenants; zero: not since the
	// policy was read.
	sampled time.Time
}

func newScans(m measurer, k scanKeeper, planned func(string, *plan.Plan), now func() time.Time, to *metrics.Metrics, complain func(string, error)) *scans {
	return &scans{measurer: m, keeper: k, planned: planned, now: now, metrics: to, complain: complain, limit: entry.maxLag}
}

// judgeBy has policies count as late above another limit than their max_lag. It is called before
// anything is measured.
func (s *scans) judgeBy(limit func(entry) time.Duration) { s.limit = limit }

// adopt takes over the policies of another file; changed are those that mean something
// else than before.
func (s *scans) adopt(names []string, changed map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies.adopt(names)
	for _, name := range names {
		if changed[name] {
			s.policies.of(name).sampled = time.Time{}
		}
	}
}

// round measures the policies whose turn it is.
func (s *scans) round(ctx context.Context, entries []entry) {
	for _, e := range entries {
		if ctx.Err() != nil {
			return
		}
		began := s.now()
		if !s.begin(e.name(), began) {
			continue
		}
		err := s.scan(ctx, e)
		if news := s.end(e.name(), s.now().Sub(began), err); news && err != nil && ctx.Err() == nil {
			s.complain("what is due of "+e.name(), err)
		}
	}
}

// begin reports whether it is a policy's turn to be measured.
func (s *scans) begin(name string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.policies.of(name)
	if !m.wanted && now.Before(m.scanAfter) {
		return false
	}
	m.wanted = false
	return true
}

// waiting reports whether a run of some policy has ended that was not measured since.
func (s *scans) waiting(entries []entry) bool {
	return slices.ContainsFunc(entries, func(e entry) bool { return s.of(e.name()).wanted })
}

// end notes how the measuring of a policy ended, and reports whether that is news.
func (s *scans) end(name string, took time.Duration, err error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	problem := ""
	if err != nil {
		problem = "not measured: " + safe(err)
	}
	m := s.policies.of(name)
	news := m.problem != problem
	m.problem, m.scanAfter = problem, s.now().Add(scanRest*took)
	return news
}

// scan measures one policy.
func (s *scans) scan(ctx context.Context, e entry) error {
	p, err := s.measurer.compile(ctx, e)
	if err != nil {
		return err
	}
	scan, err := s.measurer.measure(ctx, p)
	if err != nil {
		return err
	}
	scan.Unowned = s.unowned(ctx, e.name(), p)
	if err := s.keeper.SaveScan(ctx, e.name(), *scan); err != nil {
		return err
	}
	s.see(e, scan)
	s.planned(e.name(), p)
	return nil
}

// unowned is how many rows of a sample reach no tenant: what was found last, where that
// is not long ago; nil: not known.
func (s *scans) unowned(ctx context.Context, name string, p *plan.Plan) *ledger.Unowned {
	last, due := s.sample(name)
	if !due {
		return last
	}
	found, err := s.measurer.unowned(ctx, p)
	if err != nil {
		s.complain("the tenants of rows of "+name, err)
		return nil
	}
	return found
}

// sample is what was last found of unowned rows, and whether it is time to look again,
// which it then takes for done.
func (s *scans) sample(name string) (last *ledger.Unowned, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.policies.of(name)
	if m.scan != nil {
		last = m.scan.Unowned
	}
	if due = s.now().Sub(m.sampled) > sampleEvery; due {
		m.sampled = s.now()
	}
	return last, due
}

// read takes over what was measured and kept, by whichever process.
func (s *scans) read(ctx context.Context, entries []entry) error {
	kept, err := s.keeper.Scans(ctx, namesOf(entries))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if scan := kept[e.name()]; scan != nil {
			s.see(e, scan)
		}
	}
	return nil
}

// look measures a policy for somebody who asks without a daemon, and keeps nothing. err is why
// there is no plan of it; nil: there is one.
func (s *scans) look(ctx context.Context, e entry, p *plan.Plan, err error) {
	var scan *ledger.Scan
	if err == nil {
		scan, err = s.once(ctx, e, p)
	}
	if scan != nil {
		s.see(e, scan)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.policies.of(e.name())
	m.problem = ""
	if err != nil {
		m.problem = err.Error()
	}
	if scan == nil { // what a daemon measured is older
		m.scan = nil
	}
}

// once measures a policy and follows its rows; both may be there, what was measured and
// why the rest was not.
func (s *scans) once(ctx context.Context, e entry, p *plan.Plan) (*ledger.Scan, error) {
	s.planned(e.name(), p)
	scan, err := s.measurer.measure(ctx, p)
	if err != nil {
		return nil, err
	}
	scan.Unowned, err = s.measurer.unowned(ctx, p)
	return scan, err
}

// again has a policy measured as soon as may be: a run of it has ended.
func (s *scans) again(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies.of(name).wanted = true
}

// see takes over what was measured. Metrics show what another process measured too, or
// one before this: the lag is as old as its measurement, and not as the lease.
func (s *scans) see(e entry, scan *ledger.Scan) {
	s.metrics.LagScanned(e.name(), lagOf(scan))
	limit := s.limit(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.policies.of(e.name()).see(scan, limit)
}

// lagOf is what was measured, as the metrics have it.
func lagOf(scan *ledger.Scan) metrics.Scan {
	m := metrics.Scan{At: scan.At, Lag: seconds(scan.Lag), Rows: -1, OverdueTenants: scan.Tenants}
	if scan.Rows != nil {
		m.Rows = *scan.Rows
	}
	if scan.Oldest != nil {
		m.Oldest = *scan.Oldest
	}
	return m
}

// of is what is known of a policy.
func (s *scans) of(name string) measured {
	s.mu.Lock()
	defer s.mu.Unlock()
	return *s.policies.of(name)
}

// see takes over what was measured, and notes since when the policy is late.
func (m *measured) see(scan *ledger.Scan, limit time.Duration) {
	m.scan = scan
	m.note(scan)
	if !m.late(limit) {
		m.lateSince = nil
	} else if m.lateSince == nil {
		// It became late when its lag passed the limit.
		since := scan.At.Add(limit - seconds(scan.Lag))
		m.lateSince = &since
	}
}

// What is kept of the lag over time: so many measurements, as far apart as they have to be for that,
// of so long.
const (
	keptLags = 400
	keptFor  = 14 * 24 * time.Hour
)

// note keeps the lag, once for each measurement. It changes nothing that was handed out.
func (m *measured) note(scan *ledger.Scan) {
	now := web.Lag{At: scan.At, Seconds: scan.Lag}
	n := len(m.lags)
	switch {
	case n > 0 && !now.At.After(m.lags[n-1].At):
		return
	case n > 1 && now.At.Sub(m.lags[n-2].At) < m.lagStep:
		m.lags = append(slices.Clone(m.lags[:n-1]), now)
		return
	case n >= keptLags:
		m.lagStep = m.lags[n-1].At.Sub(m.lags[0].At) / (keptLags / 2)
		fewer := make([]web.Lag, 0, keptLags)
		for i := 0; i < n; i += 2 {
			fewer = append(fewer, m.lags[i])
		}
		m.lags = fewer
	}
	m.lags = append(m.lags, now)
	for len(m.lags) > 2 && now.At.Sub(m.lags[1].At) > keptFor {
		m.lags = m.lags[1:]
	}
}

// late reports whether the lag, when it was measured, was above a limit; 0: there is
// none.
func (m *measured) late(limit time.Duration) bool {
	return m.scan != nil && limit > 0 && m.scan.Lag > limit.Seconds()
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
