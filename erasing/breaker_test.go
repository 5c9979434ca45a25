package erasing_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// breaker breaks a run at its n-th statement: it cancels the run's context, or ends the session that
// is about to send it.
type breaker struct {
	t      testing.TB
	n      int64
	kind   string
	cancel context.CancelFunc
	admin  *dbtest.DB
	seen   atomic.Int64
}

// TraceQueryStart implements pgx.QueryTracer.
func (x *breaker) TraceQueryStart(ctx context.Context, conn *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	x.at(conn, d.SQL)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (x *breaker) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (x *breaker) at(conn *pgx.Conn, sql string) {
	if strings.HasPrefix(sql, "rollback") || x.seen.Add(1) != x.n {
		return
	}
	if x.kind == "cancel" {
		x.cancel()
		return
	}
	x.admin.Exec(x.t, `SELECT pg_terminate_backend($1, 5000)`, int(conn.PgConn().PID()))
}

// traced is a pool whose statements a breaker sees.
func (b *fixture) traced(x *breaker) *pgxpool.Pool {
	return b.DB.Pool(b.t, func(c *pgxpool.Config) {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
		c.ConnConfig.Tracer = x
		c.MaxConns = 4
	})
}
