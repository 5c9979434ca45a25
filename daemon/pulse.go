package daemon

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
)

// errReadOnly is a server that takes no writes: a standby, or one that was told so.
var errReadOnly = errors.New("the database is read-only: a standby, or default_transaction_read_only")

// pulse is whether the database answers.
type pulse struct {
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics.Metrics
	ask     func(context.Context) error // nil: it answers, and takes writes

	mu   sync.Mutex
	last reachable
}

// reachable is what was last heard of the database.
type reachable struct {
	up    bool
	since *time.Time // when it went down; nil: it is up, or was not asked yet
	err   string     // why it is not up; empty: it is
}

func newPulse(now func() time.Time, log *slog.Logger, m *metrics.Metrics, ask func(context.Context) error) *pulse {
	return &pulse{now: now, log: log, metrics: m, ask: ask, last: reachable{err: "the database was not reached yet"}}
}

// askDatabase asks whether the database answers and takes writes, on a pool that
// nothing else can keep busy for long.
func askDatabase(pool *pgxpool.Pool) func(context.Context) error {
	return func(ctx context.Context) error {
		var readOnly bool
		err := pg.Pinned(pool).QueryRow(ctx, `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'`).Scan(&readOnly)
		if err == nil && readOnly {
			return errReadOnly
		}
		return err
	}
}

// beat asks the database.
func (p *pulse) beat(ctx context.Context) {
	once, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	err := p.ask(once)
	if ctx.Err() != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if up := err == nil; up != p.last.up || !up && p.last.since == nil {
		p.last = reachable{up: up}
		if up {
			p.log.Info("database is up")
		} else {
			now := p.now()
			p.last.since = &now
			p.log.Error("database is down", "error", safe(err))
		}
	}
	if err != nil {
		p.last.err = safe(err)
	}
	p.metrics.SetDatabaseUp(err == nil)
}

// state is what was last heard.
func (p *pulse) state() reachable {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.last
}

// up reports whether the database answered when it was last asked.
func (p *pulse) up() bool { return p.state().up }

// complain logs what went wrong, but for what beat says already.
func (p *pulse) complain(what string, err error) {
	if p.up() {
		p.log.Warn("database query failed", "for", what, "error", safe(err))
	}
}

// safe is an error's text without what is secret: pgx names hosts and users, but
// no password; a PostgreSQL error may quote rows in its detail, which is left out.
func safe(err error) string {
	var privilege *ledger.PrivilegeError
	if errors.As(err, &privilege) {
		return privilege.Error()
	}
	if refused, ok := errors.AsType[*pgconn.PgError](err); ok {
		return refused.Message + " (" + refused.Code + ")"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return pg.OneLine(err)
}

// inSeconds is a duration as logs have it.
func inSeconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
