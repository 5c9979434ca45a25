package daemon

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/ledger"
)

// presences say that a process with claims is there. A book does.
type presences interface {
	Present(ctx context.Context) error
	Leave(ctx context.Context) error
}

// presence is this process's sign of life, while it runs something: when it is missing,
// others take over what this one has claimed.
type presence struct {
	ledger   presences
	running  func() bool
	complain func(what string, err error)

	mu     sync.Mutex
	silent bool // the last sign was not taken
}

func newPresence(l presences, running func() bool, complain func(what string, err error)) *presence {
	return &presence{ledger: l, running: running, complain: complain}
}

// beat gives a sign of life.
func (p *presence) beat(ctx context.Context) {
	if !p.running() {
		return
	}
	once, cancel := context.WithTimeout(ctx, 2*ledger.PresenceEvery)
	defer cancel()
	err := p.ledger.Present(once)
	if ctx.Err() != nil {
		return
	}
	if news := p.heard(err != nil); news && err != nil {
		p.complain("the sign of life of this process", err)
	}
}

// heard notes whether a sign was not taken, and reports whether that is news.
func (p *presence) heard(silent bool) (news bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	news = p.silent != silent
	p.silent = silent
	return news
}

// signOfLife says in the ledger that this process is there and that the database is the one that it
// was, unless the latch has something against it. So a failover is told from a restore even if
// nothing runs.
func (d *Daemon) signOfLife(ctx context.Context) error {
	if d.Observe {
		return nil
	}
	found, err := d.gates(d.Control).Alive(ctx)
	if err != nil {
		return err
	}
	if before := d.database.Swap(&found.Text); found.Text != "" && (before == nil || *before != found.Text) {
		d.Log.Warn("every policy waits for approval", "reason", found.Text, "fix", gate.FixDatabase)
	}
	return nil
}

// gates are those of this process's runs.
func (d *Daemon) gates(pool *pgxpool.Pool) *gate.Gates {
	return &gate.Gates{Pool: pool, Ledger: d.Ledger, Log: d.Log}
}
