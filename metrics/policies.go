package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Policy names a policy and the tables that it deletes from, as schema.table.
type Policy struct {
	Name   string
	Tables []string
	// MaxLag is the lag above which it is late; 0: none is too much.
	MaxLag time.Duration
	// Interval is the longest time between two runs of its schedule; 0: not known.
	Interval time.Duration
	// Archive: its rows are copied before they go.
	Archive bool
}

// manyPolicies is how many policies may have every series. With more of them, counters begin
// with their first event, but for the usual ones, and the histograms count all policies
// together: so 200 policies have less than 5,000 series.
const manyPolicies = 50

// SetPolicies says which policies there are, after every load of the policy
// file. Those that are new get their series, with counts at zero; those that are
// gone lose them. What is told of a policy that is not among them is not counted.
func (m *Metrics) SetPolicies(policies ...Policy) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.setMany(len(policies) > manyPolicies)
	now := map[string]bool{}
	for _, p := range policies {
		now[p.Name] = true
		m.begin(p)
	}
	for name := range m.policies {
		if now[name] {
			continue
		}
		for _, s := range m.perPolicy {
			s.DeletePartialMatch(prometheus.Labels{"policy": name})
		}
	}
	m.policies = now
}

// setMany says whether there are many policies. Where that changes, the counts whose series
// become others begin anew, as in a new process.
func (m *Metrics) setMany(many bool) {
	if many == m.many {
		return
	}
	m.many = many
	for _, s := range []series{m.runs, m.batches, m.batchDuration, m.runDuration} {
		s.Reset()
	}
}

// ofHistogram is the label of a policy's histograms; empty, which Prometheus takes for no
// label: all policies share them.
func (m *Metrics) ofHistogram(policy string) string {
	if m.many {
		return ""
	}
	return policy
}

// begin makes the series of a policy; those that are there keep their values.
func (m *Metrics) begin(p Policy) {
	m.inProgress.WithLabelValues(p.Name)
	m.policyPaused.WithLabelValues(p.Name)
	m.failing.WithLabelValues(p.Name)
	put(m.maxLag, p.Name, p.MaxLag.Seconds(), p.MaxLag > 0)
	put(m.interval, p.Name, p.Interval.Seconds(), p.Interval > 0)
	m.batchDuration.WithLabelValues(m.ofHistogram(p.Name))
	m.runDuration.WithLabelValues(m.ofHistogram(p.Name))
	if p.Archive {
		m.archive.begin(p.Name)
	}
	for _, g := range gates {
		m.approvalNeeded.WithLabelValues(p.Name, g)
	}
	for _, t := range p.Tables {
		m.rows.WithLabelValues(p.Name, t)
	}
	// The usual series come first: where there are many policies, they are the only ones.
	for _, o := range m.first(outcomes) {
		m.batches.WithLabelValues(p.Name, o)
	}
	for _, t := range m.first(triggers) {
		for _, s := range m.first(statuses) {
			m.runs.WithLabelValues(p.Name, t, s)
		}
	}
}

// first are the words of a label whose series exist from the start.
func (m *Metrics) first(words []string) []string {
	if m.many {
		return words[:1]
	}
	return words
}

// known does something with a policy's series, if the policy is there: a run
// that ends after a reload must not bring back those of a policy that is gone.
func (m *Metrics) known(policy string, do func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.policies[policy] {
		do()
	}
}

// put sets a policy's value, or takes its series away where it is not known.
func put(g *prometheus.GaugeVec, policy string, value float64, isKnown bool) {
	if !isKnown {
		g.DeleteLabelValues(policy)
		return
	}
	g.WithLabelValues(policy).Set(value)
}

func (m *Metrics) setTime(g *prometheus.GaugeVec, policy string, at time.Time) {
	m.known(policy, func() { put(g, policy, seconds(at), !at.IsZero()) })
}
