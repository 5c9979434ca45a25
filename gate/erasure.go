package gate

import (
	"context"
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/reaperdb/reaper/drift"
)

// Erasures is what the gates judge runs that erase tenants by.
type Erasures struct {
	Print *drift.Print
	// Most is how many tenants may become due by `when` within a day; 0: any number.
	Most int
	// ByWhen: the run is of a tenant that `when` has chosen, and no person.
	ByWhen bool
	// WarnsOfDrift: drift is only reported.
	WarnsOfDrift bool
	// Siblings are the policies of the file.
	Siblings []string
}

// erasuresWithin is how far back tenants count that `when` has chosen.
const erasuresWithin = "1 day"

// LookAtErasures judges a run that erases a tenant, in the database that LookAtDatabase has looked
// at. It writes nothing, and the ledger need not exist.
func (g *Gates) LookAtErasures(ctx context.Context, d *Database, e Erasures) (*Verdict, error) {
	s := &Verdict{Policy: e.Print.Policy, Database: d, print: e.Print, siblings: e.Siblings}
	if d.Text != "" {
		s.Gates = append(s.Gates, Latch)
	}
	if err := g.differ(ctx, s, e.WarnsOfDrift); err != nil {
		return nil, err
	}
	if !e.ByWhen || e.Most == 0 {
		return s, nil
	}
	return s, g.tooManyTenants(ctx, s, e.Most)
}

// tooManyTenants refuses runs while more tenants have become due by `when` than usual, and than a
// person has approved.
func (g *Gates) tooManyTenants(ctx context.Context, s *Verdict, most int) (err error) {
	if s.due, err = g.Ledger.DueByWhen(ctx, g.Pool, s.Policy, erasuresWithin); err != nil || s.due <= int64(most) {
		return err
	}
	approved, err := g.Ledger.ApprovedRoots(ctx, g.Pool, s.Policy, s.digest)
	if err != nil || s.due <= approved {
		return err
	}
	s.Gates = append(s.Gates, Breaker)
	s.TooMany = fmt.Sprintf("%s tenants are to be erased because when says so, more than the %s that may become due in a day", humanize.Comma(s.due), humanize.Comma(int64(most)))
	return nil
}

// PassErasure is Pass for a run that erases a tenant: its refusal, empty if it may go on. The print of
// a run that goes on is what the next one is compared with.
func (g *Gates) PassErasure(ctx context.Context, runID string, e Erasures) (refusal string, err error) {
	d, err := g.recent(ctx)
	if err != nil {
		return "", err
	}
	s, err := g.LookAtErasures(ctx, d, e)
	if err != nil {
		return "", err
	}
	return s.refusal(), g.keep(ctx, runID, s, len(s.Gates) == 0)
}
