package guard

import (
	"context"
)

// effective turns the guard off where there is no limit to compare with.
func (s Storage) effective() Signal {
	if s.Off == "" && s.Limit == 0 && s.Free == (Query{}) {
		s.Off = "no limit is given"
	}
	return s.Signal.effective()
}

// storage returns the signal that the configuration asks for.
func (w *Watch) storage() signal {
	s := w.c.Storage
	if s.Free != (Query{}) {
		return freeSpace{s, w.web}
	}
	return &usedSpace{s, w.wal}
}

// usedSpace is the size of the database and of its WAL, without recycled segments.
type usedSpace struct {
	Storage
	wal *walDirectory
}

func (s *usedSpace) read(ctx context.Context, db session) ([]measure, error) {
	used, exact, err := s.used(ctx, db)
	if err != nil {
		return nil, err
	}
	m := measure{value: float64(used), unit: Bytes, levels: s.Levels, ceiling: float64(s.Limit), reclaimable: true, before: "database and WAL take "}
	m.after = " of " + size(float64(s.Limit))
	if !exact {
		m.after += ", with an upper bound for the WAL"
	}
	return []measure{m}, nil
}

// used returns the bytes in use, and whether the WAL was measured rather than bounded.
func (s *usedSpace) used(ctx context.Context, db session) (bytes int64, exact bool, err error) {
	exact, err = s.wal.listed(ctx, db)
	if err != nil {
		return 0, false, err
	}
	sql := "SELECT pg_database_size(current_database()) + (" + walBound + ")"
	if exact {
		sql = "SELECT pg_database_size(current_database()) + (" + WALInUse + ")"
	}
	err = queryOne(ctx, db, sql, nil, &bytes)
	if exact && s.wal.refused(err) {
		return s.used(ctx, db)
	}
	return bytes, exact, err
}

// freeSpace is the free space according to a query.
type freeSpace struct {
	Storage
	web *prometheus
}

func (s freeSpace) read(ctx context.Context, db session) ([]measure, error) {
	free, err := s.Free.ask(ctx, db, s.web)
	if err != nil {
		return nil, err
	}
	return []measure{{value: free, unit: Bytes, levels: s.Levels, below: true, reclaimable: true, after: " are free"}}, nil
}

// project projects the reading of the storage to the next one, adding what batches have
// written since: within one interval they may write more than is free. The next
// reading adopts the state, so it ends like any other, after two good readings, and not
// as soon as one finds the WAL gone. The caller holds w.mu.
func (w *Watch) project(r Reading) Reading {
	if r.Value == nil {
		return r
	}
	m := w.projectedMeasure(r, float64(w.wrote.Load()-w.wroteAtReading))
	w.projected = max(w.projected, min(m.reached(0), Pause))
	if s := w.projected; s > r.State {
		r.State, r.Share = s, m.share(s)
		r.Reason = m.words(s, 0) + ", including WAL written by batches since the last reading"
		r.Since = r.At
	}
	return r
}

// projectedMeasure returns the measure of a storage reading after more bytes were written.
func (w *Watch) projectedMeasure(r Reading, wrote float64) measure {
	m := measure{value: *r.Value + wrote, unit: r.Unit, levels: Levels{Slow: r.Slow, Pause: r.Pause, Stop: r.Stop}, before: "database and WAL take "}
	if m.below = w.c.Storage.Free != (Query{}); m.below {
		m.value, m.before, m.after = *r.Value-wrote, "", " are free"
	}
	return m
}

// takeProjected returns and clears the state that project has found since the last
// reading.
func (w *Watch) takeProjected() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.projected
	w.projected = Go
	return s
}
