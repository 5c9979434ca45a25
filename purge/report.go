package purge

import (
	"slices"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/preview"
)

// Status is how a run, or one policy of it, ended.
type Status string

// The possible statuses.
const (
	Complete   Status = "complete"
	Incomplete Status = "incomplete"
	Refused    Status = "refused"
	Failed     Status = "failed"
)

// ExitCode is the exit code of a command with this status.
func (s Status) ExitCode() int {
	return map[Status]int{Complete: 0, Failed: 1, Incomplete: 3, Refused: 4}[s]
}

// Report is what a run did, as `purge -o json` prints it.
type Report struct {
	RunID      string          `json:"run_id"`
	Status     Status          `json:"status"`
	StartedAt  time.Time       `json:"started_at"`
	FinishedAt time.Time       `json:"finished_at"`
	WALBytes   int64           `json:"wal_bytes"`
	Policies   []*PolicyReport `json:"policies"`
}

// PolicyReport is what a run did for one policy.
type PolicyReport struct {
	Name          string           `json:"name"`
	Status        Status           `json:"status"`
	Reason        string           `json:"reason"`
	Strategy      string           `json:"strategy"`
	Tenants       TenantCounts     `json:"tenants"`
	Rows          map[string]int64 `json:"rows"` // deleted, by schema.table
	RowsTotal     int64            `json:"rows_total"`
	RowsNullified int64            `json:"rows_nullified"`
	KeptRows      int64            `json:"kept_rows"`
	Batches       int64            `json:"batches"`
	BatchSeconds  Quantiles        `json:"batch_seconds"`
	Seconds       float64          `json:"seconds"`
	PausedSeconds float64          `json:"paused_seconds"`
	Partitions    []string         `json:"partitions_dropped"` // their rows are also in Rows
	LagSeconds    *float64         `json:"lag_seconds"`        // null: unknown
	BacklogRows   *int64           `json:"backlog_rows"`       // null: unknown
	Vacuumed      []string         `json:"vacuumed"`           // schema.table; partitions instead of a partitioned table
	Unowned       *preview.Unowned `json:"unowned"`            // null: no tenants, or not sampled

	Roots    int64 `json:"-"` // rows deleted as expired roots
	WALBytes int64 `json:"-"`
}

// TenantCounts counts tenants by outcome.
type TenantCounts struct {
	Due     int64 `json:"due"`
	Done    int64 `json:"done"`
	Held    int64 `json:"held"`
	Forever int64 `json:"forever"`
	Skipped int64 `json:"skipped"`
	Failed  int64 `json:"failed"`
}

// Quantiles are batch durations in seconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// worst is the status of the run: the first of failed, refused, incomplete that any policy has,
// else complete.
func worst(policies []*PolicyReport) Status {
	for _, s := range []Status{Failed, Refused, Incomplete} {
		if slices.ContainsFunc(policies, func(p *PolicyReport) bool { return p.Status == s }) {
			return s
		}
	}
	return Complete
}

// Options narrow and limit a run.
type Options struct {
	RunID       string           // UUID of the run; empty: generate one
	Trigger     string           // what started the run, such as manual; for the ledger
	Tenants     []string         // only these; nil: all
	OlderThan   *policy.Duration // the earlier of this cutoff and the policy's applies
	MaxRows     int64            // roots; 0: no limit
	MaxDuration time.Duration    // 0: no limit
	MaxRate     int64            // rows a second, over all tables and connections; 0: no limit
}

// Selection returns the part of the expired rows that the run covers.
func (o Options) Selection() plan.Selection {
	return plan.Selection{Tenants: o.Tenants, OlderThan: o.OlderThan, MaxRows: o.MaxRows}
}

// narrowed reports whether a run cannot count as a policy's success.
func (o Options) narrowed() bool {
	return len(o.Tenants) > 0 || o.OlderThan != nil
}

// BatchEvent describes a committed batch.
type BatchEvent struct {
	Policy   string
	Tenant   *string
	Roots    int64 // expired roots
	Rows     int64 // over all tables
	Duration time.Duration
	WALBytes int64
	Deleted  map[string]int64 // rows by table, schema.table
}

// Observer watches a run. Its methods are called one at a time, from any goroutine of the run,
// and must not block.
type Observer interface {
	// Due reports the policy's due roots at the start; -1 if counting took too long.
	Due(name string, roots int64)
	Batch(BatchEvent)
	// Retry reports a batch that will be retried; reason is a short word or Overrun.
	Retry(name, reason string)
	// Advised reports a change of the guards' advice for a policy's run.
	Advised(name string, a guard.Advice)
}

// Overrun is the reason for retrying a batch that exceeded its limits.
const Overrun = "overrun"

// Silent is an Observer that does nothing.
type Silent struct{}

// Due does nothing.
func (Silent) Due(string, int64) {}

// Batch does nothing.
func (Silent) Batch(BatchEvent) {}

// Retry does nothing.
func (Silent) Retry(string, string) {}

// Advised does nothing.
func (Silent) Advised(string, guard.Advice) {}
