package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/daemon"
	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/web"
)

func (a *app) statusCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "status", Short: "Show lag, backlog and the last runs", Args: noArgs,
		Long: `status shows, per policy: its lag (for how long the oldest expired row has been
due), its backlog (how many expired rows there are), how the last run ended, and
whether deleting keeps up. It also shows pauses and holds by hand, and how the
database grows. Lag and backlog are what a daemon on the database has measured, if
one is running; else they are measured now. It reads the database and the ledger,
and changes nothing.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.status(cmd.Context()) },
	}
	a.selection(cmd)
	return cmd
}

func (a *app) status(ctx context.Context) error {
	file, err := a.readPolicy()
	if err != nil {
		return err
	}
	if err := a.checkPolicies(file); err != nil {
		return err
	}
	c, err := a.daemonConfig()
	if err != nil {
		return err
	}
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	c.Pool, c.Metrics, c.Pings = pool, metrics.New(prometheus.NewRegistry(), metrics.Build{}), heartbeat.New(heartbeat.Config{})
	v, err := daemon.Look(ctx, c, a.Policies)
	if err != nil {
		return ledgerFailed(err)
	}
	if a.json() {
		if err := a.printJSON(v); err != nil {
			return failed(err)
		}
		return nil
	}
	missing, err := c.Ledger.NeedsMigration(ctx, pool)
	if err != nil {
		return ledgerFailed(err)
	}
	a.printStatus(v, missing)
	return nil
}

func (a *app) printStatus(v web.Status, noLedger bool) {
	size := "size unknown"
	if v.Database.SizeBytes != nil {
		size = bytesText(*v.Database.SizeBytes)
	}
	a.printf("database %s, PostgreSQL %s, %s\n", visible.Text(v.Database.Name), visible.Text(v.Database.Version), size)
	switch {
	case noLedger:
		a.printf("the ledger is missing or outdated: the next purge (or reaper migrate) creates or upgrades it\n")
	case v.Leader == "":
		a.printf("no daemon is running on this database\n")
	}
	if f := v.Database.Forecast; f != nil {
		a.printf("storage: %s\n", visible.Text(forecastText(f)))
	}
	a.printf("%s", pausesText(v.Pauses))
	a.printf("%s", holdsText(v.Holds))
	for _, e := range v.Erasures {
		a.printf("erasure %s: %s\n", e.ID, visible.Text(e.Text()))
	}
	t := terminal.NewTable(column("policy", 0), figure("lag", 0), figure("rows due", 0), column("last run (UTC)", 3), column("ended", 1),
		figure("rows deleted", 5), column("last success (UTC)", 4), column("next run (UTC)", 2))
	for _, p := range v.Policies {
		t.Row(statusRow(p)...)
	}
	a.printTable(t)
	if len(v.Guards) > 0 {
		a.printTable(guardsTable(v.Guards))
	}
	for _, p := range v.Policies {
		for _, line := range statusLines(p) {
			a.printf("%s: %s\n", p.Name, visible.Text(line))
		}
	}
}

func statusRow(p web.Policy) []any {
	row := []any{p.Name, "?", "?", "never", "", "", "never", ""}
	if p.LagSeconds != nil {
		row[1] = duration(*p.LagSeconds)
	}
	if p.BacklogRows != nil {
		row[2] = humanize.Comma(*p.BacklogRows)
	}
	if r := p.LastRun; r != nil {
		row[3], row[4], row[5] = r.StartedAt.UTC().Format(time.DateTime), toned(r.Status), humanize.Comma(r.RowsTotal)
	}
	if p.LastSuccessAt != nil {
		row[6] = p.LastSuccessAt.UTC().Format(time.DateTime)
	}
	if p.NextRunAt != nil {
		row[7] = p.NextRunAt.UTC().Format(time.DateTime)
	}
	return row
}

// statusLines are remarks about a policy besides its numbers.
func statusLines(p web.Policy) (lines []string) {
	if p.Late {
		limit := "max_lag, " + duration(*p.MaxLagSeconds)
		if p.MaxLagAssumed {
			limit = duration(*p.MaxLagSeconds) + " (two cycles of the schedule and the longest of the last runs)"
		}
		lines = append(lines, "late: the lag is above "+limit)
	}
	if p.Problem != "" {
		lines = append(lines, p.Problem)
	}
	if p.Running != nil && p.Running.Held != nil {
		h := p.Running.Held
		lines = append(lines, fmt.Sprintf("the run is held back by the guard %s (%s): %s", h.Guard, h.State, h.Reason))
	}
	if b := p.Balance; b != nil && b.Arrival != nil {
		lines = append(lines, balanceText(b))
	}
	unowned := ""
	if p.Unowned.Most() {
		unowned = p.Unowned.Text()
		lines = append(lines, "warning: "+unowned)
	}
	if r := p.LastRun; r != nil && r.Reason != "" && r.Reason != p.Problem && r.Reason != unowned {
		lines = append(lines, "last run "+r.Status+": "+r.Reason)
	}
	if len(p.WorstTenants) > 0 && p.WorstTenants[0].Key != nil {
		var worst []string
		for _, w := range p.WorstTenants {
			worst = append(worst, quotedKey(*w.Key)+" for "+duration(w.LagSeconds))
		}
		lines = append(lines, "most overdue tenants: "+strings.Join(worst, ", "))
	}
	return lines
}
