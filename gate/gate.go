// Package gate decides, before the first batch of a policy's run, whether the run needs a person's
// word first: a gate speaks when a purge would delete other rows than it did before. It says what
// it has noticed, and nothing of the policy is touched until a person approves exactly that.
package gate

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/drift"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
)

// Drift is the gate that speaks when the print of a policy's plan differs, otherwise than
// harmlessly, from that of its last complete run.
const Drift = "drift"

// Waiting begins the reason of a run that a gate has refused.
const Waiting = "waits for approval"

// Names are those of all gates.
func Names() []string { return []string{Drift} }

// Speaking returns the gates that a run's reason names; nil: none has refused it.
func Speaking(reason string) []string {
	named, ok := strings.CutPrefix(reason, Waiting+" (")
	if !ok {
		return nil
	}
	named, _, _ = strings.Cut(named, ")")
	return strings.Split(named, ", ")
}

// Gates are the gates of one database.
type Gates struct {
	Pool   *pgxpool.Pool
	Ledger *ledger.Ledger
	Log    *slog.Logger
}

// Standing is what stands against the run of a policy, and what does not.
type Standing struct {
	Policy string
	Gates  []string // which speak, without those that have been approved
	// Lines are what they have noticed; Notes are the harmless differences.
	Lines, Notes []string

	print    *drift.Print
	siblings []string
	digest   string
	body     []byte
	known    bool // there is something to compare with
	same     bool // and it is the same
	approved bool
}

// Text is one line about what stands against the run; empty: nothing does.
func (s *Standing) Text() string {
	if len(s.Gates) == 0 {
		return ""
	}
	return fmt.Sprintf("%s (%s): what would be deleted has changed since the last complete run: %s", Waiting, strings.Join(s.Gates, ", "), strings.Join(s.Lines, "; "))
}

// Fix is the command that approves it.
func (s *Standing) Fix() string { return "reaper approve --policy " + s.Policy }

// refusal is the text with the command.
func (s *Standing) refusal() string {
	if len(s.Gates) == 0 {
		return ""
	}
	return s.Text() + "; if that is meant: " + s.Fix()
}

// Look finds out what stands against a run. It writes nothing, and the ledger need not exist. The
// plan must have no errors.
func (g *Gates) Look(ctx context.Context, p *plan.Plan) (*Standing, error) {
	s := &Standing{Policy: p.Policy.Name}
	for _, other := range p.File.Policies {
		s.siblings = append(s.siblings, other.Name)
	}
	err := g.Pool.AcquireFunc(ctx, func(c *pgxpool.Conn) (err error) {
		s.print, err = drift.Take(ctx, c.Conn(), p)
		return err
	})
	if err != nil {
		return nil, err
	}
	if s.body, err = json.Marshal(s.print); err != nil {
		return nil, fmt.Errorf("writing a print: %w", err)
	}
	s.digest = s.print.Digest()
	before, err := g.Ledger.Baseline(ctx, g.Pool, s.Policy, s.print.Root, s.digest)
	if err != nil {
		return nil, err
	}
	if err := s.compare(before); err != nil {
		return nil, err
	}
	if len(s.Lines) > 0 && !p.File.Safety.WarnsOfDrift {
		s.Gates = []string{Drift}
	}
	if s.approved = len(s.Gates) > 0 && !slices.ContainsFunc(s.Gates, func(gate string) bool { return !slices.Contains(before.Approved, gate) }); s.approved {
		s.Gates = nil
	}
	return s, nil
}

// compare notes what differs from what the ledger knows.
func (s *Standing) compare(before ledger.Baseline) error {
	if before.Print == nil {
		for _, other := range before.Others {
			s.known = true
			s.Lines = append(s.Lines, fmt.Sprintf("+ policy %s, whose table %s has been purged by policy %s: renamed, or one more", s.Policy, s.print.Root, other))
		}
		return nil
	}
	var last drift.Print
	if err := json.Unmarshal(before.Print, &last); err != nil {
		return fmt.Errorf("reading the print of policy %s in the ledger: %w", s.Policy, err)
	}
	s.known = true
	differences := drift.Compare(&last, s.print)
	s.same = len(differences) == 0
	for _, d := range differences {
		if d.Harmless {
			s.Notes = append(s.Notes, d.Text)
		} else {
			s.Lines = append(s.Lines, d.Text)
		}
	}
	return nil
}

// Approve lets a run pass what stands against it, for a length of time (text of an interval).
func (g *Gates) Approve(ctx context.Context, s *Standing, length, reason, by string) error {
	return g.Ledger.Approve(ctx, g.Pool, s.Policy, s.digest, s.Gates, length, reason, by)
}

// Pass says why a policy's run must wait; empty: it need not. It records the print of the run, and
// from then on compares with it if there was nothing before, or a person has approved it. complete
// is to be called when a run of the whole policy was complete: the next one is compared with it.
func (g *Gates) Pass(ctx context.Context, runID string, p *plan.Plan) (refusal string, complete func(context.Context) error, err error) {
	s, err := g.Look(ctx, p)
	if err != nil {
		return "", nil, err
	}
	if len(s.Gates) == 0 {
		for _, line := range slices.Concat(s.Notes, s.Lines) {
			g.Log.Info("what is deleted has changed", "run_id", runID, "policy", s.Policy, "change", line, "approved", s.approved)
		}
	}
	accept := len(s.Gates) == 0 && (!s.known || s.approved)
	if err := g.keep(ctx, runID, s, accept); err != nil {
		return "", nil, err
	}
	return s.refusal(), func(ctx context.Context) error {
		if accept || s.same {
			return nil
		}
		return g.keep(ctx, runID, s, true)
	}, nil
}

func (g *Gates) keep(ctx context.Context, runID string, s *Standing, accept bool) error {
	return g.Ledger.KeepPrint(ctx, g.Pool, runID, s.Policy, s.print.Root, s.digest, s.body, s.siblings, accept)
}
