package daemon

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
)

// errReadOnly is a server that takes no writes: a standby, or one that was told so.
var errReadOnly = errors.New("the database is read-only: a standby, or default_transaction_read_only")

// ping asks whether the database answers, on a connection that nothing else can
// keep busy for long.
func (d *Daemon) ping(ctx context.Context) {
	once, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var readOnly bool
	err := pg.Pinned(d.Control).QueryRow(once, `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'`).Scan(&readOnly)
	if err == nil && readOnly {
		err = errReadOnly
	}
	if ctx.Err() != nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if up := err == nil; up != d.database.Up || !up && d.database.DownSince == nil {
		d.database.Up, d.database.Error, d.database.DownSince = up, "", nil
		if up {
			d.Log.Info("the database answers")
		} else {
			now := time.Now()
			d.database.DownSince = &now
			d.Log.Error("the database does not answer", "error", safe(err))
		}
	}
	if err != nil {
		d.database.Error = safe(err)
	}
	d.Metrics.SetDatabaseUp(err == nil)
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
	return err.Error()
}

// trouble logs what went wrong, but for what ping says already.
func (d *Daemon) trouble(what string, err error) {
	d.mu.Lock()
	up := d.database.Up
	d.mu.Unlock()
	if up {
		d.Log.Warn("the database was asked in vain", "for", what, "error", safe(err))
	}
}
