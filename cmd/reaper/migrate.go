package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/purge"
)

func (a *app) migrateCommand() *cobra.Command {
	var print bool
	cmd := &cobra.Command{
		Use: "migrate", Short: "Create or upgrade the ledger, reaper's own tables", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			l, err := a.ledger()
			if err != nil {
				return err
			}
			if print {
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
				return usage(err)
			}
			if a.json() {
				return a.printJSON(map[string]any{"schema": l.Schema(), "applied": emptyNotNull(applied)})
			}
			if len(applied) == 0 {
				a.printf("the ledger in schema %s is up to date\n", l.Schema())
				return nil
			}
			a.printf("the ledger in schema %s is now at version %d\n", l.Schema(), applied[len(applied)-1])
			return nil
		},
	}
	cmd.Flags().BoolVar(&print, "print", false, "print the SQL for a DBA instead of running it")
	return cmd
}

func (a *app) grantsCommand() *cobra.Command {
	var role string
	cmd := &cobra.Command{
		Use: "grants --role ROLE", Short: "Print the least privileges that a role needs", Args: noArgs,
		Long: `grants prints the GRANT statements for exactly what this policy file needs, and
runs none of them. The ledger must be there: run reaper migrate first.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if role == "" {
				return usage(fmt.Errorf("grants needs --role: the role that will run purge"))
			}
			s, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			defer s.pool.Close()
			for _, p := range s.plans {
				if p.Root == nil {
					printProblems(a.stderr, s.problems())
					return usage(fmt.Errorf("policy %s cannot be planned: see reaper check", p.Policy.Name))
				}
			}
			l, err := a.ledger()
			if err != nil {
				return err
			}
			lines := append(purge.Grants(s.plans, role), l.Grants(role)...)
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

// version is set by the linker at a release.
var version = "dev"

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			revision := ""
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						revision = s.Value
					}
				}
			}
			if a.json() {
				return a.printJSON(map[string]string{"version": version, "revision": revision, "go": runtime.Version()})
			}
			a.printf("reaper %s", version)
			if revision != "" {
				a.printf(" (%s)", revision)
			}
			a.printf(" %s\n", runtime.Version())
			return nil
		},
	}
}
