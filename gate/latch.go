package gate

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize/english"

	"github.com/reaperdb/reaper/ledger"
)

// Database is what the latch says of the database that answers.
type Database struct {
	Text string // why every policy waits; empty: none does
	here ledger.Identity
}

// Warning is what a run would be refused with; empty: nothing.
func (d *Database) Warning() string {
	if d.Text == "" {
		return ""
	}
	return fmt.Sprintf("%s (%s): %s", Waiting, Latch, d.Text)
}

// LookAtDatabase asks the latch alone. It writes nothing, and the ledger need not exist.
func (g *Gates) LookAtDatabase(ctx context.Context) (*Database, error) { return g.database(ctx, false) }

// Alive is a sign of life of this process, unless the latch speaks. It takes over a failover that
// this process has lived through.
func (g *Gates) Alive(ctx context.Context) (*Database, error) { return g.database(ctx, true) }

// recently is how old a look at the database may be when a policy's run begins: each of its batches
// compares the timeline anyway.
const recently = 5 * time.Second

// recent is Alive, once for runs that begin within a moment.
func (g *Gates) recent(ctx context.Context) (*Database, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.passed != nil && time.Since(g.at) < recently {
		return g.passed, nil
	}
	d, err := g.Alive(ctx)
	if g.passed = nil; err == nil && d.Text == "" {
		g.passed, g.at = d, time.Now()
	}
	return d, err
}

// ApproveDatabase lets the runs of all policies go on that the latch refuses, for a length of time
// (text of an interval).
func (g *Gates) ApproveDatabase(ctx context.Context, d *Database, length, reason, by string) error {
	return g.Ledger.ApproveDatabase(ctx, g.Pool, d.here, Latch, length, reason, by)
}

// database compares the database with the one that the ledger belongs to. With alive, it
// becomes that one if nothing is against it, and this process gives a sign of life.
func (g *Gates) database(ctx context.Context, alive bool) (*Database, error) {
	look := g.Ledger.Sight
	if alive {
		look = g.Ledger.Alive
	}
	s, err := look(ctx, g.Pool)
	if err != nil {
		return nil, err
	}
	d := &Database{here: s.Here}
	switch {
	case s.Here.Database == "": // there is no ledger yet
	case s.Known == nil, !s.Same() && harmless(s):
		if alive {
			err = g.settle(ctx, s)
		}
	case !s.Same():
		d.Text = elsewhere(s, ledger.Addresses(g.Pool))
	}
	return d, err
}

// settle makes the database the one that the ledger belongs to, with a first sign of life.
func (g *Gates) settle(ctx context.Context, s *ledger.Sighting) error {
	if s.Known != nil {
		g.Log.Info("database changed; going on", "approved", s.Approved, "timeline", s.Here.Timeline, "before", s.Known.Timeline)
	}
	if err := g.Ledger.Settle(ctx, g.Pool, s); err != nil {
		return err
	}
	_, err := g.Ledger.Alive(ctx, g.Pool)
	return err
}

// harmless reports whether a person has approved the database, or it is a failover: this process
// was there before, and what it was told is committed has not been undone.
func harmless(s *ledger.Sighting) bool {
	return s.Approved || s.Found && s.OtherTimeline && !s.OtherSystem && !s.OtherDatabase && !s.NewAddress
}

// elsewhere says what differs.
func elsewhere(s *ledger.Sighting, addresses []string) string {
	const usual = "; pg_upgrade and a blue/green switch do that, and so do a restored dump and a copy"
	var why []string
	switch {
	case s.OtherSystem:
		why = append(why, fmt.Sprintf("the server's system identifier is %s and was %s%s", s.Here.System, s.Known.System, usual))
	case s.OtherDatabase:
		why = append(why, fmt.Sprintf("the database's OID is %s and was %s%s", s.Here.Database, s.Known.Database, usual))
	case s.OtherTimeline:
		why = append(why, fmt.Sprintf("WAL is written in timeline %s and was in %s: the server was restored to an earlier time, perhaps to undo a purge, or a standby was promoted while no process of reaper was there to tell the difference",
			timeline(s.Here.Timeline), timeline(s.Known.Timeline)))
	}
	if s.NewAddress {
		why = append(why, fmt.Sprintf("it is reached at %s for the first time (before: %s), and the last sign of life is %s old: it may be a copy",
			strings.Join(addresses, ", "), strings.Join(shown(s.Addresses), ", "), english.Plural(int(s.Silence.Hours()), "hour", "")))
	}
	return "this may not be the database that was purged before: " + strings.Join(why, "; ")
}

// shownAddresses is how many of the addresses that were used before are named.
const shownAddresses = 5

// shown are the latest addresses.
func shown(all []string) []string {
	return slices.Clone(all[max(0, len(all)-shownAddresses):])
}

// timeline is a number as people know it; in names of WAL files it is hexadecimal.
func timeline(hex string) string {
	n, err := strconv.ParseUint(hex, 16, 32)
	if err != nil {
		return hex
	}
	return strconv.FormatUint(n, 10)
}
