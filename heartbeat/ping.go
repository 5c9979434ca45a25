package heartbeat

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Event is what a ping says.
type Event string

// The events. A run that ended incomplete, or was refused, is a Fail: its
// Ping.Status and Ping.Reason tell which.
const (
	Start   Event = "start"
	Success Event = "success"
	Fail    Event = "fail"
	// Log says something without a verdict: a guard has paused the run.
	Log Event = "log"
)

// final events are a run's verdict.
func (e Event) final() bool { return e == Success || e == Fail }

// Ping is one word to a monitor. Templates of a generic monitor see its fields
// and exported methods.
type Ping struct {
	Event Event
	// RunID is the run's UUID; where a service matches start and end, it does
	// so by this. Empty, or anything else than a UUID: it is left out there.
	RunID string
	// Policy names the policy; empty: the ping is about the process as a whole.
	Policy string
	// Status is how the run ended: complete, incomplete, refused, failed. Empty:
	// it has not ended, or nobody knows.
	Status string
	// Reason says in words why it is not a success. It leaves the house: no row
	// data, no secrets. Empty: none.
	Reason string
	// ExitStatus is that of `reaper purge` for such an end, 1 to 255. Zero: not
	// known. It is sent with Fail alone.
	ExitStatus int
	// Rows is how many rows were deleted, over all tables.
	Rows int64
	// Tables is the same by table; nil: not told.
	Tables map[string]int64
	// Batches is how many batches were committed.
	Batches int64
	// Duration is how long the run took. Zero: not known.
	Duration time.Duration
}

// Seconds is the duration in seconds, for templates.
func (p Ping) Seconds() float64 { return p.Duration.Seconds() }

// Summary is the ping in one line: policy, end, reason and counts.
func (p Ping) Summary() string {
	var b strings.Builder
	if p.Policy != "" {
		b.WriteString(p.Policy + ": ")
	}
	b.WriteString(p.word())
	if p.Reason != "" {
		b.WriteString(": " + p.Reason)
	}
	if p.Event.final() && !p.ofNoRun() {
		fmt.Fprintf(&b, " (%d rows, %d batches", p.Rows, p.Batches)
		if p.Duration > 0 {
			fmt.Fprintf(&b, ", %s", p.Duration.Round(time.Millisecond))
		}
		b.WriteString(")")
	}
	return strings.ToValidUTF8(b.String(), "\uFFFD")
}

// ofNoRun reports whether the ping is about the process, and not about a run.
func (p Ping) ofNoRun() bool {
	return p.Policy == "" && p.RunID == "" && p.Status == "" && p.Duration == 0
}

func (p Ping) word() string {
	switch p.Event {
	case Start:
		return "started"
	case Log:
		if p.ofNoRun() {
			return "note"
		}
		return "running"
	case Fail:
		// A complete run fails too, by a lag above its limit.
		if p.Status == "" || p.Status == complete {
			return "failed"
		}
		return p.Status
	}
	return complete
}

// reportLimit is what Healthchecks keeps of a body where its server was set up
// without a thought; healthchecks.io itself keeps 100 kB.
// https://healthchecks.io/docs/attaching_logs/
const reportLimit = 10_000

// report is the ping in several lines, for services that keep a body.
func (p Ping) report() string {
	var b strings.Builder
	b.WriteString(p.Summary() + "\n")
	if p.RunID != "" {
		fmt.Fprintf(&b, "run %s\n", p.RunID)
	}
	for table, rows := range sorted(p.Tables) {
		fmt.Fprintf(&b, "%s: %d rows\n", table, rows)
	}
	return cut(strings.ToValidUTF8(b.String(), "\uFFFD"), reportLimit)
}

// cut shortens a valid text to at most limit bytes, at the border of a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
