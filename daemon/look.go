package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/reaperdb/reaper/web"
)

// Look makes the picture once, for somebody who asks without a daemon: it measures
// what is due and reads the ledger, and writes nothing. policies names those that
// are looked at; nil: all.
func Look(ctx context.Context, c Config, policies []string) (web.Status, error) {
	c.Log = slog.New(slog.DiscardHandler) // the picture says it
	c.Control, c.Guards, c.only, c.find = c.Pool, c.Pool, policies, countTimeout
	d, err := New(c)
	if err != nil {
		return web.Status{}, err
	}
	d.pulse.beat(ctx)
	missing, err := c.Ledger.NeedsMigration(ctx, c.Pool)
	if err != nil {
		return web.Status{}, err
	}
	d.control.look(!missing)
	if !missing {
		if err := d.readLedger(ctx); err != nil {
			return web.Status{}, err
		}
	}
	for _, e := range d.timetable.entries() {
		d.scans.look(ctx, e)
	}
	d.size(ctx)
	d.watching.once(ctx)
	d.paint()
	st := d.Status()
	st.Instance, st.StartedAt, st.Heartbeats = "", time.Time{}, nil // those of a daemon
	if st.Leader == "" {                                            // nobody is there to run anything
		for i := range st.Policies {
			st.Policies[i].NextRunAt = nil
		}
	}
	return st, nil
}

// readLedger reads what the ledger knows, and writes nothing there.
func (d *Daemon) readLedger(ctx context.Context) error {
	for _, read := range []func(context.Context) error{d.readPauses, d.readHolds, d.history.read, d.readScans} {
		if err := read(ctx); err != nil {
			return err
		}
	}
	holder, err := d.book.Holder(ctx)
	d.lease.look(holder)
	return err
}
