package web

import "time"

// Forecast is where the size of the database leads.
type Forecast struct {
	LimitBytes     *int64     `json:"limit_bytes"`      // of the policy file; null: none
	UsedBytes      int64      `json:"used_bytes"`       // the database, and its WAL where that is known
	BytesPerSecond *float64   `json:"bytes_per_second"` // below 0: it shrinks; null: not known yet
	FullAt         *time.Time `json:"full_at"`          // at this rate; null: see the reason
	Reason         string     `json:"reason"`
}

// Balance is whether deleting keeps up with what becomes due. Rates are of the last
// week, in rows a second of the policy's table; null: not known yet.
type Balance struct {
	Arrival  *float64 `json:"arrival_rows_per_second"`
	Due      *float64 `json:"due_rows_per_second"`
	Deletion *float64 `json:"deletion_rows_per_second"`
	// ClearSeconds is how long it takes at these rates until nothing is due; 0:
	// nothing is; null: never, or not known, as the reason says.
	ClearSeconds *float64 `json:"clear_seconds"`
	Reason       string   `json:"reason"`
}
