package main

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

//go:embed tenants.sql
var tenantsSQL string

// shape is how rows are spread over tenants.
type shape struct {
	name           string
	tenants, rows  int // per 200,000 of -n
	details        bool
	least, aimedAt float64 // of rows per second, to the one big DELETE
}

var shapes = []shape{
	{"many", 50_000, 1_000_000, true, 0.9, 1.2},
	{"plain", 10, 2_000_000, false, 1.3, 1.6},
	{"plain_details", 10, 2_000_000, true, 1.3, 1.6},
}

// The rows of each table that plain SQL would leave, and those that exist.
const (
	shapeStays = `WITH staying AS MATERIALIZED (SELECT e.id FROM events e JOIN tenants t ON t.id = e.tenant_id
			WHERE NOT e.created_at < $1::text::timestamptz - make_interval(days => t.retention_days))
		SELECT (SELECT count(*) || ', ' || sum(id) FROM staying) || '; ' || (SELECT count(*) || ', ' || coalesce(sum(d.id), 0) FROM details d JOIN staying s ON s.id = d.event_id)`
	shapeHas = `SELECT (SELECT count(*) || ', ' || sum(id) FROM events) || '; ' || (SELECT count(*) || ', ' || coalesce(sum(id), 0) FROM details)`
	// shapeDelete is the one big DELETE.
	shapeDelete = `DELETE FROM events e USING tenants t WHERE t.id = e.tenant_id AND e.created_at < $1::text::timestamptz - make_interval(days => t.retention_days)`
)

// tenants deletes rows of many tenants with few rows each, and of few with many, beside one
// big DELETE.
func tenants(ctx context.Context, b *bench) error {
	for _, s := range shapes {
		if err := b.shape(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

func (b *bench) shape(ctx context.Context, s shape) error {
	template := "tenants_" + s.name
	n, count := s.rows*b.mails/200_000, max(s.tenants*b.mails/200_000, 1)
	details := 0
	if s.details {
		details = 1
	}
	sql := strings.NewReplacer("{{tenants}}", strconv.Itoa(count), "{{n}}", strconv.Itoa(n), "{{details}}", strconv.Itoa(details)).Replace(tenantsSQL)
	if err := b.create(ctx, template, fmt.Sprintf("%d events of %d tenants", n, count), sql); err != nil {
		return err
	}
	var ratio, own, big, ownRates, bigRates []float64
	var last child
	for range b.rounds {
		c, seconds, err := b.shapeRound(ctx, template)
		if err != nil {
			return err
		}
		last, own, big = c, append(own, c.took.Seconds()), append(big, seconds)
		ratio = append(ratio, seconds/c.took.Seconds())
		// What stays is the same on both sides, so what was deleted is too.
		ownRates, bigRates = append(ownRates, rate(c.rows(), c.took)), append(bigRates, float64(c.rows())/seconds)
	}
	b.result.Rates = append(b.result.Rates, rateGroup{
		Title: s.plotTitle(count, n), Peers: []rateLine{{Name: bigDelete.name, Rates: bigRates}}, Sides: []rateLine{{Name: plotDefault, Rates: ownRates}},
	})
	p := last.report.Policies[0]
	title := fmt.Sprintf("%s: %d tenants, %d rows, half due", s.name, count, n)
	b.Tell("tenants", title+", seconds of reaper and of the one big DELETE", spread(own, "%.2f")+"; "+spread(big, "%.2f"))
	b.Tell("tenants", title+", batches; longest; memory", fmt.Sprintf("%d; %.0f ms; %d MiB", p.Batches, p.BatchSeconds.Max*1000, last.maxRSS>>20))
	b.Judge("tenants", title+", to the one big DELETE", spread(ratio, "%.2f"), fmt.Sprintf("≥ %g (aim: %g)", s.least, s.aimedAt), median(ratio) >= s.least)
	return nil
}

// shapeRound deletes once in each way, and compares what stays with plain SQL.
func (b *bench) shapeRound(ctx context.Context, template string) (c child, bigDelete float64, err error) {
	const name = "turn"
	dsn, err := b.fresh(ctx, name, template)
	if err != nil {
		return c, 0, err
	}
	if c, err = b.purgeChild(ctx, dsn, eventsPolicy); err != nil {
		return c, 0, err
	}
	base, err := baseOf(ctx, dsn)
	if err == nil {
		err = b.shapeIsRight(ctx, dsn, template, base)
	}
	if err == nil {
		err = b.drop(ctx, name)
	}
	if err != nil {
		return c, 0, err
	}
	if dsn, err = b.fresh(ctx, name, template); err != nil {
		return c, 0, err
	}
	started := time.Now()
	err = lab.OnDatabase(ctx, dsn, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, shapeDelete, base)
		return err
	})
	bigDelete = time.Since(started).Seconds()
	if err == nil {
		err = b.shapeIsRight(ctx, dsn, template, base)
	}
	if err != nil {
		return c, 0, err
	}
	b.Say("reaper %.2f s, the one big DELETE %.2f s", c.took.Seconds(), bigDelete)
	return c, bigDelete, b.drop(ctx, name)
}

func (b *bench) shapeIsRight(ctx context.Context, dsn, template, base string) error {
	want, err := lab.Ask[string](ctx, b.server.DSN(template), shapeStays, base)
	if err != nil {
		return err
	}
	has, err := lab.Ask[string](ctx, dsn, shapeHas)
	if err == nil && has != want {
		err = fmt.Errorf("plain SQL would leave other rows: %s instead of %s", want, has)
	}
	return err
}
