package main

import (
	"context"
	"fmt"
	"math"
)

// memory compares the peak memory of purges of two backlogs.
func memory(ctx context.Context, b *bench) error {
	const part = "memory"
	var peaks []float64
	for _, mails := range []int{b.mails / 4, b.mails * 5 / 2} {
		load, err := b.fill(ctx, mails)
		if err != nil {
			return err
		}
		t, err := b.turn(ctx, load, b.method(defaultSide))
		if err != nil {
			return err
		}
		peak := float64(t.child.peak) / mib
		peaks = append(peaks, peak)
		// The larger of the two figures is judged.
		b.Judge(part, fmt.Sprintf("peak of `reaper purge`, n=%d (%d rows deleted)", mails, t.rows),
			fmt.Sprintf("%.1f MiB (Maxrss %.1f MiB)", peak, float64(t.child.maxRSS)/mib), "≤ 64 MiB", max(t.child.peak, t.child.maxRSS) <= 64*mib)
		if err := b.drop(ctx, cascading); err != nil {
			return err
		}
	}
	more := peaks[1] - peaks[0]
	b.Judge(part, "more memory for ten times the mails", fmt.Sprintf("%+.1f MiB", more), "within 8 MiB", math.Abs(more) <= 8)
	return nil
}
