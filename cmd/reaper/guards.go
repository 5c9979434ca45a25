package main

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/daemon"
	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/purge"
)

// guards is what the policy file says of them, for the batches of this program's
// sessions.
func (s *session) guards() guard.Config {
	return daemon.GuardConfig(s.file, s.pool.Config().ConnConfig.RuntimeParams["application_name"])
}

// guardProblems are guards that cannot be read. They are warnings: a signal may be
// there again when a purge begins, which says itself what holds it up.
func (s *session) guardProblems(ctx context.Context) []purge.Problem {
	var problems []purge.Problem
	for _, p := range guard.Check(ctx, s.pool, s.guards()) {
		problems = append(problems, purge.Problem{Level: purge.LevelWarning, Text: p.Text, Fix: p.Fix})
	}
	return problems
}

// guardGrants are the statements that let a role read the guards' signals. Only
// some may run them: not the owner of a table.
func (s *session) guardGrants(role string) []string {
	var lines []string
	for _, name := range guard.Grants(s.guards(), s.server.Version) {
		lines = append(lines, "GRANT "+name+" TO "+pgx.Identifier{role}.Sanitize()+";")
	}
	if len(lines) > 0 {
		lines = append([]string{"-- for the guards, as a superuser:"}, lines...)
	}
	return lines
}
