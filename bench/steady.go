package main

import (
	"context"
	"fmt"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/purge"
)

// steady measures whether batches slow down during a purge, as they do if each one reads the
// dead rows of earlier ones. Autovacuum is off.
func steady(ctx context.Context, b *bench) error {
	const part = "steady"
	load, err := b.fill(ctx, b.mails)
	if err != nil {
		return err
	}
	var byTime, byRow []float64
	var batches, retries int
	w := method{name: "reaper in this process", template: cascading, run: func(ctx context.Context, dsn string) (d outcome, err error) {
		seen := &watch{}
		if d, err = b.purgeHere(ctx, dsn, seen); err != nil {
			return d, err
		}
		if batches = len(seen.batches); batches >= 20 {
			time, row := tenths(seen.batches)
			byTime, byRow = append(byTime, time), append(byRow, row)
		}
		retries += seen.retries
		return d, nil
	}}
	if _, err := b.runRounds(ctx, load, []method{w}); err != nil {
		return err
	}
	b.Tell(part, fmt.Sprintf("batches of a round, retries of all rounds, n=%d", load.mails), fmt.Sprintf("%d, %d", batches, retries))
	if len(byTime) == 0 {
		b.Tell(part, "time of a batch, last tenth to first tenth of the run", fmt.Sprintf("too few batches (%d)", batches))
		return nil
	}
	b.Judge(part, "time of a batch, last tenth to first tenth of the run", spread(byTime, "%.2f"), "≤ 1.15", median(byTime) <= 1.15)
	b.Judge(part, "the same per row deleted", spread(byRow, "%.2f"), "≤ 1.15", median(byRow) <= 1.15)
	return nil
}

// watch records a run's batches. The run calls it from one goroutine at a time.
type watch struct {
	purge.Silent
	batches []purge.BatchEvent
	retries int
}

// Batch records a batch.
func (w *watch) Batch(e purge.BatchEvent) { w.batches = append(w.batches, e) }

// Retry counts retries.
func (w *watch) Retry(string, string) { w.retries++ }

func (w *watch) Advised(string, guard.Advice) {}

// tenths compares the last tenth of the batches with the first: the median of their times, and
// of their times per row.
func tenths(batches []purge.BatchEvent) (byTime, byRow float64) {
	tenth := len(batches) / 10
	medians := func(of []purge.BatchEvent) (time, row float64) {
		return median(each(of, func(e purge.BatchEvent) float64 { return e.Duration.Seconds() })),
			median(each(of, func(e purge.BatchEvent) float64 { return e.Duration.Seconds() / float64(max(e.Rows, 1)) }))
	}
	firstTime, firstRow := medians(batches[:tenth])
	lastTime, lastRow := medians(batches[len(batches)-tenth:])
	return lastTime / firstTime, lastRow / firstRow
}
