package web

import "time"

// Forecast extrapolates the size of the database.
type Forecast struct {
	LimitBytes     *int64     `json:"limit_bytes"`      // from the policy file; null if none
	UsedBytes      int64      `json:"used_bytes"`       // the database, and its WAL if known
	BytesPerSecond *float64   `json:"bytes_per_second"` // negative when shrinking; null if not known yet
	FullAt         *time.Time `json:"full_at"`          // at this rate; if null, see the reason
	Reason         string     `json:"reason"`
}

// Balance says whether deleting keeps up with what becomes due. Rates are of the last week,
// in rows per second of the policy's table; null if not known yet.
type Balance struct {
	Arrival  *float64 `json:"arrival_rows_per_second"`
	Due      *float64 `json:"due_rows_per_second"`
	Deletion *float64 `json:"deletion_rows_per_second"`
	// ClearSeconds is how long it takes at these rates until nothing is due; 0 if nothing is;
	// null if never or unknown, as the reason says.
	ClearSeconds *float64 `json:"clear_seconds"`
	Reason       string   `json:"reason"`
}
