// Package guard says whether rows may be deleted now, and if not, why. A Watch
// reads signals of the database every few seconds, on one connection beside the
// batches, and answers from memory.
package guard

import (
	"fmt"
	"time"
)

// State is what a guard says, the worse the greater.
type State int

// The states: on; with pauses between smaller batches; not before it is better;
// not in this run any more.
const (
	Go State = iota
	Slow
	Pause
	Stop
)

var states = [...]string{"go", "slow", "pause", "stop"}

// String is the state's word: go, slow, pause, stop.
func (s State) String() string {
	if s < Go || s > Stop {
		return fmt.Sprintf("state %d", int(s))
	}
	return states[s]
}

// MarshalText writes the state's word.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// The units of readings. Bytes are powers of 1024 where they are printed.
const (
	Bytes          = "bytes"
	BytesPerSecond = "bytes_per_second"
	Seconds        = "seconds"
	Sessions       = "sessions"
	Ratio          = "ratio" // of 1
	Plain          = ""
)

// Reading is what one guard says, and from what.
type Reading struct {
	// Guard is the signal's name, as in the policy file, or that of a custom one.
	Guard string `json:"guard"`
	// Policy is the only policy that it counts for; empty: it counts for all.
	Policy string `json:"policy,omitempty"`
	State  State  `json:"state"`
	// Value is in Unit; nil: it is unknown, or there is none.
	Value *float64 `json:"value"`
	Unit  string   `json:"unit"`
	// The thresholds, in Unit; nil: there is none.
	Slow  *float64 `json:"slow,omitempty"`
	Pause *float64 `json:"pause,omitempty"`
	Stop  *float64 `json:"stop,omitempty"`
	// Reason is one line for people; empty only while State is Go.
	Reason string `json:"reason,omitempty"`
	// Unknown says why the signal could not be read; empty: it could.
	Unknown string `json:"unknown,omitempty"`
	// Off says why the signal is not watched; empty: it is.
	Off string `json:"off,omitempty"`
	// Since is when State was entered.
	Since time.Time `json:"since"`
	// At is when the signal was last read; zero: it was not, or is not to be.
	At time.Time `json:"at,omitzero"`
	// Share is the share of the time that batches may take: above 0, and 1 when
	// State is Go.
	Share float64 `json:"share"`

	somebody, returns bool // as in the measure
}

// Advice is the worst of the readings that count for a policy.
type Advice struct {
	State State
	// Guard and Reason are empty when State is Go.
	Guard, Reason string
	Since         time.Time // when the guard's state was entered
	// Share is the share of the time that batches may take: above 0, at most 1.
	Share float64
	// Checkpoint tells that a checkpoint would give back what every guard that says
	// pause or stop misses.
	Checkpoint bool
}

// Because is the advice as a reason for not going on.
func (a Advice) Because() string { return a.Guard + ": " + a.Reason }

// Forbids reports whether nothing may begin now.
func (a Advice) Forbids() bool { return a.State >= Pause }

// ByHand names the guard that a person's pause is.
const ByHand = "by_hand"

// unwatched says why a guard is off that has no threshold.
const unwatched = "no threshold is given"

// off is the reading of a guard that is not watched.
func off(guard, why string, since time.Time) Reading {
	return Reading{Guard: guard, Off: why, Since: since, Share: 1}
}
