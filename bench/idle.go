package main

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/internal/lab"
)

var (
	//go:embed events.yaml
	eventsPolicy string
	//go:embed idle.sql
	idleSQL string
)

// idle measures a purge when nothing is due: many tenants with a few fresh rows each.
func idle(ctx context.Context, b *bench) error {
	const part = "idle"
	tenants := b.tenants
	if tenants == 0 {
		tenants = b.mails * 5
	}
	sql := strings.ReplaceAll(idleSQL, "{{n}}", strconv.Itoa(tenants))
	if err := b.create(ctx, "idle", fmt.Sprintf("%d tenants", tenants), sql); err != nil {
		return err
	}
	measured, err := nothingDue{b: b, database: "idle", policy: eventsPolicy}.measure(ctx)
	if err != nil {
		return err
	}
	statements := measured.statements
	b.Tell(part, fmt.Sprintf("first run, which makes the ledger, %d tenants", tenants), measured.firstRun())
	b.Judge(part, fmt.Sprintf("time of the process, %d tenants", tenants), spread(measured.seconds, "%.2f")+" s", "≤ 2.5 s (aim: 1.5 s)", median(measured.seconds) <= 2.5)
	b.Judge(part, "statements", strconv.Itoa(len(statements)), "≤ 30", len(statements) <= 30)
	if len(statements) > 30 {
		b.Say("the statements of an idle purge, their first lines:\n%s", strings.Join(statements, "\n"))
	}
	return b.lookAtTenants(ctx, part, tenants)
}

// halfDue gives every second tenant of idle.sql a row that is due.
const halfDue = `INSERT INTO events (tenant_id, created_at, body)
	SELECT id, now() - interval '60 days', md5(id::text) FROM tenants WHERE id % 2 = 0`

// lookAtTenants measures plan and status of many tenants: nothing is due, and then half have something.
func (b *bench) lookAtTenants(ctx context.Context, part string, tenants int) error {
	dsn := b.server.DSN("idle")
	file, err := b.policyFile("idle.yaml", eventsPolicy)
	if err != nil {
		return err
	}
	for _, c := range []struct{ what, change string }{{"nothing due", "ANALYZE"}, {"half of them due", halfDue + "; ANALYZE"}} {
		if err := lab.Execute(ctx, dsn, c.change); err != nil {
			return err
		}
		if err := b.judgePlans(ctx, part, fmt.Sprintf("%d tenants, %s", tenants, c.what), dsn, file); err != nil {
			return err
		}
	}
	return nil
}
