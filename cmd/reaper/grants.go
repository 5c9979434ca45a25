package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
)

func (a *app) grantsCommand() *cobra.Command {
	var role string
	var restores bool
	cmd := &cobra.Command{
		Use: "grants --role ROLE", Short: "Print the minimal privileges that a role needs", Args: noArgs,
		Long: `grants prints the GRANT statements for exactly what this policy file needs, and
runs none of them. Run reaper migrate first, and then grants as the tables' owner:
the privileges include those on the ledger. --restore prints those of a role that
runs reaper restore instead, and deletes nothing.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.grants(cmd.Context(), role, restores) },
	}
	cmd.Flags().StringVar(&role, "role", "", "the role that will run purge, or restore")
	cmd.Flags().BoolVar(&restores, "restore", false, "the role will run reaper restore, and nothing else")
	return cmd
}

func (a *app) grants(ctx context.Context, role string, restores bool) error {
	if role == "" {
		return usage(errors.New("grants needs --role: the role that will run purge, or restore"))
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.pool.Close()
	if len(s.plans) == 0 || slices.ContainsFunc(s.plans, func(p *plan.Plan) bool { return p.Root == nil }) {
		printProblems(a.stderr, s.problems())
		return usage(errors.New("the privileges cannot be determined until the errors above are fixed"))
	}
	if s.hasErrors() {
		printProblems(a.stderr, s.problems())
		fmt.Fprintln(a.stderr, "reaper: the policy file has errors; the privileges below may be incomplete")
	}
	l, err := a.ledger()
	if err != nil {
		return err
	}
	if err := l.Trusted(ctx, s.pool); err != nil {
		return ledgerFailed(err)
	}
	var lines []string
	if restores {
		lines, err = s.restoreGrants(ctx, l, role)
	} else {
		lines, err = a.erasureGrants(ctx, s, l, role)
		lines = slices.Concat(plan.Grants(s.plans, role), lines, l.Grants(role))
	}
	if err != nil {
		return err
	}
	lines = whole(append(lines, s.guardGrants(role)...))
	if a.json() {
		return a.printJSON(map[string]any{"role": role, "statements": lines})
	}
	for _, line := range lines {
		a.printf("%s\n", line)
	}
	return nil
}

// restoreGrants are those of a role that restores what policies with an archive have deleted.
func (s *session) restoreGrants(ctx context.Context, l *ledger.Ledger, role string) ([]string, error) {
	archived := slices.DeleteFunc(slices.Clone(s.plans), func(p *plan.Plan) bool { return !p.Policy.Archive })
	if len(archived) == 0 {
		return nil, usage(errors.New("grants --restore: no policy of the file has archive: true, so there is nothing to restore"))
	}
	var database string
	if err := pg.Pinned(s.pool).QueryRow(ctx, "SELECT current_database()").Scan(&database); err != nil {
		return nil, failed(fmt.Errorf("looking at the database: %w", err))
	}
	on, to := pgx.Identifier{database}.Sanitize(), pgx.Identifier{role}.Sanitize()
	return slices.Concat([]string{"GRANT TEMPORARY ON DATABASE " + on + " TO " + to + ";"}, plan.RestoreGrants(archived, role), l.RestoreGrants(role),
		[]string{"-- optional, for restore --into SCHEMA:", "-- GRANT CREATE ON DATABASE " + on + " TO " + to + ";"}), nil
}

// whole escapes statements and comments so that every character is visible and they mean the same
// to PostgreSQL. A line break in a name would end a comment, and the rest would run.
func whole(lines []string) []string {
	shown := make([]string, len(lines))
	for i, line := range lines {
		if strings.HasPrefix(line, "--") {
			shown[i] = visible.Text(line)
		} else {
			shown[i] = visible.SQL(line)
		}
	}
	return shown
}
