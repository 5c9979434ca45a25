package guard

import (
	"context"
	"errors"
	"time"
)

// latency is how long a statement takes that has nothing to do.
type latency struct{ levels Levels }

// probeSlack is how much longer than its highest threshold a probe may take.
const probeSlack = 100 * time.Millisecond

// probeTime is how long the probe may take: longer than its highest threshold, so
// that this can be reached.
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
	m := measure{value: took, unit: Seconds, levels: s.levels, before: "a statement that does nothing takes "}
	// One that was cut off has taken that long; how much longer, nobody knows.
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
