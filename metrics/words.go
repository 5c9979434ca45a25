package metrics

import "slices"

// other is what a label says of a word that is not in its list: so an error
// code, or a word that was added elsewhere, cannot add series without end.
const other = "other"

// The words of the labels that are not names of the policy file, the usual ones first.
var (
	triggers    = []string{"schedule", "catch_up", "assist"} // of a daemon's runs, the only ones that it counts
	statuses    = []string{"complete", "incomplete", "refused", "failed"}
	gates       = []string{"drift", "breaker"}
	outcomes    = []string{committed, overrun, retried}
	reasons     = []string{"lock_timeout", "deadlock", "serialization_failure", "statement_timeout", "foreign_key_violation", "changed", "unproven", "slow", "connection", other}
	events      = []string{"start", "success", "fail", "log"}
	guardStates = []string{"go", "slow", "pause", "stop"} // a state's number is its place
	units       = []string{"bytes", "bytes_per_second", "seconds", "sessions", "ratio", "number"}
	objects     = []string{ArchiveSegment, ArchiveList}
	steps       = []string{ArchiveSpool, ArchiveSegment, ArchiveList}
	deliveries  = []string{"sent", "failed", "withheld", "dropped"}
)

// What becomes of a batch.
const (
	committed = "committed"
	overrun   = "overrun"
	retried   = "retried"
)

func oneOf(words []string, word string) string {
	if slices.Contains(words, word) {
		return word
	}
	return other
}

// zero makes the series that belong to no policy.
func (m *Metrics) zero() {
	for _, r := range reasons {
		m.retries.WithLabelValues(r)
	}
	for _, e := range events {
		for _, d := range deliveries {
			m.heartbeats.WithLabelValues(e, d)
		}
	}
}
