package main

import (
	"context"
	"fmt"
	"math"
)

// memory looks at the peak of a purge's memory beside two sizes of backlog.
func memory(ctx context.Context, b *bench) error {
	const part, mib = "memory", 1 << 20
	var small, large float64
	for i, mails := range []int{b.mails / 4, b.mails * 5 / 2} {
		if err := b.fill(ctx, "memory", mails); err != nil {
			return err
		}
		c, err := b.purgeChild(ctx, b.server.DSN("memory"), mailPolicy)
		if err != nil {
			return err
		}
		if c.rows == 0 {
			return fmt.Errorf("the purge of %d mails deleted nothing", mails)
		}
		peak := float64(c.peak) / mib
		// The larger of both accounts is judged.
		b.judge(part, fmt.Sprintf("peak of `reaper purge`, n=%d (%d rows deleted)", mails, c.rows),
			fmt.Sprintf("%.1f MiB (Maxrss %.1f MiB)", peak, float64(c.maxRSS)/mib), "≤ 64 MiB", max(c.peak, c.maxRSS) <= 64*mib)
		if small = large; i == 0 {
			small = peak
		}
		large = peak
		if err := b.drop(ctx, "memory"); err != nil {
			return err
		}
	}
	b.judge(part, "more memory for ten times the mails", fmt.Sprintf("%+.1f MiB", large-small), "within 8 MiB", math.Abs(large-small) <= 8)
	return nil
}
