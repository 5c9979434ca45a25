package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
)

func (a *app) migrateCommand() *cobra.Command {
	var printOnly bool
	cmd := &cobra.Command{
		Use: "migrate", Short: "Create or upgrade the ledger, reaper's own tables", Args: noArgs,
		Long: `migrate creates the schema in which reaper records what each run deleted, or upgrades
it to this version. purge does so by itself if its role may; if not, give a DBA the
output of reaper migrate --print.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.ledger()
			if err != nil {
				return err
			}
			if printOnly {
				sql, err := l.Print()
				if err != nil {
					return failed(err)
				}
				a.printf("%s", sql)
				return nil
			}
			pool, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer pool.Close()
			applied, err := l.Migrate(cmd.Context(), pool)
			if err != nil {
				return coded(err, err)
			}
			if a.json() {
				return a.printJSON(map[string]any{"schema": l.Schema(), "applied": emptyNotNull(applied)})
			}
			if len(applied) == 0 {
				a.printf("the ledger in schema %s is up to date\n", visible.Text(l.Schema()))
				return nil
			}
			a.printf("the ledger in schema %s is now at version %d\n", visible.Text(l.Schema()), applied[len(applied)-1])
			return nil
		},
	}
	cmd.Flags().BoolVar(&printOnly, "print", false, "print the SQL for a DBA instead of running it")
	return cmd
}

func (a *app) grantsCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "grants --role ROLE", Short: "Print the minimal privileges that a role needs", Args: noArgs,
		Long: `grants prints the GRANT statements for exactly what this policy file needs, and
runs none of them. Run reaper migrate first, and then grants as the tables' owner:
the privileges include those on the ledger.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if role == "" {
				return usage(errors.New("grants needs --role: the role that will run purge"))
			}
			s, err := a.open(cmd.Context())
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
			if err := l.Trusted(cmd.Context(), s.pool); err != nil {
				return ledgerFailed(err)
			}
			erasures, err := a.erasureGrants(cmd.Context(), s, l, role)
			if err != nil {
				return err
			}
			lines := whole(slices.Concat(plan.Grants(s.plans, role), erasures, l.Grants(role), s.guardGrants(role)))
			if a.json() {
				return a.printJSON(map[string]any{"role": role, "statements": lines})
			}
			for _, line := range lines {
				a.printf("%s\n", line)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&role, "role", "", "the role that will run purge")
	return cmd
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

// version is set by the linker at a release.
var version = "dev"

// commit is set by the linker where the sources were built without their history, as in an image.
var commit string

// revision is the commit that the program was built from; empty if unknown.
func revision() string {
	if commit != "" {
		return commit
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				return s.Value
			}
		}
	}
	return ""
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			revision := revision()
			if a.json() {
				return a.printJSON(map[string]string{"version": version, "revision": revision, "go": runtime.Version()})
			}
			a.printf("reaper %s", version)
			if revision != "" {
				a.printf(" %s", revision)
			}
			a.printf(" (%s)\n", runtime.Version())
			return nil
		},
	}
}
