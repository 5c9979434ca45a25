package heartbeat

import (
	"log/slog"
	"time"
)

// Status is how a monitor is being reached, for a page. It holds no secret.
type Status struct {
	// Monitor is the redacted URL.
	Monitor string
	Kind    Kind
	// LastSent is when a ping of any event last got through, LastSuccess when a
	// success did. Zero: not since the process began.
	LastSent, LastSuccess time.Time
	// LastError is that of the last ping that did not get through, and stays when
	// later ones do; LastErrorAt is when. Empty and zero: none.
	LastError   string
	LastErrorAt time.Time
	// Queued is how many pings wait, the one under way not counted.
	Queued int
	// Dropped is how many never had their turn.
	Dropped int
}

// Status tells of one monitor.
func (c *Client) Status(m Monitor) Status {
	if m.IsZero() {
		return Status{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.line(m)
	s := l.status
	s.Monitor, s.Kind, s.Queued = m.String(), m.Kind(), len(l.queue)
	return s
}

// delivery is how a ping ended; the zero one was sent.
type delivery struct {
	tries    int
	took     time.Duration
	withheld bool
	dropped  bool
	err      error
}

func (d delivery) outcome() (Outcome, string) {
	switch {
	case d.withheld:
		return Withheld, "the service has no such event"
	case d.dropped:
		return Dropped, "there was no time or place left for it"
	case d.err != nil:
		return Failed, d.err.Error()
	}
	return Sent, ""
}

// finish notes, logs and tells how a ping ended.
func (c *Client) finish(m Monitor, p Ping, d delivery) {
	r := Result{Event: p.Event, Kind: m.kind, Policy: p.Policy, RunID: p.RunID, Tries: d.tries, Duration: d.took, At: time.Now()}
	r.Outcome, r.Error = d.outcome()
	c.note(m, r)
	c.report(m, r)
	if c.observe != nil {
		c.observe(r)
	}
}

func (c *Client) note(m Monitor, r Result) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.line(m).status
	switch r.Outcome {
	case Sent:
		s.LastSent = r.At
		if r.Event == Success {
			s.LastSuccess = r.At
		}
	case Failed:
		s.LastError, s.LastErrorAt = r.Error, r.At
	case Dropped:
		s.Dropped++
	case Withheld:
	}
}

func (c *Client) report(m Monitor, r Result) {
	attrs := []slog.Attr{
		slog.String("event", string(r.Event)),
		slog.String("kind", string(r.Kind)), slog.String("monitor", m.String()),
		slog.String("policy", r.Policy), slog.String("run_id", r.RunID),
		slog.Int("tries", r.Tries), slog.Float64("duration_seconds", float64(r.Duration.Milliseconds())/1000),
	}
	if r.Error != "" {
		attrs = append(attrs, slog.String("error", r.Error))
	}
	switch r.Outcome {
	case Failed:
		c.log.LogAttrs(c.ctx, slog.LevelWarn, "heartbeat failed", attrs...)
	case Dropped:
		c.log.LogAttrs(c.ctx, slog.LevelWarn, "heartbeat dropped", attrs...)
	case Withheld:
		c.log.LogAttrs(c.ctx, slog.LevelDebug, "heartbeat withheld", attrs...)
	case Sent:
		c.log.LogAttrs(c.ctx, slog.LevelDebug, "heartbeat sent", attrs...)
	}
}
