package guard_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pg"
)

// statements counts the statements sent, alone or in a batch, without those that only
// delimit a transaction.
type statements struct {
	mu   sync.Mutex
	sent map[string]int
}

func (s *statements) count(sql string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch word, _, _ := strings.Cut(sql, " "); {
	case word == "begin", word == "SET", word == "rollback", sql == pg.Pin:
	default:
		s.sent[sql]++
	}
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	s.count(data.SQL)
	return ctx
}

func (s *statements) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

func (s *statements) TraceBatchQuery(_ context.Context, _ *pgx.Conn, data pgx.TraceBatchQueryData) {
	s.count(data.SQL)
}

func (*statements) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

func (*statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// A round costs one statement per signal, one more for each of the three that identify
// the server, and now and then another.
func TestStatements(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, queueTable+"; CREATE TABLE t(id int)")
	c := queue(levels(none, 100, none), false)
	c.Storage = guard.Storage{Signal: levels(none, 1<<50, none), Limit: 1 << 50}
	c.WALBacklog, c.WALRate.Signal = levels(none, 1<<50, none), levels(none, 1<<50, none)
	c.ReplicaLag.Signal, c.Connections, c.LockWaits = levels(none, 60, none), levels(none, 1, none), levels(none, 3, none)
	c.OldestTransaction, c.DeadRows.Signal, c.Latency = levels(none, 7200, none), levels(none, 0.5, none), levels(none, 5, none)
	c.Checkpoint = levels(none, 1000, none)
	s := &statements{sent: map[string]int{}}
	w := guard.New(quick(c), db.Pool(t, control, func(c *pgxpool.Config) { c.ConnConfig.Tracer = s }), nil)
	w.Touch([]uint32{uint32(db.Int(t, "SELECT 't'::regclass::oid::int"))})
	finished := 0
	changed := w.Changed()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	for finished < 5 {
		<-changed
		changed = w.Changed()
		finished++
	}
	cancel()
	<-done
	s.mu.Lock()
	defer s.mu.Unlock()
	often := 0
	for sql, n := range s.sent {
		if n == 1 && strings.Contains(sql, "has_function_privilege") {
			continue
		}
		often++
		if strings.Contains(sql, "pg_control_system") {
			n /= 3
		}
		if n < finished {
			t.Errorf("sent %d times in %d rounds or more: %s", n, finished, sql)
		}
	}
	if signals := 11; often != signals+1 {
		t.Errorf("%d statements in a round, want one for each of %d signals and one for the server: %v", often, signals, s.sent)
	}
}
