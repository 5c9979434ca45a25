package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
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
	var interactive, erasing bool
	cmd := &cobra.Command{
		Use: "init", Short: "Look at the database and print a starter reaper.yaml", Args: noArgs,
		Long: `init reads the catalog and samples of rows, and prints a commented policy file to
start from: the table of tenants, a policy for each table whose own rows are history,
and every NO ACTION and RESTRICT key below it. Tables whose rows are in use are never
proposed; they are listed with the reason. The file is refused until you have
replaced every CHOOSE in it. init writes nothing:
    reaper init > reaper.yaml

With --interactive it asks instead, says what each answer would delete, writes the
policy file (REAPER_POLICY_FILE), which must not be there yet, and checks it. Ctrl-C
writes nothing. With --erasure, the file also says what becomes of a tenant that
leaves, table by table; what nobody can know is left to you.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if interactive && erasing {
				return usage(errors.New("init --interactive does not write the section erasure: leave out --erasure, and add what init --erasure prints"))
			}
			if interactive {
				return a.interview(cmd.Context())
			}
			pool, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer pool.Close()
			proposal, err := a.propose(cmd.Context(), pool, nil)
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
	cmd.Flags().BoolVar(&interactive, "interactive", false, "ask what is to be decided, and write the policy file")
	cmd.Flags().BoolVar(&erasing, "erasure", false, "also write the section erasure: what becomes of a tenant that leaves")
	return cmd
}

// propose reads the database; see starter.Read.
func (a *app) propose(ctx context.Context, pool *pgxpool.Pool, owner *string) (*starter.Proposal, error) {
	return starter.Read(ctx, &pg.DB{Sender: pool, Before: []string{pg.Timeouts(initLock, initStatement)}}, a.LedgerSchema, owner)
}

// interview asks what a starter leaves open, writes the policy file, and checks it.
func (a *app) interview(ctx context.Context) error {
	if !a.terminal {
		return usage(errors.New("init --interactive asks questions, but stdin is not a terminal: leave out --interactive"))
	}
	if a.json() {
		return usage(errors.New("init --interactive writes a file: leave out --output json"))
	}
	if _, err := os.Lstat(a.PolicyFile); err == nil {
		return usage(fmt.Errorf("%s is there already: move it away, or name another file with --policy-file", a.PolicyFile))
	}
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	v := starter.Interview{In: a.stdin, Out: a.stderr, Read: func(ctx context.Context, owner *string) (*starter.Proposal, error) {
		return a.propose(ctx, pool, owner)
	}}
	text, err := v.Run(ctx)
	switch {
	case errors.Is(err, starter.ErrNoAnswer), errors.Is(err, starter.ErrNothingChosen):
		return usage(fmt.Errorf("%w: nothing was written", err))
	case err != nil:
		return failed(err)
	}
	if err := writeNew(a.PolicyFile, text); err != nil {
		return failed(fmt.Errorf("writing the policy file: %w", err))
	}
	a.printf("wrote %s; what reaper check says of it:\n", a.PolicyFile)
	return a.check(ctx, "")
}

// writeNew writes a file that must not be there yet, or none.
func writeNew(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		err = errors.Join(err, os.Remove(path))
	}
	return err
}
