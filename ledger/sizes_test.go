package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/ledger"
)

func TestSizes(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	due := func(want bool) {
		t.Helper()
		if got, err := b.SizeDue(t.Context(), b.pool); got != want || err != nil {
			t.Errorf("a size is due: %t (%v), want %t", got, err, want)
		}
	}
	due(true)
	full := ledger.Size{
		Database: new(int64(1 << 40)), WAL: new(int64(1 << 24)), Tables: map[string]int64{`public."odd.name"`: 4096},
		Policies: map[string]ledger.Counts{"mails": {Backlog: new(int64(7)), Deleted: 100, Inserted: 200}, "logs": {Deleted: 1}},
	}
	b.do(b.SaveSize(t.Context(), b.pool, full))
	due(false)
	b.Exec(t, `UPDATE reaper.size SET at = at - interval '5 minutes'`)
	due(true)
	b.do(b.SaveSize(t.Context(), b.pool, ledger.Size{}))
	got, err := b.Sizes(t.Context(), b.pool, time.Hour)
	b.do(err)
	for i := range got {
		if age := time.Since(got[i].At) - time.Duration(1-i)*5*time.Minute; age < -time.Minute || age > time.Minute {
			t.Errorf("size %d is of %s", i, got[i].At)
		}
		got[i].At = time.Time{}
	}
	want := []ledger.Size{full, {Tables: map[string]int64{}, Policies: map[string]ledger.Counts{}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got, err := b.Sizes(t.Context(), b.pool, time.Minute); len(got) != 1 || err != nil {
		t.Errorf("%d sizes of the last minute (%v), want 1", len(got), err)
	}
}

// Sizes are kept for 400 days, thinned out: every 5 minutes for two days, then one per
// hour, then one per day, always the same one.
func TestSizesAreThinned(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	b.Exec(t, `INSERT INTO reaper.size (at, tables, policies)
		SELECT at, '{}', '{}' FROM generate_series(now() - interval '410 days', now() - interval '1 minute', interval '5 minutes') at`)
	const (
		daily  = `(SELECT count(DISTINCT date_trunc('day', at, 'UTC')) FROM reaper.size WHERE at < now() - interval '35 days')`
		hourly = `(SELECT count(DISTINCT date_trunc('hour', at, 'UTC')) FROM reaper.size WHERE at BETWEEN now() - interval '35 days' AND now() - interval '2 days')`
		counts = `SELECT count(*) FILTER (WHERE at < now() - interval '35 days') = ` + daily + ` AND ` + daily + ` BETWEEN 365 AND 367
			AND count(*) FILTER (WHERE at BETWEEN now() - interval '35 days' AND now() - interval '2 days') = ` + hourly + ` AND ` + hourly + ` BETWEEN 792 AND 794
			AND count(*) FILTER (WHERE at > now() - interval '2 days') BETWEEN 576 AND 578
			AND min(at) > now() - interval '400 days' FROM reaper.size`
	)
	b.do(b.SaveSize(t.Context(), b.pool, ledger.Size{}))
	if !b.Bool(t, counts) {
		b.lines("", `SELECT date_trunc('day', at, 'UTC')::text || ' ' || count(*) FROM reaper.size GROUP BY 1 ORDER BY 1`)
	}
	// An hour later, daily sizes do not vanish one by one.
	b.Exec(t, `CREATE TABLE before AS SELECT at - interval '1 hour' AS at FROM reaper.size; UPDATE reaper.size SET at = at - interval '1 hour'`)
	b.do(b.SaveSize(t.Context(), b.pool, ledger.Size{}))
	if gone := b.Int(t, `SELECT count(*) FROM before WHERE at < now() - interval '60 days' AND at > now() - interval '390 days' AND NOT EXISTS (SELECT FROM reaper.size s WHERE s.at = before.at)`); gone > 0 {
		t.Errorf("of the daily sizes %d are gone", gone)
	}
}
