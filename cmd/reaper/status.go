package main

import (
	"context"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/purge"
)

// statusTimeout bounds the measuring of one policy: status is asked in a hurry.
const statusTimeout = 10 * time.Second

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show lag, backlog and the last runs", Args: noArgs,
		Long: `status shows, per policy: its lag (for how long the oldest expired row has been
due), its backlog (how many expired rows there are), and how the last run ended.
It reads the database and the ledger, and touches nothing.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	}
	a.selection(cmd)
	return cmd
}

// statusView is `status -o json`. What is not known is null.
type statusView struct {
	Policies []policyStatus `json:"policies"`
	Guards   []struct{}     `json:"guards"`
	Database databaseStatus `json:"database"`
}

type policyStatus struct {
	Name          string          `json:"name"`
	LagSeconds    *float64        `json:"lag_seconds"`
	BacklogRows   *int64          `json:"backlog_rows"`
	LastRun       *ledger.LastRun `json:"last_run"`
	LastSuccessAt *time.Time      `json:"last_success_at"`
	NextRunAt     *time.Time      `json:"next_run_at"`
	Paused        bool            `json:"paused"`
	Problem       string          `json:"problem,omitempty"` // why something is null
}

type databaseStatus struct {
	Up        bool   `json:"up"`
	Name      string `json:"name"`
	Version   string `json:"version"`
	SizeBytes *int64 `json:"size_bytes"` // null: no privilege
}

func (a *app) status(ctx context.Context) error {
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.pool.Close()
	l, err := a.ledger()
	if err != nil {
		return err
	}
	v := statusView{Policies: []policyStatus{}, Guards: []struct{}{}}
	if v.Database, err = database(ctx, s.pool); err != nil {
		return failed(err)
	}
	missing, err := l.NeedsMigration(ctx, s.pool)
	if err != nil {
		return failed(err)
	}
	for _, p := range s.plans {
		v.Policies = append(v.Policies, statusOf(ctx, s.pool, l, p, missing))
	}
	if a.json() {
		if err := a.printJSON(v); err != nil {
			return failed(err)
		}
		return nil
	}
	a.printStatus(v, missing)
	return nil
}

func database(ctx context.Context, pool *pgxpool.Pool) (databaseStatus, error) {
	d := databaseStatus{Up: true}
	err := pool.QueryRow(ctx, `SELECT current_database()::text, current_setting('server_version'),
		CASE WHEN has_database_privilege(current_database(), 'CONNECT') THEN pg_database_size(current_database()) END`).
		Scan(&d.Name, &d.Version, &d.SizeBytes)
	return d, err
}

func statusOf(ctx context.Context, pool *pgxpool.Pool, l *ledger.Ledger, p *purge.Plan, noLedger bool) policyStatus {
	st := policyStatus{Name: p.Policy.Name}
	if p.HasErrors() {
		st.Problem = "the policy has errors: see reaper check"
	} else if rows, lag, err := purge.Backlog(ctx, pool, p, statusTimeout); err != nil {
		st.Problem = err.Error()
	} else {
		st.BacklogRows, st.LagSeconds = &rows, &lag
	}
	if noLedger {
		return st
	}
	var err error
	if st.LastRun, st.LastSuccessAt, err = l.Last(ctx, pool, p.Policy.Name); err != nil {
		st.Problem = err.Error()
	}
	return st
}

func (a *app) printStatus(v statusView, noLedger bool) {
	size := "size unknown"
	if v.Database.SizeBytes != nil {
		size = bytesText(*v.Database.SizeBytes)
	}
	a.printf("database %s, PostgreSQL %s, %s\n", v.Database.Name, v.Database.Version, size)
	if noLedger {
		a.printf("there is no ledger yet, or an older one: the next purge (or reaper migrate) makes it\n")
	}
	t := grid(2, 3, 6)
	t.AppendHeader(table.Row{"policy", "lag", "rows due", "last run (UTC)", "ended", "rows deleted", "last success (UTC)"})
	for _, p := range v.Policies {
		row := table.Row{p.Name, "?", "?", "never", "", "", "never"}
		if p.LagSeconds != nil {
			row[1], row[2] = duration(*p.LagSeconds), humanize.Comma(*p.BacklogRows)
		}
		if r := p.LastRun; r != nil {
			row[3], row[5] = r.StartedAt.UTC().Format(time.DateTime), humanize.Comma(r.RowsTotal)
			row[4] = r.Status
		}
		if p.LastSuccessAt != nil {
			row[6] = p.LastSuccessAt.UTC().Format(time.DateTime)
		}
		t.AppendRow(row)
	}
	a.printf("%s\n", t.Render())
	for _, p := range v.Policies {
		if p.Problem != "" {
			a.printf("%s: %s\n", p.Name, p.Problem)
		}
		if p.LastRun != nil && p.LastRun.Reason != "" {
			a.printf("%s: last run %s: %s\n", p.Name, p.LastRun.Status, p.LastRun.Reason)
		}
	}
}
