package daemon

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/web"
)

// Look makes the picture once, for somebody who asks: it reads the ledger, measures what is
// due, but for what a daemon has just measured, and writes nothing. policies names those that
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
	d.measure(ctx, d.unmeasured(time.Now()))
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
	for _, read := range []func(context.Context) error{d.readPauses, d.readHolds, d.readErasures, d.history.read, d.readScans, d.readCopies} {
		if err := read(ctx); err != nil {
			return err
		}
	}
	holder, err := d.book.Holder(ctx)
	d.lease.look(holder)
	return err
}

// unmeasured are the policies whose lag no daemon keeps up to date.
func (d *Daemon) unmeasured(now time.Time) []entry {
	return slices.DeleteFunc(d.timetable.entries(), func(e entry) bool {
		scan := d.scans.of(e.name()).scan
		return d.lease.leader() != "" && scan != nil && !stale(scan, now, d.ScanEvery)
	})
}

// measure measures what is due of policies, over all connections. Each plans its share of the
// policies at once, since they have much of the catalog in common.
func (d *Daemon) measure(ctx context.Context, entries []entry) {
	if len(entries) == 0 {
		return
	}
	var working sync.WaitGroup
	connections := max(d.Connections, 1)
	for share := range slices.Chunk(entries, (len(entries)+connections-1)/connections) {
		working.Go(func() { d.measureShare(ctx, share) })
	}
	working.Wait()
}

func (d *Daemon) measureShare(ctx context.Context, entries []entry) {
	plans, server, err := compileAll(ctx, d.Pool, d.Ledger, entries[0].file, namesOf(entries))
	for _, e := range entries {
		i := slices.IndexFunc(plans, func(p *plan.Plan) bool { return p.Policy.Name == e.name() })
		switch {
		case err != nil:
			d.scans.look(ctx, e, nil, err)
		case i < 0:
			d.scans.look(ctx, e, nil, usable(nil, server, forMeasuring))
		default:
			d.scans.look(ctx, e, plans[i], usable(plans[i:i+1], server, forMeasuring))
		}
	}
}
