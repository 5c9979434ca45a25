package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/starter"
)

// Lock and statement timeouts of init.
const (
	initLock      = 5 * time.Second
	initStatement = time.Minute
)

func (a *app) initCommand() *cobra.Command {
	var erasing bool
	cmd := &cobra.Command{
		Use: "init", Short: "Look at the database and print a starter reaper.yaml", Args: noArgs,
		Long: `init reads the catalog and samples of rows, and prints a commented policy file to
start from: the table of tenants, a policy for each table whose own rows are history,
and every NO ACTION and RESTRICT key below it. Tables whose rows are in use are never
proposed; they are listed with the reason. The file is refused until you have
replaced every CHOOSE in it. init writes nothing:
    reaper init > reaper.yaml
With --erasure, the file also says what becomes of a tenant that leaves, table by
table; what nobody can know is left to you.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pool, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer pool.Close()
			db := &pg.DB{Sender: pool, Before: []string{pg.Timeouts(initLock, initStatement)}}
			proposal, err := starter.Read(cmd.Context(), db, a.LedgerSchema)
			if err != nil {
				return failed(err)
			}
			text := proposal.YAML()
			if erasing {
				section, err := a.erasureStarter(cmd.Context(), pool, proposal.Tenants)
				if err != nil {
					return err
				}
				text += section
			}
			if a.json() {
				return a.printJSON(map[string]string{"policy_file": text})
			}
			a.printf("%s", text)
			return nil
		},
	}
	cmd.Flags().BoolVar(&erasing, "erasure", false, "also write the section erasure: what becomes of a tenant that leaves")
	return cmd
}
