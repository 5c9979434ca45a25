package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/purge"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Hold the policy file against the database, as the role that will run", Args: noArgs,
		Long: `check looks, and touches nothing: syntax, tables, tenant paths, types, keys,
privileges, row-level security, triggers, undecided edges, and the indexes that
every edge and the search for expired rows need. Exit 2 when anything is wrong.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.open(cmd.Context())
			if err != nil {
				return a.checkFailed(err)
			}
			defer s.pool.Close()
			problems := s.problems()
			ok := !s.hasErrors()
			if a.json() {
				if err := a.printJSON(checkResult{OK: ok, Problems: emptyNotNull(problems)}); err != nil {
					return failed(err)
				}
			} else {
				printProblems(a.stdout, problems)
				if ok {
					a.printf("ok: %d policies can run as role %s\n", len(s.plans), s.server.Role)
				}
			}
			if !ok {
				return &exitError{code: exitUsage}
			}
			return nil
		},
	}
	a.selection(cmd)
	return cmd
}

type checkResult struct {
	OK       bool            `json:"ok"`
	Problems []purge.Problem `json:"problems"`
}

// checkFailed tells, in JSON too, why nothing could be checked.
func (a *app) checkFailed(err error) error {
	if a.json() {
		if err := a.printJSON(checkResult{Problems: []purge.Problem{{Level: purge.LevelError, Text: err.Error()}}}); err != nil {
			return failed(err)
		}
	}
	return err
}

func emptyNotNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// printProblems prints what is wrong, each with its remedy.
func printProblems(w io.Writer, problems []purge.Problem) {
	for _, p := range problems {
		where := ""
		if p.Policy != "" {
			where = " [" + p.Policy + "]"
		}
		fmt.Fprintf(w, "%s%s: %s\n", p.Level, where, p.Text)
		if p.Fix != "" {
			fmt.Fprintf(w, "    fix: %s\n", p.Fix)
		}
	}
}
