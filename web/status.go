package web

import (
	"encoding/json"
	"time"

	"github.com/reaperdb/reaper/preview"
)

// Status is the picture of a reaper at one moment: what the page shows, what
// health is judged by, and what /api/status and `reaper status -o json` print.
// What is not known is null. A Status that was handed out is not changed any more.
type Status struct {
	At        time.Time `json:"at"`       // when the picture was made; zero: none was made yet
	Instance  string    `json:"instance"` // the name of this process among the replicas
	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"` // of this process; zero: not a daemon
	Leader    string    `json:"leader"`     // the instance that measures the lag; empty: none, or not known

	Policies []Policy `json:"policies"` // in the order of the policy file
	Pauses   []Pause  `json:"pauses"`   // by hand, and in force
	Guards   []Guard  `json:"guards"`   // none: nobody reads them here
	Database Database `json:"database"`
	// LedgerError is why reaper's own tables cannot be used, and so nothing runs;
	// empty: they can.
	LedgerError string      `json:"ledger_error,omitempty"`
	Config      Config      `json:"config"`
	Heartbeats  []Heartbeat `json:"heartbeats"`
}

// MarshalJSON writes lists that nobody set as empty ones.
func (s Status) MarshalJSON() ([]byte, error) {
	type plain Status
	s.Policies = listed(s.Policies)
	s.Pauses = listed(s.Pauses)
	s.Guards = listed(s.Guards)
	s.Heartbeats = listed(s.Heartbeats)
	return json.Marshal(plain(s))
}

func listed[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// Policy is what is known of one policy.
type Policy struct {
	Name     string `json:"name"`
	Table    string `json:"table"`    // schema.table
	Schedule string `json:"schedule"` // as it is written; empty: none

	// LagSeconds and the four after it are measured together, at ScannedAt; null:
	// never. BacklogRows and OverdueTenants are null also when counting took too long.
	LagSeconds      *float64   `json:"lag_seconds"`
	BacklogRows     *int64     `json:"backlog_rows"`
	OldestExpiredAt *time.Time `json:"oldest_expired_at"` // null: nothing is due
	OverdueTenants  *int64     `json:"overdue_tenants"`
	WorstTenants    []Tenant   `json:"worst_tenants"` // most overdue first, a few
	ScannedAt       *time.Time `json:"scanned_at"`
	ScanStale       bool       `json:"scan_stale"` // the scan is older than it should be

	// Late: the lag is above MaxLagSeconds (null: nothing is too much).
	MaxLagSeconds *float64   `json:"max_lag_seconds"`
	Late          bool       `json:"late"`
	LateSince     *time.Time `json:"late_since"`
	// Failing: the policy's runs do not end as successes. Reason says why it is
	// late or failing.
	Failing      bool       `json:"failing"`
	FailingSince *time.Time `json:"failing_since"`
	Reason       string     `json:"reason,omitempty"`
	Problem      string     `json:"problem,omitempty"` // why something is null
	// Unowned is how many rows reach no tenant; null: no tenants, or not looked at.
	Unowned *preview.Unowned `json:"unowned"`

	// Paused: by hand, and until when at least; the pause that ends last says why.
	Paused       bool       `json:"paused"`
	PausedUntil  *time.Time `json:"paused_until"`
	PausedReason string     `json:"paused_reason,omitempty"`
	// Balance is whether deleting keeps up; null: not known.
	Balance *Balance `json:"balance"`

	Running       *Progress  `json:"running"` // null: no run is under way
	LastRun       *Run       `json:"last_run"`
	LastSuccessAt *time.Time `json:"last_success_at"`
	NextRunAt     *time.Time `json:"next_run_at"`
	Runs          []Run      `json:"runs"` // the last few that ended, newest first
}

// Tenant is one with something due.
type Tenant struct {
	Key        *string `json:"key"` // as PostgreSQL prints it; null: the policy has no tenants
	LagSeconds float64 `json:"lag_seconds"`
	Rows       *int64  `json:"rows"` // null: not counted
}

// Progress is how far a run is.
type Progress struct {
	RunID       string    `json:"run_id"`
	Trigger     string    `json:"trigger"`
	Instance    string    `json:"instance"` // empty: not known
	StartedAt   time.Time `json:"started_at"`
	Roots       int64     `json:"roots"` // expired roots deleted so far
	Due         *int64    `json:"due"`   // roots that were due at the start; null: counting took too long
	Rows        int64     `json:"rows"`  // deleted so far, over all tables
	Batches     int64     `json:"batches"`
	TenantsDone int64     `json:"tenants_done"`
	TenantsDue  *int64    `json:"tenants_due"` // null: not known
	Tenant      *string   `json:"tenant"`      // of the batch before; null: none
	Held        *Held     `json:"held"`        // null: nothing holds it back
}

// Held is a run that a guard slows or pauses now.
type Held struct {
	Guard  string    `json:"guard"`
	State  string    `json:"state"` // slow or pause
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

// Run is one run of a policy, as the ledger has it.
type Run struct {
	RunID         string           `json:"run_id"`
	Trigger       string           `json:"trigger"`
	Status        string           `json:"status"`
	Reason        string           `json:"reason"`
	StartedAt     time.Time        `json:"started_at"`
	FinishedAt    *time.Time       `json:"finished_at"` // null: under way
	RowsTotal     int64            `json:"rows_total"`
	RowsNullified int64            `json:"rows_nullified"`
	Batches       int64            `json:"batches"`
	WALBytes      int64            `json:"wal_bytes"`
	Rows          map[string]int64 `json:"rows"` // deleted, by schema.table; null: not asked for
}

// Database is the database, and how it grows.
type Database struct {
	Up        bool       `json:"up"`
	DownSince *time.Time `json:"down_since"`
	Error     string     `json:"error,omitempty"` // why it is not up
	Name      string     `json:"name"`
	Version   string     `json:"version"`
	SizeBytes *int64     `json:"size_bytes"` // null: no privilege
	Sizes     []Size     `json:"sizes"`      // over time, oldest first: thinned
	Tables    []Table    `json:"tables"`     // that policies touch
	Forecast  *Forecast  `json:"forecast"`   // null: no sizes were kept
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
	LoadedAt time.Time  `json:"loaded_at"`       // of what is in force
	Error    string     `json:"error,omitempty"` // why the file as it is now is not; empty: it is
	FailedAt *time.Time `json:"failed_at"`       // since when
}

// Heartbeat is one cron monitor.
type Heartbeat struct {
	Name          string     `json:"name"` // without what is secret
	LastSuccessAt *time.Time `json:"last_success_at"`
	LastError     string     `json:"last_error,omitempty"` // empty: the last ping was taken
	LastErrorAt   *time.Time `json:"last_error_at"`
}
