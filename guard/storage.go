package guard

import (
	"context"
)

// effective switches the guard off where there is nothing to hold against.
func (s Storage) effective() Signal {
	if s.Off == "" && s.Limit == 0 && s.Free == (Query{}) {
		s.Off = "no limit is given"
	}
	return s.Signal.effective()
}

// storage is the signal that the configuration asks for.
func (w *Watch) storage() signal {
	s := w.c.Storage
	if s.Free != (Query{}) {
		return freeSpace{s, w.web}
	}
	return &usedSpace{s, w.wal}
}

// usedSpace is the size of the database and of its WAL, without what of the WAL is
// there to be written again.
type usedSpace struct {
	Storage
	wal *walDirectory
}

func (s *usedSpace) read(ctx context.Context, db session) ([]measure, error) {
	used, exact, err := s.used(ctx, db)
	if err != nil {
		return nil, err
	}
	m := measure{value: float64(used), unit: Bytes, levels: s.Levels, full: float64(s.Limit), returns: true, before: "database and WAL take "}
	m.after = " of " + size(float64(s.Limit))
	if !exact {
		m.after += ", the WAL by what the server may keep of it"
	}
	return []measure{m}, nil
}

// used is what is taken, and whether the WAL was looked at.
func (s *usedSpace) used(ctx context.Context, db session) (bytes int64, exact bool, err error) {
	exact, err = s.wal.listed(ctx, db)
	if err != nil {
		return 0, false, err
	}
	sql := "SELECT pg_database_size(current_database()) + (" + walBound + ")"
	if exact {
		sql = "SELECT pg_database_size(current_database()) + (" + WALInUse + ")"
	}
	err = one(ctx, db, sql, nil, &bytes)
	if exact && s.wal.refused(err) {
		return s.used(ctx, db)
	}
	return bytes, exact, err
}

// freeSpace is what a query says is free.
type freeSpace struct {
	Storage
	web *prometheus
}

func (s freeSpace) read(ctx context.Context, db session) ([]measure, error) {
	free, err := s.Free.ask(ctx, db, s.web)
	if err != nil {
		return nil, err
	}
	return []measure{{value: free, unit: Bytes, levels: s.Levels, below: true, returns: true, after: " are free"}}, nil
}

// ahead is the reading of the storage as the next one would be, by what batches
// have written since: within an interval they may write more than is free. The next
// reading takes the state in: it is left like any other, after two readings, and not
// at the first that finds the WAL gone. w.mu is held.
func (w *Watch) ahead(r Reading) Reading {
	if r.Value == nil {
		return r
	}
	m := w.stands(r, float64(w.wrote.Load()-w.stored))
	w.raised = max(w.raised, min(m.reached(0), Pause))
	if s := w.raised; s > r.State {
		r.State, r.Share = s, m.share(s)
		r.Reason = m.words(s, 0) + ", with the WAL of batches since the last reading"
		r.Since = r.At
	}
	return r
}

// stands is the measure of a reading of the storage after so much more was written.
func (w *Watch) stands(r Reading, wrote float64) measure {
	m := measure{value: *r.Value + wrote, unit: r.Unit, levels: Levels{Slow: r.Slow, Pause: r.Pause, Stop: r.Stop}, before: "database and WAL take "}
	if m.below = w.c.Storage.Free != (Query{}); m.below {
		m.value, m.before, m.after = *r.Value-wrote, "", " are free"
	}
	return m
}

// takeRaised is the state that ahead has said since the last reading.
func (w *Watch) takeRaised() State {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.raised
	w.raised = Go
	return s
}
