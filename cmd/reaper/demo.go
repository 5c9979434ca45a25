package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/demo"
	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/purge"
)

const demoMails = 20_000

func (a *app) demoCommand() *cobra.Command {
	var bin string
	o := demo.Options{Program: os.Args[0], Out: a.stdout, Table: func(header []string, rows [][]string) string {
		columns := []terminal.Column{column(header[0], 0)}
		for _, name := range header[1:] {
			columns = append(columns, figure(name, 0))
		}
		t := terminal.NewTable(columns...)
		for i, r := range rows {
			if i == len(rows)-1 {
				t.Footer(plain(r)...)
				break
			}
			t.Row(plain(r)...)
		}
		return t.Render(terminal.Of(a.stdout))
	}}
	cmd := &cobra.Command{
		Use: "demo", Short: "Fill a throwaway PostgreSQL with mail, and purge it", Args: noArgs,
		Long: `demo starts its own PostgreSQL, fills it with sixty days of mail, and then
really checks, plans and purges it. It needs the binaries of PostgreSQL on this
machine, connects to no other database, and removes everything when it ends.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.json() {
				return usage(errors.New("demo has no --output json"))
			}
			if o.Mails < 1 {
				return usage(fmt.Errorf("--mails %d: write a positive number", o.Mails))
			}
			o.BinDir = bin
			err := demo.Run(cmd.Context(), o, demoCommands{a})
			var exit *exitError
			switch {
			case err == nil || errors.As(err, &exit):
				return err
			case cmd.Context().Err() != nil: // a killed initdb reports something else
				return cmd.Context().Err()
			case demo.NoServer(err):
				return usage(err)
			}
			return &exitError{code: exitFailed, err: err, lines: true} // with the server's log
		},
	}
	f := cmd.Flags()
	f.IntVar(&o.Mails, "mails", demoMails, "number of mails to create, about twelve rows each")
	f.BoolVar(&o.Keep, "keep", false, "leave the server running, and print how to connect and how to stop it")
	f.StringVar(&bin, "postgres-bin", "", "directory of initdb and postgres; default: PATH, and where packages install them")
	return cmd
}

// demoCommands are this program's commands with the demo's settings, whatever the environment.
type demoCommands struct{ app *app }

func (d demoCommands) on(dsn, policyFile string) (*app, error) {
	a := *d.app
	a.settings = settings{}
	if err := env.ParseWithOptions(&a.settings, env.Options{Environment: map[string]string{}}); err != nil {
		return nil, fmt.Errorf("reading the default settings: %w", err)
	}
	a.DatabaseURL, a.PolicyFile, a.Yes, a.progressEvery = dsn, policyFile, true, time.Second
	return &a, nil
}

func (d demoCommands) Check(ctx context.Context, dsn, policyFile string) error {
	a, err := d.on(dsn, policyFile)
	if err != nil {
		return err
	}
	return a.check(ctx, "")
}

func (d demoCommands) Plan(ctx context.Context, dsn, policyFile string) error {
	a, err := d.on(dsn, policyFile)
	if err != nil {
		return err
	}
	return a.plan(ctx, planFlags{})
}

func (d demoCommands) Purge(ctx context.Context, dsn, policyFile string) (*purge.Report, error) {
	a, err := d.on(dsn, policyFile)
	if err != nil {
		return nil, err
	}
	report, err := a.purge(ctx)
	if err != nil {
		return nil, err
	}
	return report, a.report(report)
}
