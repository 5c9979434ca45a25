package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
)

// session is what the commands that read a database share.
type session struct {
	file     *policy.File
	pool     *pgxpool.Pool
	warnings []plan.Problem // about the policy file and --older-than
	server   plan.Server
	plans    []*plan.Plan
}

// problems are those of the settings, the server and all plans, errors first.
func (s *session) problems() []plan.Problem {
	all := slices.Concat(s.server.Problems(), s.warnings)
	for _, p := range s.plans {
		all = append(all, p.Problems...)
	}
	slices.SortStableFunc(all, func(x, y plan.Problem) int { return strings.Compare(string(x.Level), string(y.Level)) })
	return all
}

// names are those of the planned policies.
func (s *session) names() []string {
	names := make([]string, len(s.plans))
	for i, p := range s.plans {
		names[i] = p.Policy.Name
	}
	return names
}

func (s *session) hasErrors() bool {
	return slices.ContainsFunc(s.problems(), func(p plan.Problem) bool { return p.Level == plan.LevelError })
}

// checkPolicies refuses names of policies that are not in the file. Some commands know others too.
func (a *app) checkPolicies(file *policy.File, others ...string) error {
	for _, name := range a.Policies {
		if !slices.Contains(others, name) && !slices.ContainsFunc(file.Policies, func(p policy.Policy) bool { return p.Name == name }) {
			var names []string
			for _, p := range file.Policies {
				names = append(names, p.Name)
			}
			return usage(fmt.Errorf("--policy %s: no such policy; the policy file has %s", name, strings.Join(names, ", ")))
		}
	}
	return nil
}

// open reads the file, connects, and plans the selected policies.
func (a *app) open(ctx context.Context) (*session, error) {
	file, err := a.readPolicy()
	if err != nil {
		return nil, err
	}
	if err := a.checkPolicies(file); err != nil {
		return nil, err
	}
	l, err := a.ledger()
	if err != nil {
		return nil, err
	}
	pool, err := a.connect(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{file: file, pool: pool, warnings: a.warnings(file)}
	err = a.patiently(ctx, func() error {
		return pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return s.read(ctx, c.Conn(), l, a.Policies) })
	})
	if err != nil {
		pool.Close()
		return nil, coded(err, fmt.Errorf("looking at the database: %w", lined(err)))
	}
	return s, nil
}

// planned returns an error if any policy cannot be planned now: output without it would be
// incomplete. A purge runs the other policies.
func (s *session) planned() error {
	for _, p := range s.plans {
		if err := p.Unplanned(); err != nil {
			return failed(fmt.Errorf("policy %s: %w", p.Policy.Name, err))
		}
	}
	return nil
}

// warnings are those about the policy file, for the selected policies, and about --older-than.
func (a *app) warnings(file *policy.File) []plan.Problem {
	var all []plan.Problem
	for _, w := range file.Warnings {
		if w.Policy == "" || len(a.Policies) == 0 || slices.Contains(a.Policies, w.Policy) {
			all = append(all, plan.Problem{Policy: w.Policy, Level: plan.LevelWarning, Text: file.Errorf(w.Pos, "%s", w.Text).Error(), Fix: w.Fix})
		}
	}
	if d, err := policy.ParseDuration(a.OlderThan); err == nil {
		if text, fix := d.Minutes(); text != "" {
			all = append(all, plan.Problem{Level: plan.LevelWarning, Text: "--older-than: " + text, Fix: fix})
		}
	}
	return all
}

// warningsOf are the warnings about one policy.
func (s *session) warningsOf(name string) []plan.Problem {
	return slices.DeleteFunc(slices.Clone(s.warnings), func(w plan.Problem) bool { return w.Policy != "" && w.Policy != name })
}

func (s *session) read(ctx context.Context, conn *pgx.Conn, l *ledger.Ledger, only []string) error {
	var err error
	if s.server, err = plan.ReadServer(ctx, conn); err != nil {
		return err
	}
	if slices.ContainsFunc(s.server.Problems(), func(p plan.Problem) bool { return strings.Contains(p.Fix, "14 or newer") }) {
		return nil // the catalog may not be readable
	}
	if s.plans, err = plan.Compile(ctx, conn, s.file, s.server, only); err != nil {
		return err
	}
	return s.applyHolds(ctx, conn, l)
}

// applyHolds makes holds a condition of the plans, and warns of those that do not count here.
func (s *session) applyHolds(ctx context.Context, conn *pgx.Conn, l *ledger.Ledger) error {
	named, err := purge.ApplyHolds(ctx, conn, l, s.plans)
	if errors.Is(err, ledger.ErrHoldsDenied) { // a run needs more than that, and is refused
		s.warn("what is shown as due may be held, or in its grace: the role may not read the holds that persons have set, and what runs have recorded", "run what reaper grants --role "+pg.Ident(s.server.Role)+" prints, as the owner of the ledger")
		return nil
	}
	for _, name := range named {
		if slices.ContainsFunc(s.file.Policies, func(p policy.Policy) bool { return p.Name == name }) {
			continue
		}
		s.warn("holds are in force for policy "+name+", which the file does not have: they hold nothing", "hold again for the policy's new name, then end the old holds: reaper holds lists them, reaper release ID ends one")
	}
	return err
}

// warn adds a warning about no single policy.
func (s *session) warn(text, fix string) {
	s.warnings = append(s.warnings, plan.Problem{Level: plan.LevelWarning, Text: text, Fix: fix})
}

// checkTenants refuses unknown tenants, if a plan allows to check.
func (s *session) checkTenants(ctx context.Context, opts purge.Options) error {
	if s.hasErrors() {
		return nil
	}
	err := purge.CheckTenants(ctx, s.pool, s.plans, opts.Tenants)
	var wrong *purge.UsageError
	switch {
	case errors.As(err, &wrong):
		return usage(err)
	case err != nil:
		return failed(err)
	}
	return nil
}
