package guard

import (
	"fmt"
	"time"
)

// State is a guard's verdict, from best to worst.
type State int

// Go: full speed. Slow: smaller batches with pauses between them. Pause: wait until
// the guard recovers. Stop: end this run.
const (
	Go State = iota
	Slow
	Pause
	Stop
)

var states = [...]string{"go", "slow", "pause", "stop"}

// String returns the state's name: go, slow, pause or stop.
func (s State) String() string {
	if s < Go || s > Stop {
		return fmt.Sprintf("state %d", int(s))
	}
	return states[s]
}

// MarshalText returns the state's name.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// The units of readings. Bytes are printed in powers of 1024.
const (
	Bytes          = "bytes"
	BytesPerSecond = "bytes_per_second"
	Seconds        = "seconds"
	Sessions       = "sessions"
	Ratio          = "ratio" // of 1
	Plain          = ""
)

// Reading is the latest verdict of one guard and the numbers behind it.
type Reading struct {
	// Guard is the signal's name as in the policy file, or the name of a custom guard.
	Guard string `json:"guard"`
	// Policy is the only policy the reading applies to; empty means all.
	Policy string `json:"policy,omitempty"`
	State  State  `json:"state"`
	// Value is in Unit; nil means unknown or not applicable.
	Value *float64 `json:"value"`
	Unit  string   `json:"unit"`
	// The thresholds, in Unit; nil means none.
	Slow  *float64 `json:"slow,omitempty"`
	Pause *float64 `json:"pause,omitempty"`
	Stop  *float64 `json:"stop,omitempty"`
	// Reason is one line for people; it is empty only while State is Go.
	Reason string `json:"reason,omitempty"`
	// Unknown says why the signal could not be read; empty means it was.
	Unknown string `json:"unknown,omitempty"`
	// Off says why the signal is not watched; empty means it is.
	Off string `json:"off,omitempty"`
	// Since is when State was entered.
	Since time.Time `json:"since"`
	// At is when the signal was last read; zero means not yet, or not at all.
	At time.Time `json:"at,omitzero"`
	// Share is the fraction of the time that batches may take: above 0, and 1 when
	// State is Go.
	Share float64 `json:"share"`

	external, reclaimable bool // as in the measure
}

// Advice is the worst reading that applies to a policy.
type Advice struct {
	State State
	// Guard and Reason are empty when State is Go.
	Guard, Reason string
	Since         time.Time // when the guard's state was entered
	// Share is the fraction of the time that batches may take: above 0, at most 1.
	Share float64
	// Checkpoint reports whether a checkpoint would free what every pausing or
	// stopping guard is short of.
	Checkpoint bool
}

// Because formats the advice as the reason for a wait.
func (a Advice) Because() string { return a.Guard + ": " + a.Reason }

// Forbids reports whether no batch may begin now.
func (a Advice) Forbids() bool { return a.State >= Pause }

// ByHand is the guard name under which a manual pause is reported.
const ByHand = "by_hand"

// Archive is the guard name under which a policy's run waits for an archive that takes no copies.
const Archive = "archive"

// noThreshold is why a guard without thresholds is off.
const noThreshold = "no threshold is given"

// off returns the reading of a guard that is not watched.
func off(guard, reason string, since time.Time) Reading {
	return Reading{Guard: guard, Off: reason, Since: since, Share: 1}
}
