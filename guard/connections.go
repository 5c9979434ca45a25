package guard

import (
	"context"
	"strconv"
)

// connections is the share in use of the connections available to ordinary roles.
type connections struct{ levels Levels }

const connectionsSQL = `SELECT sum(numbackends)::int,
	current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - coalesce(current_setting('reserved_connections', true)::int, 0)
FROM pg_stat_database`

func (s connections) read(ctx context.Context, db session) ([]measure, error) {
	var used, there int
	if err := queryOne(ctx, db, connectionsSQL, nil, &used, &there); err != nil {
		return nil, err
	}
	return []measure{{
		value: float64(used) / float64(max(there, 1)), unit: Ratio, levels: s.levels,
		after: " of the " + strconv.Itoa(there) + " connections are in use",
	}}, nil
}
