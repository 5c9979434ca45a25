package web

import "time"

// Guard is one signal that says whether deleting may go on.
type Guard struct {
	Name    string     `json:"name"`
	Policy  string     `json:"policy,omitempty"` // the only one that it holds back; empty: it holds back all
	State   string     `json:"state"`            // go, slow, pause or stop
	Value   *float64   `json:"value"`            // null: unknown
	Unit    string     `json:"unit"`             // bytes, bytes_per_second, seconds, sessions, ratio; empty: a plain number
	Slow    *float64   `json:"slow"`             // from where on; null: it never slows
	Pause   *float64   `json:"pause"`
	Stop    *float64   `json:"stop"`
	Reason  string     `json:"reason,omitempty"`
	Unknown bool       `json:"unknown"` // it could not be read
	Off     bool       `json:"off"`     // the policy file has switched it off
	Since   *time.Time `json:"since"`   // of the state; null: not known
	At      *time.Time `json:"at"`      // when it was last read; null: never
}

// Pause is a pause by hand that is in force.
type Pause struct {
	Policy *string   `json:"policy"` // null: all policies
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
}
