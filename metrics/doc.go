// Package metrics provides reaper's Prometheus metrics.
//
// It knows no database. Whoever runs the loop calls methods that mirror what happens and take plain
// values; a scrape reads what they left. So /metrics is answered at once with the database down.
//
// # Series
//
// A counter of a policy exists from the start, at zero, so that a rate is right from the first
// event on and an alert on "none" can fire. A policy's series disappear when a reload removes the
// policy, and an event of a policy that is gone is not counted, because that would bring them back.
//
// A value that is not known has no series, rather than the value 0: 0 would be an answer. Examples
// are the lag before it was measured, and the last success before there was one. Only the leader,
// the process that measures, shows a lag; a process that loses the lease drops what it measured.
//
// Labels are bounded. They are names from the policy file, of tables, or of guards, or words from a
// list; an unknown word becomes "other". Tenants are never labels.
//
// docs/METRICS.md lists every metric. Tests compare it, the alerts and the dashboard with what is
// exported: a renamed metric would silence an alert.
package metrics
