package guard

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// latency is how long a statement takes that has nothing to do.
type latency struct {
	levels  Levels
	timeout time.Duration // of waiting for a connection
}

// probeTime is how long the probe may take: as long as its highest threshold, so
// that this can be reached.
func probeTime(c Config) time.Duration {
	if c.Shared {
		return c.Timeout
	}
	longest := c.Timeout
	for _, at := range []*float64{c.Latency.Slow, c.Latency.Pause, c.Latency.Stop} {
		if at != nil {
			longest = max(longest, time.Duration(*at*float64(time.Second)))
		}
	}
	return longest
}

func (s latency) read(ctx context.Context, db *pgxpool.Pool) ([]measure, error) {
	first, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	conn, err := db.Acquire(first)
	if err != nil {
		return nil, err
	}
	defer conn.Release()
	began := time.Now()
	_, err = conn.Exec(ctx, "SELECT 1")
	took := time.Since(began).Seconds()
	m := measure{value: took, unit: Seconds, levels: s.levels, before: "a statement that does nothing takes "}
	// One that was cut off at a threshold has reached it.
	if err != nil && (!errors.Is(err, context.DeadlineExceeded) || m.reached(0) == Go) {
		return nil, err
	}
	return []measure{m}, nil
}
