package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
	"github.com/reaperdb/reaper/purge"
)

// isolationTenants share the rows of the part isolation; number 7 makes trouble.
const isolationTenants = 1000

// trouble is what one tenant does to the others; nothing, if it is empty.
type trouble struct {
	name string
	sql  string // before the run
	hold string // in a transaction that stays open during the run
}

var troubles = []trouble{
	{name: "its rows cannot be deleted", sql: `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
		CREATE TRIGGER poison AFTER DELETE ON events FOR EACH ROW WHEN (OLD.tenant_id = 7) EXECUTE FUNCTION refuse()`},
	{name: "its rows are locked throughout", hold: `SELECT count(*) FROM (SELECT FROM events WHERE tenant_id = 7 FOR UPDATE) x`},
	{name: "its backlog is a thousand times theirs", sql: `
		INSERT INTO events SELECT -e.id - 1000000000::bigint * n, 7, e.created_at, e.body FROM events e, generate_series(1, 1000) n WHERE e.tenant_id = 7;
		INSERT INTO details SELECT e.id, e.id, e.body FROM events e WHERE e.id < 0;
		VACUUM ANALYZE`},
}

// isolation measures how fast the rows of 999 tenants go within the window, beside one that makes
// trouble.
func isolation(ctx context.Context, b *bench) error {
	const part, template = "isolation", "isolation"
	n := 10 * b.mails
	sql := strings.NewReplacer("{{tenants}}", strconv.Itoa(isolationTenants), "{{n}}", strconv.Itoa(n), "{{details}}", "1").Replace(tenantsSQL) +
		";\nUPDATE tenants SET retention_days = 1"
	if err := b.create(ctx, template, fmt.Sprintf("%d events of %d tenants", n, isolationTenants), sql); err != nil {
		return err
	}
	ratios := map[string][]float64{}
	for range b.rounds {
		without, err := b.besides(ctx, template, trouble{})
		if err != nil {
			return err
		}
		for _, t := range troubles {
			with, err := b.besides(ctx, template, t)
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			ratios[t.name] = append(ratios[t.name], with/without)
			b.Say("one of %d tenants, %s: the others' rows %.0f/s, without it %.0f/s", isolationTenants, t.name, with, without)
		}
	}
	for _, t := range troubles {
		b.Judge(part, fmt.Sprintf("one of %d tenants, %s: the others' rows/s within %s, to those without it", isolationTenants, t.name, b.window),
			spread(ratios[t.name], "%.2f"), "≥ 0.9", median(ratios[t.name]) >= 0.9)
	}
	return b.drop(ctx, template)
}

// besides is how many rows a second of the other tenants go.
func (b *bench) besides(ctx context.Context, template string, t trouble) (rate float64, err error) {
	const name = "turn"
	dsn, err := b.fresh(ctx, name, template)
	if err != nil {
		return 0, err
	}
	if t.sql != "" {
		if err := lab.Execute(ctx, dsn, strings.Split(t.sql, ";\n")...); err != nil {
			return 0, err
		}
	}
	const others = `SELECT count(*) FROM events WHERE tenant_id <> 7`
	before, err := lab.Ask[int64](ctx, dsn, others)
	if err != nil {
		return 0, err
	}
	var c child
	if err := lab.OnDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		if t.hold != "" {
			if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
				return err
			}
			if _, err := conn.Exec(ctx, t.hold); err != nil {
				return err
			}
		}
		c, err = b.purgeFor(ctx, dsn, eventsPolicy, b.window)
		return err
	}); err != nil {
		return 0, err
	}
	after, err := lab.Ask[int64](ctx, dsn, others)
	if err != nil {
		return 0, err
	}
	if c.report.Status == purge.Complete {
		return 0, fmt.Errorf("everything was deleted within %s: use a larger -n or a shorter -window", b.window)
	}
	return float64(before-after) / c.took.Seconds(), b.drop(ctx, name)
}
