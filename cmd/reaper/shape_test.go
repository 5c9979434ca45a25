package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/reaperdb/reaper/preview"
)

// The JSON of the contract, written a second time: no key may be missing, renamed or of another
// type. A key marked `added` came later.

type contractPurge struct {
	RunID      string                `json:"run_id"`
	Status     string                `json:"status"`
	StartedAt  time.Time             `json:"started_at"`
	FinishedAt time.Time             `json:"finished_at"`
	WALBytes   int64                 `json:"wal_bytes"`
	Policies   []contractPolicyPurge `json:"policies"`
}

type contractPolicyPurge struct {
	Name     string `json:"name"`
	Status   string `json:"status"`
	Reason   string `json:"reason"`
	Strategy string `json:"strategy"`
	Tenants  struct {
		Due     int64 `json:"due"`
		Done    int64 `json:"done"`
		Held    int64 `json:"held"`
		Forever int64 `json:"forever"`
		Skipped int64 `json:"skipped"`
		Failed  int64 `json:"failed"`
	} `json:"tenants"`
	Rows          map[string]int64 `json:"rows"`
	RowsTotal     int64            `json:"rows_total"`
	RowsNullified int64            `json:"rows_nullified"`
	KeptRows      int64            `json:"kept_rows"`
	Batches       int64            `json:"batches"`
	BatchSeconds  struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
		Max float64 `json:"max"`
	} `json:"batch_seconds"`
	Seconds       float64          `json:"seconds"`
	PausedSeconds float64          `json:"paused_seconds"`
	LagSeconds    *float64         `json:"lag_seconds"`
	BacklogRows   *int64           `json:"backlog_rows"`
	Vacuumed      []string         `json:"vacuumed"`           // added
	Partitions    []string         `json:"partitions_dropped"` // added
	Unowned       *contractUnowned `json:"unowned"`            // added
}

type contractUnowned struct {
	SampledRows int64 `json:"sampled_rows"`
	Rows        int64 `json:"rows"`
	Exact       bool  `json:"exact"`
}

type contractPlan struct {
	Policies []struct {
		Name           string           `json:"name"`
		Table          string           `json:"table"`
		Strategy       string           `json:"strategy"`
		TenantsByState map[string]int64 `json:"tenants_by_state"` // added
		Tenants        []struct {
			Key         *string    `json:"key"`
			Retention   *string    `json:"retention"`
			Cutoff      *time.Time `json:"cutoff"`
			State       string     `json:"state"`
			Floored     bool       `json:"floored"` // added
			ExpiredRows *int64     `json:"expired_rows"`
		} `json:"tenants"`
		InGrace []struct {
			At          time.Time `json:"at"`
			Tenants     int64     `json:"tenants"`
			ExpiredRows int64     `json:"expired_rows"`
		} `json:"in_grace"`
		UnownedRows *int64 `json:"unowned_rows"`
		Tables      []struct {
			Table       string   `json:"table"`
			Parent      string   `json:"parent"`
			Constraint  string   `json:"constraint"`
			Columns     []string `json:"columns"`
			OnDelete    string   `json:"on_delete"`
			Action      string   `json:"action"`
			Index       string   `json:"index"`
			ExpiredRows *int64   `json:"expired_rows"`
		} `json:"tables"`
		ExpiredRows int64             `json:"expired_rows"`
		Problems    []contractProblem `json:"problems"`
		Reason      string            `json:"reason"`             // added
		Index       string            `json:"index"`              // added
		ForeignKeys string            `json:"foreign_key_checks"` // added
		Estimated   bool              `json:"estimated"`          // added
		Storage     *preview.Storage  `json:"storage"`            // added
		Orders      []preview.Order   `json:"orders"`             // added
		Summary     string            `json:"summary"`            // added
		TenantPath  *struct {
			Columns  []string `json:"columns"`
			Inferred bool     `json:"inferred"`
		} `json:"tenant_path"` // added
		Notes []preview.Note `json:"notes"` // added
	} `json:"policies"`
}

type contractProblem struct {
	Policy string `json:"policy"`
	Level  string `json:"level"`
	Text   string `json:"text"`
	Fix    string `json:"fix"`
}

type contractCheck struct {
	OK       bool              `json:"ok"`
	Problems []contractProblem `json:"problems"`
	Notes    []preview.Note    `json:"notes"` // added
}

type contractStatus struct {
	Policies []struct {
		Name          string          `json:"name"`
		LagSeconds    *float64        `json:"lag_seconds"`
		BacklogRows   *int64          `json:"backlog_rows"`
		LastRun       *map[string]any `json:"last_run"`
		LastSuccessAt *time.Time      `json:"last_success_at"`
		NextRunAt     *time.Time      `json:"next_run_at"`
		Paused        bool            `json:"paused"`

		// All of these were added.
		Table           string           `json:"table"`
		Schedule        string           `json:"schedule"`
		OldestExpiredAt *time.Time       `json:"oldest_expired_at"`
		OverdueTenants  *int64           `json:"overdue_tenants"`
		WorstTenants    []map[string]any `json:"worst_tenants"`
		ScannedAt       *time.Time       `json:"scanned_at"`
		ScanStale       bool             `json:"scan_stale"`
		MaxLagSeconds   *float64         `json:"max_lag_seconds"`
		MaxLagAssumed   bool             `json:"max_lag_assumed"`
		Late            bool             `json:"late"`
		LateSince       *time.Time       `json:"late_since"`
		Failing         bool             `json:"failing"`
		FailingSince    *time.Time       `json:"failing_since"`
		Reason          string           `json:"reason"`
		Problem         string           `json:"problem"`
		Running         *map[string]any  `json:"running"`
		Runs            []map[string]any `json:"runs"`
		PausedUntil     *time.Time       `json:"paused_until"`
		PausedReason    string           `json:"paused_reason"`
		Balance         *map[string]any  `json:"balance"`
		Unowned         *contractUnowned `json:"unowned"`
	} `json:"policies"`
	Guards   []any          `json:"guards"`
	Database map[string]any `json:"database"`

	// And these.
	At         time.Time        `json:"at"`
	Instance   string           `json:"instance"`
	Version    string           `json:"version"`
	StartedAt  time.Time        `json:"started_at"`
	Leader     string           `json:"leader"`
	Config     map[string]any   `json:"config"`
	Heartbeats []map[string]any `json:"heartbeats"`
	Pauses     []contractPause  `json:"pauses"`
	Holds      []contractHold   `json:"holds"`

	Archive *map[string]any `json:"archive"`

	Erasures []struct {
		ID           string     `json:"id"`
		Tenant       *string    `json:"tenant"`
		Hash         string     `json:"tenant_hash"`
		Origin       string     `json:"origin"`
		By           string     `json:"by"`
		Reason       string     `json:"reason"`
		RequestedAt  time.Time  `json:"requested_at"`
		DueAt        time.Time  `json:"due_at"`
		State        string     `json:"state"`
		Note         string     `json:"note"`
		FinishedAt   *time.Time `json:"finished_at"`
		NextSweepAt  *time.Time `json:"next_sweep_at"`
		AgainAt      *time.Time `json:"again_at"`
		LeftoverRows int64      `json:"leftover_rows"`
	} `json:"erasures"`
}

type contractErasures struct {
	Erasures []struct {
		ID          string           `json:"id"`
		Tenant      *string          `json:"tenant"`
		Hash        string           `json:"tenant_hash"`
		Origin      string           `json:"origin"`
		Gone        bool             `json:"gone"`
		By          string           `json:"by"`
		Reason      string           `json:"reason"`
		RequestedAt time.Time        `json:"requested_at"`
		DueAt       time.Time        `json:"due_at"`
		State       string           `json:"state"`
		Note        string           `json:"note"`
		RunID       *string          `json:"run_id"`
		Print       *string          `json:"print"`
		BegunAt     *time.Time       `json:"begun_at"`
		FinishedAt  *time.Time       `json:"finished_at"`
		EndedBy     *string          `json:"cancelled_by"`
		RecheckedAt *time.Time       `json:"rechecked_at"`
		Remaining   *int64           `json:"remaining_rows"`
		Kept        []map[string]any `json:"kept"`
		AgainAt     *time.Time       `json:"again_at"`
		RowStays    bool             `json:"row_stays"`
		Sweeps      int              `json:"sweeps"`
		SweepAt     *time.Time       `json:"next_sweep_at"`
	} `json:"erasures"`
}

type contractHold struct {
	ID     int64      `json:"id"`
	Policy *string    `json:"policy"`
	Tenant *string    `json:"tenant"`
	Until  *time.Time `json:"until"`
	Reason string     `json:"reason"`
	By     string     `json:"by"`
	At     time.Time  `json:"at"`
	Roots  *int64     `json:"roots"`
	Root   []string   `json:"root"`
}

type contractHolds struct {
	Holds []contractHold `json:"holds"`
}

// contractPause was added with pause and resume.
type contractPause struct {
	Policy *string   `json:"policy"`
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
}

type contractPaused struct {
	Pauses []contractPause `json:"pauses"`
}

type contractResumed struct {
	Resumed int64           `json:"resumed"`
	Pauses  []contractPause `json:"pauses"`
}

var shapes = map[string]func() any{
	"purge":  func() any { return new(contractPurge) },
	"plan":   func() any { return new(contractPlan) },
	"check":  func() any { return new(contractCheck) },
	"status": func() any { return new(contractStatus) },
	"pause":  func() any { return new(contractPaused) },
	"resume": func() any { return new(contractResumed) },
	"holds":  func() any { return new(contractHolds) },

	"erasures": func() any { return new(contractErasures) },
}

// optional keys may be omitted when empty.
var optional = []string{"policy", "problem", "error", "reason", "paused_reason", "note"}

func shape(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 || shapes[args[0]] == nil {
		ts.Fatalf("usage: shape purge|plan|check|status|pause|resume|holds|erasures")
	}
	typed := shapes[args[0]]()
	document(ts, typed)
	again, err := json.Marshal(typed)
	ts.Check(err)
	var want, got any
	ts.Check(json.Unmarshal(again, &want))
	document(ts, &got)
	if missing := absent(want, got, ""); len(missing) > 0 {
		ts.Fatalf("keys of the contract are missing: %s", strings.Join(missing, ", "))
	}
}

// absent lists the keys of want that got does not have.
func absent(want, got any, at string) (missing []string) {
	switch w := want.(type) {
	case map[string]any:
		g, _ := got.(map[string]any)
		for k, v := range w {
			if x, ok := g[k]; ok {
				missing = append(missing, absent(v, x, at+"."+k)...)
			} else if !slices.Contains(optional, k) {
				missing = append(missing, at+"."+k)
			}
		}
	case []any:
		g, _ := got.([]any)
		for i := range w {
			missing = append(missing, absent(w[i], g[i], fmt.Sprintf("%s[%d]", at, i))...)
		}
	}
	return missing
}
