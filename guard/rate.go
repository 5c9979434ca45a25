package guard

import (
	"context"
	"time"
)

// walRate is the rate at which WAL is written, over the last few readings.
type walRate struct {
	levels Levels
	what   string
	own    bool // only reaper's own WAL
	// position returns the bytes written so far.
	position func(ctx context.Context, db session) (int64, error)
	points   []point
}

type point struct {
	at    time.Time
	bytes int64
}

// rateReadings is the number of readings that the rate spans, so that a short peak is
// soon forgotten.
const rateReadings = 4

func (w *Watch) walRate() *walRate {
	r := &walRate{levels: w.c.WALRate.Levels, what: "the server writes "}
	r.position = func(ctx context.Context, db session) (at int64, err error) {
		err = queryOne(ctx, db, `SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint`, nil, &at)
		return at, err
	}
	if w.c.WALRate.Own {
		r.own, r.what = true, "reaper writes "
		r.position = func(context.Context, session) (int64, error) { return w.wrote.Load(), nil }
	}
	return r
}

// forget drops WAL positions of another server. What reaper itself has written stays
// valid.
func (r *walRate) forget() {
	if !r.own {
		r.points = nil
	}
}

func (r *walRate) read(ctx context.Context, db session) ([]measure, error) {
	bytes, err := r.position(ctx, db)
	if err != nil {
		return nil, err
	}
	return r.add(point{time.Now(), bytes}), nil
}

// add applies a reading. There is no rate after the first one, or after the position
// went backwards.
func (r *walRate) add(p point) []measure {
	if n := len(r.points); n > 0 && p.bytes < r.points[n-1].bytes {
		r.points = nil
	}
	r.points = append(r.points, p)
	if n := len(r.points); n > rateReadings {
		r.points = r.points[n-rateReadings:]
	}
	first := r.points[0]
	passed := p.at.Sub(first.at).Seconds()
	if passed <= 0 {
		return nil
	}
	return []measure{{value: float64(p.bytes-first.bytes) / passed, unit: BytesPerSecond, levels: r.levels, before: r.what, after: " of WAL"}}
}
