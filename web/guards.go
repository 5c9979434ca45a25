package web

import "time"

// Guard is one signal that decides whether deleting may continue.
type Guard struct {
	Name    string     `json:"name"`
	Policy  string     `json:"policy,omitempty"` // the only one it applies to; empty if it applies to all
	State   string     `json:"state"`            // go, slow, pause or stop
	Value   *float64   `json:"value"`            // null if unknown
	Unit    string     `json:"unit"`             // bytes, bytes_per_second, seconds, sessions, ratio; empty for a plain number
	Slow    *float64   `json:"slow"`             // threshold; null if it never slows
	Pause   *float64   `json:"pause"`
	Stop    *float64   `json:"stop"`
	Reason  string     `json:"reason,omitempty"`
	Unknown bool       `json:"unknown"` // the signal could not be read
	Off     bool       `json:"off"`     // turned off in the policy file
	Since   *time.Time `json:"since"`   // of the state; null if unknown
	At      *time.Time `json:"at"`      // when it was last read; null if never
}

// Pause is a manual pause in effect.
type Pause struct {
	Policy *string   `json:"policy"` // null means all policies
	Until  time.Time `json:"until"`
	Reason string    `json:"reason"`
	By     string    `json:"by"`
	Since  time.Time `json:"since"`
}
