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
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/drift"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// The gates. Latch speaks, for every policy, when the database may be another one than before. Drift
// speaks when the print of a policy's plan differs, otherwise than harmlessly, from that of its last
// complete run; Breaker when far more rows are due than usual.
const (
	Latch   = "latch"
	Drift   = "drift"
	Breaker = "breaker"
)

// Waiting begins the reason of a run that a gate has refused.
const Waiting = "waits for approval"

// Names are those of all gates.
func Names() []string { return []string{Latch, Drift, Breaker} }

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
	Rows   RowsAnswered
	// Plans are those whose prints are taken together, when that of the first is needed; nil: each is
	// taken by itself. They have no errors, and begin together.
	Plans []*plan.Plan
	// Due is how many roots are expired, by policy, where that has just been counted; nil: nowhere.
	Due map[string]int64

	mu     sync.Mutex
	passed *Database // by the latch, a moment ago
	at     time.Time
	prints map[*plan.Plan]*drift.Print // each is used once
}

// RowsAnswered is who answers for the number of rows that go.
type RowsAnswered int

// Nobody does in the daemon; a person who says --yes does while the ledger does not know the policy,
// since a script may say so every night; a person at a terminal does.
const (
	ByNobody RowsAnswered = iota
	ByYes
	ByPerson
)

// Verdict is what the gates say of the run of a policy.
type Verdict struct {
	Policy string
	Gates  []string // which speak, without those that have been approved
	// Changes are the differences that are not harmless, Notes those that are.
	Changes, Notes []string
	TooMany        string // what the breaker says; empty: nothing
	// Database is what the latch says, which is the same for all policies.
	Database *Database

	print    *drift.Print
	siblings []string
	digest   string
	body     []byte
	due      int64 // roots, if the breaker has counted them
	known    bool  // there is something to compare with
	same     bool  // and it is the same
	approved bool
}

// Text says in one line why the run is refused; empty: it is not.
func (s *Verdict) Text() string {
	if len(s.Gates) == 0 {
		return ""
	}
	var parts []string
	if s.Database.Text != "" {
		parts = append(parts, s.Database.Text)
	}
	if slices.Contains(s.Gates, Drift) {
		parts = append(parts, "what would be deleted has changed since the last complete run: "+strings.Join(s.Changes, "; "))
	}
	if slices.Contains(s.Gates, Breaker) {
		parts = append(parts, s.TooMany)
	}
	return fmt.Sprintf("%s (%s): %s", Waiting, strings.Join(s.Gates, ", "), strings.Join(parts, "; "))
}

// FixDatabase is the command that approves what the latch has refused.
const FixDatabase = "reaper approve --database"

// Fix is the command, or the two, that approve it.
func (s *Verdict) Fix() string {
	var commands []string
	if s.Database.Text != "" {
		commands = append(commands, FixDatabase)
	}
	if len(s.Own().Gates) > 0 {
		commands = append(commands, "reaper approve --policy "+s.Policy)
	}
	return strings.Join(commands, " and ")
}

// Own is the verdict without what the latch says of the database.
func (s *Verdict) Own() *Verdict {
	own := *s
	own.Gates = slices.DeleteFunc(slices.Clone(s.Gates), func(gate string) bool { return gate == Latch })
	own.Database = &Database{}
	return &own
}

// refusal is the text with the command.
func (s *Verdict) refusal() string {
	if len(s.Gates) == 0 {
		return ""
	}
	return s.Text() + "; if that is meant: " + s.Fix()
}

// Look judges a run, in the database that LookAtDatabase has looked at. It writes nothing, and the
// ledger need not exist. The plan must have no errors. The rows that are due are counted only if
// nobody else answers for them.
func (g *Gates) Look(ctx context.Context, d *Database, p *plan.Plan) (*Verdict, error) {
	s, err := g.judge(ctx, d, p)
	if err != nil || g.Rows == ByPerson {
		return s, err
	}
	var base string
	if err := pg.ReadOne(ctx, g.Pool, p.ReadingPath(), countTimeout, (&pg.Statement{}).Add(pg.ClockSQL), pg.ScanOne(new(int64), &base)); err != nil {
		return nil, err
	}
	return s, g.breaker(ctx, p, base, s, mostCounted)
}

// judge asks the gates that need not count rows.
func (g *Gates) judge(ctx context.Context, d *Database, p *plan.Plan) (*Verdict, error) {
	s := &Verdict{Policy: p.Policy.Name, Database: d}
	if d.Text != "" {
		s.Gates = append(s.Gates, Latch)
	}
	return s, g.drift(ctx, p, s)
}

// drift compares a plan's print with that of the last complete run.
func (g *Gates) drift(ctx context.Context, p *plan.Plan, s *Verdict) error {
	for _, other := range p.File.Policies {
		s.siblings = append(s.siblings, other.Name)
	}
	var err error
	if s.print, err = g.print(ctx, p); err != nil {
		return err
	}
	return g.differ(ctx, s, p.File.Safety.WarnsOfDrift)
}

// differ compares a verdict's print with that of the last complete run.
func (g *Gates) differ(ctx context.Context, s *Verdict, warns bool) (err error) {
	if s.body, err = json.Marshal(s.print); err != nil {
		return fmt.Errorf("writing a print: %w", err)
	}
	s.digest = s.print.Digest()
	before, err := g.Ledger.Baseline(ctx, g.Pool, s.Policy, s.print.Root, s.digest)
	if err != nil {
		return err
	}
	if err := s.compare(before); err != nil {
		return err
	}
	if len(s.Changes) > 0 && !warns {
		if s.approved = slices.Contains(before.Approved, Drift); !s.approved {
			s.Gates = append(s.Gates, Drift)
		}
	}
	return nil
}

// print takes the print of a plan, with those of the plans that begin with it.
func (g *Gates) print(ctx context.Context, p *plan.Plan) (*drift.Print, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.prints == nil && slices.Contains(g.Plans, p) {
		all, err := g.take(ctx, g.Plans...)
		if g.prints = map[*plan.Plan]*drift.Print{}; err == nil { // else each says by itself what is wrong
			for i, taken := range all {
				g.prints[g.Plans[i]] = taken
			}
		}
	}
	if taken := g.prints[p]; taken != nil {
		delete(g.prints, p)
		return taken, nil
	}
	all, err := g.take(ctx, p)
	if err != nil {
		return nil, err
	}
	return all[0], nil
}

func (g *Gates) take(ctx context.Context, plans ...*plan.Plan) (prints []*drift.Print, err error) {
	err = g.Pool.AcquireFunc(ctx, func(c *pgxpool.Conn) (err error) {
		prints, err = drift.Take(ctx, c.Conn(), plans...)
		return err
	})
	return prints, err
}

// compare notes what differs from what the ledger knows.
func (s *Verdict) compare(before ledger.Baseline) error {
	if before.Print == nil {
		for _, other := range before.Others {
			s.known = true
			s.Changes = append(s.Changes, fmt.Sprintf("+ policy %s, whose table %s has been purged by policy %s: renamed, or one more", s.Policy, s.print.Root, other))
		}
		return nil
	}
	var last drift.Print
	if err := json.Unmarshal(before.Print, &last); err != nil {
		return fmt.Errorf("reading the print of policy %s in the ledger: %w", s.Policy, err)
	}
	s.known = true
	s.same = before.Digest == s.digest
	for _, d := range drift.Compare(&last, s.print) {
		if d.Harmless {
			s.Notes = append(s.Notes, d.Text)
		} else {
			s.Changes = append(s.Changes, d.Text)
		}
	}
	return nil
}

// Approve lets a run go on that gates of its policy refuse, with at most twice the rows that are due, for a length
// of time (text of an interval).
func (g *Gates) Approve(ctx context.Context, s *Verdict, length, reason, by string) error {
	var most int64
	if slices.Contains(s.Gates, Breaker) {
		most = 2 * s.due
	}
	return g.Ledger.Approve(ctx, g.Pool, s.Policy, s.digest, most, s.Own().Gates, length, reason, by)
}

// Pass says why a policy's run must wait; empty: it need not. It records the print of the run.
func (g *Gates) Pass(ctx context.Context, runID string, p *plan.Plan) (purge.Passage, error) {
	d, err := g.recent(ctx)
	if err != nil {
		return nil, err
	}
	s, err := g.judge(ctx, d, p)
	if err != nil {
		return nil, err
	}
	if len(s.Gates) == 0 {
		for _, line := range slices.Concat(s.Notes, s.Changes) {
			g.Log.Info("what is deleted has changed", "run_id", runID, "policy", s.Policy, "change", line, "approved", s.approved)
		}
	}
	return &passage{g: g, runID: runID, plan: p, s: s}, g.keep(ctx, runID, s, false)
}

// passage is a run at the gates.
type passage struct {
	g        *Gates
	runID    string
	plan     *plan.Plan
	s        *Verdict
	accepted bool // the print is what the next run is compared with
}

// Refusal implements purge.Passage.
func (x *passage) Refusal() string { return x.s.refusal() }

// Again implements purge.Passage.
func (x *passage) Again(ctx context.Context) (refusal string, err error) {
	d, err := x.g.Alive(ctx)
	if err != nil || d.Text == "" {
		return "", err
	}
	return (&Verdict{Policy: x.s.Policy, Gates: []string{Latch}, Database: d}).refusal(), nil
}

// Rows implements purge.Passage.
func (x *passage) Rows(ctx context.Context, base string) (refusal string, err error) {
	if x.g.Rows != ByPerson {
		err = x.g.breaker(ctx, x.plan, base, x.s, 0)
	}
	if err != nil || len(x.s.Gates) > 0 {
		return x.s.refusal(), err
	}
	// Rows will go: from now on the runs are compared with this one, if there was nothing before, or
	// a person has approved it.
	if x.accepted = !x.s.known || x.s.approved; x.accepted {
		err = x.g.keep(ctx, x.runID, x.s, true)
	}
	return "", err
}

// Close implements purge.Passage.
func (x *passage) Close(ctx context.Context, roots int64, complete bool) error {
	if complete && !x.accepted && !x.s.same {
		if err := x.g.keep(ctx, x.runID, x.s, true); err != nil {
			return err
		}
	}
	if roots == 0 {
		return nil
	}
	return x.g.Ledger.KeepRoots(ctx, x.g.Pool, x.runID, x.s.Policy, roots)
}

func (g *Gates) keep(ctx context.Context, runID string, s *Verdict, accept bool) error {
	return g.Ledger.KeepPrint(ctx, g.Pool, runID, s.Policy, s.print.Root, s.digest, s.body, s.siblings, accept)
}
