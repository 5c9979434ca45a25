package main

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/internal/lab"
)

//go:embed policies.sql
var policiesSQL string

// The part policies: as many policies as tables, which share the tenants.
const (
	policyCount   = 200
	policyTenants = 100
)

// policies measures a purge when nothing is due: many policies, each on a table of its own.
func policies(ctx context.Context, b *bench) error {
	rows := b.mails / policyCount // of each table
	sql := strings.NewReplacer("{{tenants}}", strconv.Itoa(policyTenants), "{{tables}}", strconv.Itoa(policyCount),
		"{{n}}", strconv.Itoa(rows)).Replace(policiesSQL)
	if err := b.create(ctx, "policies", fmt.Sprintf("%d tables of %d rows", policyCount, rows), sql); err != nil {
		return err
	}
	idle := nothingDue{b: b, database: "policies", policy: manyPolicies(policyCount)}
	measured, err := idle.measure(ctx)
	if err != nil {
		return err
	}
	b.judgePolicies(measured)
	b.Say("the statements of a purge that come most often, their first lines:\n%s", strings.Join(mostFrequent(measured.statements, 20), "\n"))
	return b.lookAtPolicies(ctx, idle.policy)
}

// allDue gives each table of policies.sql rows that are due.
const allDue = `DO $$
BEGIN
    FOR t IN 1 .. %d LOOP
        EXECUTE format('INSERT INTO events_%%s SELECT 10000000 + g, 1 + g %%%% %d, now() - interval ''60 days'', md5(g::text)
            FROM generate_series(1, %d) AS g', t);
    END LOOP;
END $$`

// lookAtPolicies measures status without a daemon, and what a Prometheus waits for beside a purge.
func (b *bench) lookAtPolicies(ctx context.Context, policy string) error {
	const part = "policies"
	dsn, what := b.server.DSN("policies"), fmt.Sprintf("%d policies", policyCount)
	file, err := b.policyFile("policies.yaml", policy)
	if err != nil {
		return err
	}
	if _, err := b.judgeCommand(ctx, part, "`reaper status` without a daemon, "+what, dsn, 2, "status", "--policy-file", file); err != nil {
		return err
	}
	if err := lab.Execute(ctx, dsn, fmt.Sprintf(allDue, policyCount, policyTenants, b.mails/20)); err != nil {
		return err
	}
	return b.judgeScrapes(ctx, part, what, dsn, file)
}

func (b *bench) judgePolicies(measured idleFigures) {
	const part = "policies"
	what := fmt.Sprintf("%d policies on %d tables", policyCount, policyCount)
	b.Tell(part, "first run, which makes the ledger, "+what, measured.firstRun())
	b.Judge(part, "time of the process, "+what, spread(measured.seconds, "%.2f")+" s", "≤ 1.2 s (aim: 0.6 s)", median(measured.seconds) <= 1.2)
	b.Tell(part, "statements", strconv.Itoa(len(measured.statements)))
}

// manyPolicies is a policy file for the first n tables of policies.sql.
func manyPolicies(n int) string {
	var text strings.Builder
	text.WriteString("version: 1\ntenants: {table: tenants, key: id, retention: retention_days}\npolicies:\n")
	for t := 1; t <= n; t++ {
		fmt.Fprintf(&text, "  - {name: events-%d, table: events_%d, age: created_at, tenant: [tenant_id], vacuum: never}\n", t, t)
	}
	return text.String()
}
