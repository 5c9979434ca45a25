package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/visible"
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

// versionText is the version in one line.
func versionText() string {
	text := "reaper " + version
	if revision := revision(); revision != "" {
		text += " " + revision
	}
	return text + " (" + runtime.Version() + ")"
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			revision := revision()
			if a.json() {
				return a.printJSON(map[string]string{"version": version, "revision": revision, "go": runtime.Version()})
			}
			a.printf("%s\n", versionText())
			return nil
		},
	}
}
