package guard

import (
	"context"
)

// checkpoints is the WAL since the redo point, as a share of max_wal_size. Checkpoints
// that keep up hold it below 1.
type checkpoints struct{ levels Levels }

const checkpointSQL = `SELECT (pg_current_wal_insert_lsn() - redo_lsn)::float8, pg_size_bytes(current_setting('max_wal_size'))::float8
FROM pg_control_checkpoint()`

func (s checkpoints) read(ctx context.Context, db session) ([]measure, error) {
	var since, most float64
	if err := queryOne(ctx, db, checkpointSQL, nil, &since, &most); err != nil {
		return nil, err
	}
	return []measure{{
		value: since / most, unit: Ratio, levels: s.levels,
		before: "the WAL since the last checkpoint is ", after: " of max_wal_size",
	}}, nil
}
