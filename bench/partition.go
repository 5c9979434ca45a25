package main

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/internal/lab"
)

//go:embed partition.sql
var partitionSQL string

// The rows that plain SQL would leave, and those that exist.
const (
	partitionStays = `SELECT count(*) || ' rows, ids ' || sum(e.id) FROM events e JOIN tenants t ON t.id = e.tenant_id
		WHERE NOT e.created_at < $1::text::timestamptz - make_interval(days => t.retention_days)`
	partitionHas = `SELECT count(*) || ' rows, ids ' || sum(id) FROM events`
	partitions   = `SELECT string_agg(inhrelid::regclass::text, ', ' ORDER BY 1) FROM pg_inherits WHERE inhparent = 'events'::regclass`
)

// partition measures how a partition that is expired as a whole is removed.
func partition(ctx context.Context, b *bench) error {
	const part, template, name = "partition", "events", "turn"
	rows := b.mails * 5
	if err := b.create(ctx, template, fmt.Sprintf("a partition of %d rows", rows), strings.ReplaceAll(partitionSQL, "{{n}}", strconv.Itoa(rows))); err != nil {
		return err
	}
	var took []float64
	var left, strategy string
	for range b.rounds {
		dsn, err := b.fresh(ctx, name, template)
		if err != nil {
			return err
		}
		c, err := b.purgeChild(ctx, dsn, eventsPolicy)
		if err != nil {
			return err
		}
		if err := b.checkPartition(ctx, dsn, template); err != nil {
			return err
		}
		if c.rows() != int64(rows) {
			return fmt.Errorf("reaper reports %d rows deleted, want %d", c.rows(), rows)
		}
		if left, err = lab.Ask[string](ctx, dsn, partitions); err != nil {
			return err
		}
		took, strategy = append(took, c.took.Seconds()), c.report.Policies[0].Strategy
		b.Say("%s in %.2f s", strategy, c.took.Seconds())
		if err := b.drop(ctx, name); err != nil {
			return err
		}
	}
	b.Tell(part, "strategy; partitions that stay", strategy+"; "+left)
	b.Judge(part, fmt.Sprintf("time of the process, a partition of %d expired rows", rows), spread(took, "%.2f")+" s", "≤ 1 s", median(took) <= 1)
	return nil
}

func (b *bench) checkPartition(ctx context.Context, dsn, template string) error {
	base, err := baseOf(ctx, dsn)
	if err != nil {
		return err
	}
	want, err := lab.Ask[string](ctx, b.server.DSN(template), partitionStays, base)
	if err != nil {
		return err
	}
	has, err := lab.Ask[string](ctx, dsn, partitionHas)
	if err == nil && has != want {
		err = fmt.Errorf("plain SQL would leave other rows: %s instead of %s", want, has)
	}
	return err
}
