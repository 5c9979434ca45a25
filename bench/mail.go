package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/purge"
)

// mail purges the mail workload with one connection, and with one big DELETE.
func mail(ctx context.Context, b *bench) error {
	const part = "mail"
	if err := b.fill(ctx, "mail", b.mails); err != nil {
		return err
	}
	before, err := contents(ctx, b.server.DSN("mail"))
	if err != nil {
		return err
	}
	var mails, rows, plainMails, plainRows, ratios, rowRatios, middle, longest []float64
	var batches, retries int
	var deleted, roots int64
	differs := ""
	for round := range b.rounds {
		dsn, err := b.fresh(ctx, "mail_reaper")
		if err != nil {
			return err
		}
		ours, w, base, err := purgeHere(ctx, dsn)
		if err != nil {
			return err
		}
		if dsn, err = b.fresh(ctx, "mail_plain"); err != nil {
			return err
		}
		plain, err := plainDelete(ctx, dsn, base)
		if err != nil {
			return err
		}
		if d := difference(ours.after, plain.after); d != "" {
			differs = d
		}
		deleted, roots = gone(before, ours.after), ours.mails
		if ours.rows != deleted {
			return fmt.Errorf("reaper reported %d rows and deleted %d", ours.rows, deleted)
		}
		mails, rows = append(mails, rate(ours.mails, ours.took)), append(rows, rate(deleted, ours.took))
		plainMails = append(plainMails, rate(plain.mails, plain.took))
		plainRows = append(plainRows, rate(gone(before, plain.after), plain.took))
		batches, retries = len(w.batches), retries+w.retries
		var times []float64
		for _, e := range w.batches {
			times = append(times, e.Duration.Seconds())
		}
		middle, longest = append(middle, median(times)), append(longest, slices.Max(times))
		if batches >= 20 {
			byTime, byRow := tenths(w.batches)
			ratios, rowRatios = append(ratios, byTime), append(rowRatios, byRow)
		}
		b.say("round %d: reaper %s, DELETE %s", round+1, ours.took.Round(1e6), plain.took.Round(1e6))
		if err := b.drop(ctx, "mail_reaper", "mail_plain"); err != nil {
			return err
		}
	}
	size := fmt.Sprintf("n=%d", b.mails)
	b.tell(part, "mails due, rows with them, "+size, fmt.Sprintf("%d, %d", roots, deleted))
	same := "equal"
	if differs != "" {
		same = differs
	}
	b.judge(part, "rows per table beside plain SQL", same, "equal", differs == "")
	b.tell(part, "reaper, one connection", fmt.Sprintf("%s mails/s, %s rows/s", spread(mails, "%.0f"), spread(rows, "%.0f")))
	b.tell(part, "one big DELETE", fmt.Sprintf("%s mails/s, %s rows/s", spread(plainMails, "%.0f"), spread(plainRows, "%.0f")))
	b.tell(part, "batches of a round, retries of all rounds", fmt.Sprintf("%d, %d", batches, retries))
	b.tell(part, "time of a batch, median and longest of a round", fmt.Sprintf("%.0f ms, %.0f ms", median(middle)*1000, slices.Max(longest)*1000))
	const name = "time of a batch, last tenth to first tenth of the run"
	if len(ratios) == 0 {
		b.tell(part, name, fmt.Sprintf("too few batches (%d)", batches))
		return nil
	}
	b.judge(part, name, spread(ratios, "%.2f"), "≤ 1.3", median(ratios) <= 1.3)
	b.tell(part, "the same per row deleted", spread(rowRatios, "%.2f"))
	return nil
}

// tenths compares the last tenth of the batches with the first: the median of
// their times, and of their times per row.
func tenths(batches []purge.BatchEvent) (byTime, byRow float64) {
	tenth := len(batches) / 10
	medians := func(of []purge.BatchEvent) (time, row float64) {
		var times, rows []float64
		for _, e := range of {
			times = append(times, e.Duration.Seconds())
			rows = append(rows, e.Duration.Seconds()/float64(max(e.Rows, 1)))
		}
		return median(times), median(rows)
	}
	firstTime, firstRow := medians(batches[:tenth])
	lastTime, lastRow := medians(batches[len(batches)-tenth:])
	return lastTime / firstTime, lastRow / firstRow
}
