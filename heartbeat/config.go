package heartbeat

import (
	"log/slog"
	"net/http"
	"time"
)

// Config is what a Client needs to know.
type Config struct {
	// Version is reaper's own, for User-Agent. Empty: dev.
	Version string
	// Logger gets one event a ping, "heartbeat" and the outcome: Debug, and Warn for what was not sent. Nil:
	// nothing is logged.
	Logger *slog.Logger
	// Observe is told once of every ping, however it ended. It is called from
	// Send too, so it must return at once, and not call the Client. Nil: nobody
	// is told.
	Observe func(Result)
	// Transport carries the requests. Nil: one of the Client's own, with the
	// proxy that the environment names.
	Transport http.RoundTripper
	// Queue is how many pings may wait for one monitor. Zero: 16.
	Queue int
}

// Outcome is what became of a ping.
type Outcome string

// The outcomes.
const (
	Sent   Outcome = "sent"
	Failed Outcome = "failed"
	// Withheld: the service has no such event, and a request that comes near it
	// would count as a sign of life.
	Withheld Outcome = "withheld"
	// Dropped: the queue was full, or the Client closed, before its turn came.
	Dropped Outcome = "dropped"
)

// Result tells how one ping ended. It holds no secret.
type Result struct {
	Event   Event
	Outcome Outcome
	Kind    Kind
	Policy  string
	RunID   string
	// Tries is how many requests were made. Zero: it never came to that.
	Tries int
	// Duration is the time from the first try to the last answer, pauses included.
	Duration time.Duration
	// At is when it ended.
	At time.Time
	// Error says why it was not sent. Empty: it was.
	Error string
}
