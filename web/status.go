package web

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/preview"
)

// Status is a snapshot of a reaper: what the page shows, what health is judged by, and what
// /api/status and `reaper status -o json` print. Unknown values are null. A Status is not
// changed after it was handed out.
type Status struct {
	At        time.Time `json:"at"`       // when the snapshot was taken; zero if none was yet
	Instance  string    `json:"instance"` // the name of this process among the replicas
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"` // of this process; zero if not a daemon
	Leader    string    `json:"leader"`     // the instance that measures the lag; empty if none or unknown

	Policies []Policy `json:"policies"` // in the order of the policy file
	Pauses   []Pause  `json:"pauses"`   // manual ones in effect
	Holds    []Hold   `json:"holds"`    // by hand, in effect
	// Erasures are those that are open, have sweeps to come or rows to keep, or ended in the last week.
	Erasures []Erasure `json:"erasures"`
	Guards   []Guard   `json:"guards"` // empty if not read here
	Database Database  `json:"database"`
	Archive  *Archive  `json:"archive"` // null if the policy file has none
	// LedgerError is why reaper's own tables cannot be used, so that nothing runs; empty if
	// they can.
	LedgerError string      `json:"ledger_error,omitempty"`
	Config      Config      `json:"config"`
	Heartbeats  []Heartbeat `json:"heartbeats"`
}

// MarshalJSON writes nil lists as empty ones.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	s.Policies = emptyIfNil(s.Policies)
	s.Pauses = emptyIfNil(s.Pauses)
	s.Holds = emptyIfNil(s.Holds)
	s.Erasures = emptyIfNil(s.Erasures)
	s.Guards = emptyIfNil(s.Guards)
	s.Heartbeats = emptyIfNil(s.Heartbeats)
	return json.Marshal(plain(s))
}

func emptyIfNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Policy is the state of one policy.
type Policy struct {
	Name     string `json:"name"`
	Table    string `json:"table"`    // schema.table
	Schedule string `json:"schedule"` // as written; empty if none

	// LagSeconds and the next four are measured together, at ScannedAt; null if never.
	// BacklogRows and OverdueTenants are also null if counting took too long.
	LagSeconds      *float64   `json:"lag_seconds"`
	BacklogRows     *int64     `json:"backlog_rows"`
	OldestExpiredAt *time.Time `json:"oldest_expired_at"` // null if nothing is due
	OverdueTenants  *int64     `json:"overdue_tenants"`
	WorstTenants    []Tenant   `json:"worst_tenants"` // the most overdue ones
	ScannedAt       *time.Time `json:"scanned_at"`
	ScanStale       bool       `json:"scan_stale"` // the scan is older than it should be

	// Late means that the lag is above MaxLagSeconds (null means no limit): max_lag or, where the
	// policy has none, two cycles of its schedule and the longest of its last runs (MaxLagAssumed).
	MaxLagSeconds *float64   `json:"max_lag_seconds"`
	MaxLagAssumed bool       `json:"max_lag_assumed"`
	Late          bool       `json:"late"`
	LateSince     *time.Time `json:"late_since"`
	// Failing means that the policy's runs do not succeed. Reason says why it is late or
	// failing.
	Failing      bool       `json:"failing"`
	FailingSince *time.Time `json:"failing_since"`
	Reason       string     `json:"reason,omitempty"`
	Problem      string     `json:"problem,omitempty"` // why something is null
	// Unowned is how many rows reach no tenant; null if there are no tenants or it was not
	// measured.
	Unowned *preview.Unowned `json:"unowned"`

	// Paused manually, at least until PausedUntil; the reason is of the pause that ends last.
	Paused       bool       `json:"paused"`
	PausedUntil  *time.Time `json:"paused_until"`
	PausedReason string     `json:"paused_reason,omitempty"`
	// Balance says whether deleting keeps up; null if unknown.
	Balance *Balance `json:"balance"`

	Running       *Progress  `json:"running"` // null if no run is in progress
	LastRun       *Run       `json:"last_run"`
	LastSuccessAt *time.Time `json:"last_success_at"`
	NextRunAt     *time.Time `json:"next_run_at"`
	Runs          []Run      `json:"runs"` // last finished ones, newest first

	// Only for the policy's page. Past are the finished runs that are remembered, newest first.
	Past   []Run                  `json:"-"`
	Lags   []Lag                  `json:"-"` // oldest first
	Tree   []preview.TablePreview `json:"-"` // what a run deletes from; nil if not planned yet
	Advice []Advice               `json:"-"`
}

// Lag is a policy's lag at a time.
type Lag struct {
	At      time.Time
	Seconds float64
}

// Advice is what could be better about a policy, with its fix.
type Advice struct{ Text, Fix string }

// Tenant is a tenant with expired rows.
type Tenant struct {
	Key        *string `json:"key"` // as PostgreSQL prints it; null if the policy has no tenants
	LagSeconds float64 `json:"lag_seconds"`
	Rows       *int64  `json:"rows"` // null if not counted
}

// Progress is the progress of a run.
type Progress struct {
	RunID       string    `json:"run_id"`
	Trigger     string    `json:"trigger"`
	Instance    string    `json:"instance"` // empty if unknown
	StartedAt   time.Time `json:"started_at"`
	Roots       int64     `json:"roots,omitempty"` // expired roots deleted so far
	Due         *int64    `json:"due"`             // roots due at the start; null if counting took too long
	Rows        int64     `json:"rows"`            // deleted so far, over all tables
	Batches     int64     `json:"batches"`
	TenantsDone int64     `json:"tenants_done"`
	TenantsDue  *int64    `json:"tenants_due"` // null if unknown
	Tenant      *string   `json:"tenant"`      // of the last batch; null if none
	Held        *Held     `json:"held"`        // null if nothing holds it back
}

// Hold is what a person has said must stay: tenants or, by row, roots of one policy.
type Hold struct {
	ID     int64      `json:"id"`
	Policy *string    `json:"policy"` // null: every policy
	Tenant *string    `json:"tenant"` // as PostgreSQL prints the key; null: every tenant
	Until  *time.Time `json:"until"`  // null: until it is released
	Reason string     `json:"reason"`
	By     string     `json:"by"`
	At     time.Time  `json:"at"`
	Roots  *int64     `json:"roots"` // how many rows of the policy's table; null: it is of tenants
	Root   []string   `json:"root"`  // the key of the only one, by column; null: there are others, or none
}

// Text says what is held, and until when.
func (h Hold) Text() string {
	text := "every tenant"
	switch {
	case len(h.Root) == 1:
		text = "row " + h.Root[0]
	case h.Root != nil:
		text = "row (" + strings.Join(h.Root, ", ") + ")"
	case h.Roots != nil:
		text = visible.Count(*h.Roots, "row", "rows")
	case h.Tenant != nil:
		text = "tenant " + *h.Tenant
	}
	if h.Policy != nil {
		text += " of policy " + *h.Policy
	} else {
		text += " of every policy"
	}
	if h.Until == nil {
		return text + ", until it is released"
	}
	return text + ", until " + h.Until.UTC().Format(time.DateTime) + " UTC"
}

// Held describes a guard that slows or pauses a run now.
type Held struct {
	Guard  string    `json:"guard"`
	State  string    `json:"state"` // slow or pause
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Run is one run of a policy, from the ledger.
type Run struct {
	RunID         string           `json:"run_id"`
	Trigger       string           `json:"trigger"`
	Status        string           `json:"status"`
	Reason        string           `json:"reason"`
	StartedAt     time.Time        `json:"started_at"`
	FinishedAt    *time.Time       `json:"finished_at"` // null if in progress
	RowsTotal     int64            `json:"rows_total"`
	RowsNullified int64            `json:"rows_nullified"`
	Batches       int64            `json:"batches"`
	WALBytes      int64            `json:"wal_bytes"`
	Rows          map[string]int64 `json:"rows"` // deleted, by schema.table; null if not requested
}

// Database describes the database and its growth.
type Database struct {
	Up        bool       `json:"up"`
	DownSince *time.Time `json:"down_since"`
	Error     string     `json:"error,omitempty"` // why it is not up
	Name      string     `json:"name"`
	Version   string     `json:"version"`
	SizeBytes *int64     `json:"size_bytes"` // null without the privilege
	Sizes     []Size     `json:"sizes"`      // over time, oldest first, thinned out
	Tables    []Table    `json:"tables"`     // tables that policies delete from
	Forecast  *Forecast  `json:"forecast"`   // null if there are no stored sizes
}

// Table is the size of one table.
type Table struct {
	Name      string `json:"name"`       // schema.table
	SizeBytes *int64 `json:"size_bytes"` // with indexes and TOAST
	DeadRows  *int64 `json:"dead_rows"`  // estimated
	Sizes     []Size `json:"sizes"`      // over time, oldest first
}

// Size is one point of a plot.
type Size struct {
	At    time.Time `json:"at"`
	Bytes int64     `json:"bytes"`
}

// Config is the state of the policy file.
type Config struct {
	File     string     `json:"file"`
	LoadedAt time.Time  `json:"loaded_at"`       // of the configuration in effect
	Error    string     `json:"error,omitempty"` // why the current file is not in effect; empty if it is
	FailedAt *time.Time `json:"failed_at"`       // since when
}

// Heartbeat is one cron monitor.
type Heartbeat struct {
	Name          string     `json:"name"` // without secrets
	LastSuccessAt *time.Time `json:"last_success_at"`
	LastError     string     `json:"last_error,omitempty"` // empty if the last ping was accepted
	LastErrorAt   *time.Time `json:"last_error_at"`
}
