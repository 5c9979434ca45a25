package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// guards is the guards' configuration in the policy file, for the batches of this program's
// sessions.
func (s *session) guards() guard.Config {
	c := s.file.Guards
	c.Application = s.pool.Config().ConnConfig.RuntimeParams["application_name"]
	return c
}

// guardProblems are warnings about configured guards that cannot be read, and notes about default
// ones. They are only warnings: a signal may be available when a purge starts, which reports itself
// what holds it up.
func (s *session) guardProblems(ctx context.Context) (problems []plan.Problem, notes []preview.Note) {
	for _, p := range guard.Check(ctx, s.pool, s.guards()) {
		if p.Note {
			notes = append(notes, preview.Note{Text: p.Text, Fix: p.Fix})
			continue
		}
		problems = append(problems, plan.Problem{Level: plan.LevelWarning, Text: p.Text, Fix: p.Fix})
	}
	return problems, notes
}

// guardGrants are the statements that let a role read the guards' signals. The owner of a table may
// not run some of them. Without guards in the policy file, they are optional and commented out.
func (s *session) guardGrants(role string) []string {
	c := s.guards()
	title, before := "-- for the guards, as a superuser:", ""
	if c.Implicit {
		title, before = "-- not needed, but with it all guards can be read; as a superuser:", "-- "
	}
	var lines []string
	for _, name := range guard.Grants(c, s.server.Version) {
		lines = append(lines, before+"GRANT "+name+" TO "+pgx.Identifier{role}.Sanitize()+";")
	}
	if len(lines) > 0 {
		lines = append([]string{title}, lines...)
	}
	return lines
}
