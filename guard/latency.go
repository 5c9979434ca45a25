package guard

import (
	"context"
	"errors"
	"time"
)

// latency is how long a no-op statement takes.
type latency struct{ levels Levels }

// probeSlack is how far beyond its highest threshold a probe may run.
const probeSlack = 100 * time.Millisecond

// probeTime is the timeout of the probe: longer than its highest threshold, so that
// the threshold can be reached.
func probeTime(c Config) time.Duration {
	if c.Shared {
		return c.Timeout
	}
	longest := c.Timeout
	for _, at := range []*float64{c.Latency.Slow, c.Latency.Pause, c.Latency.Stop} {
		if at != nil {
			longest = max(longest, time.Duration(*at*float64(time.Second))+probeSlack)
		}
	}
	return longest
}

func (s latency) read(ctx context.Context, db session) ([]measure, error) {
	began := time.Now()
	_, err := db.Exec(ctx, "SELECT 1")
	took := time.Since(began).Seconds()
	m := measure{value: took, unit: Seconds, levels: s.levels, before: "a no-op statement takes "}
	// A probe that was cut off took at least this long; its real latency is unknown.
	switch {
	case err == nil:
	case errors.Is(err, context.DeadlineExceeded) && m.reached(0) == s.levels.worst():
	case errors.Is(err, context.DeadlineExceeded):
		return []measure{m}, err
	default:
		return nil, err
	}
	return []measure{m}, nil
}
