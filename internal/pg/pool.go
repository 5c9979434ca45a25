package pg

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DefaultConnections is the default number of connections that delete at a time.
const DefaultConnections = 2

// maxIdleUnchecked is how long a connection may be idle before it is pinged on use: a role's
// idle_session_timeout, or a pooler, may have closed it.
const maxIdleUnchecked = 10 * time.Millisecond

// PoolConfig returns a pool configuration for a connection string: few connections, and a protocol
// without prepared statements, so that it works with PgBouncer in transaction mode. The pool has
// one connection more than delete, for heartbeats and for reads beside the batches.
func PoolConfig(dsn string) (*pgxpool.Config, error) {
	c, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	c.ConnConfig.DialFunc = dialer().DialContext
	c.ConnConfig.StatementCacheCapacity = 0
	c.ConnConfig.DescriptionCacheCapacity = 0
	if c.ConnConfig.RuntimeParams["application_name"] == "" {
		c.ConnConfig.RuntimeParams["application_name"] = "reaper"
	}
	if c.ConnConfig.ConnectTimeout == 0 {
		c.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	c.ShouldPing = func(_ context.Context, p pgxpool.ShouldPingParams) bool { return p.IdleDuration > maxIdleUnchecked }
	c.MaxConns, c.MinConns = DefaultConnections+1, 0
	return c, nil
}
