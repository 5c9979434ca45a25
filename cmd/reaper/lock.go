package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/drift"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/preview"
)

// prints takes the prints of the plans that have no errors.
func (s *session) prints(ctx context.Context) (all []*drift.Print, err error) {
	err = s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) (err error) {
		all, err = drift.Take(ctx, c.Conn(), s.withoutErrors()...)
		return err
	})
	return all, err
}

// saveLock writes what decides which rows go, for check --against.
func (s *session) saveLock(ctx context.Context, name string) error {
	if s.hasErrors() {
		return usage(fmt.Errorf("--save %s: nothing was written: a policy has an error; reaper check names it", name))
	}
	prints, err := s.prints(ctx)
	if err != nil {
		return failed(err)
	}
	text, err := drift.Lock(prints)
	if err != nil {
		return failed(err)
	}
	if err := os.WriteFile(name, text, 0o644); err != nil { //nolint:gosec // it is made to be read by everybody
		return usage(fmt.Errorf("--save: %w", err))
	}
	return nil
}

// readLock reads a file that plan --save has written.
func readLock(name string) (map[string]*drift.Print, error) {
	text, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usage(fmt.Errorf("--against %s: there is no such file: write it with reaper plan --save %s", name, name))
	}
	if err != nil {
		return nil, usage(fmt.Errorf("--against: %w", err))
	}
	prints, err := drift.Unlock(name, text)
	if err != nil {
		return nil, usage(err)
	}
	return prints, nil
}

// against compares the plans with a file that plan --save has written: an error for each difference
// that is not harmless, a note for each that is.
func (s *session) against(ctx context.Context, name string, saved map[string]*drift.Print) (problems []plan.Problem, notes []preview.Note, err error) {
	prints, err := s.prints(ctx)
	if err != nil {
		return nil, nil, failed(err)
	}
	fix := "if it is meant: reaper plan --save " + name
	differs := func(of, text string) {
		problems = append(problems, plan.Problem{Policy: of, Level: plan.LevelError, Text: "what would be deleted differs from " + name + ": " + text, Fix: fix})
	}
	for _, p := range prints {
		before := saved[p.Policy]
		if before == nil {
			differs(p.Policy, "+ policy "+p.Policy+", table "+p.Root)
			continue
		}
		for _, d := range drift.Compare(before, p) {
			if d.Harmless {
				notes = append(notes, preview.Note{Policy: p.Policy, Text: "differs harmlessly from " + name + ": " + d.Text, Fix: fix})
			} else {
				differs(p.Policy, d.Text)
			}
		}
	}
	for _, gone := range slices.Sorted(maps.Keys(saved)) {
		if !slices.ContainsFunc(s.file.Policies, func(p policy.Policy) bool { return p.Name == gone }) {
			notes = append(notes, preview.Note{Text: name + " has the policy " + gone + ", which the policy file no longer has", Fix: fix})
		}
	}
	return problems, notes, nil
}
