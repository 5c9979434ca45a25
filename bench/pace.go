package main

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// defaultPaces are the paces of the curve; full and gentle are compared.
const defaultPaces = "full,75%,50%,gentle,25%,10%"

// The time before the purge, and after its limit: the foreground starts earlier and ends
// later.
const paceLead, paceTail = 2 * time.Second, 3 * time.Second

// pace plots pace against rows per second and the latency of an application on the same
// database.
func pace(ctx context.Context, b *bench) error {
	const part = "pace"
	front, err := b.foreground(b.mails)
	if err != nil {
		return err
	}
	load, err := b.fill(ctx, b.mails)
	if err != nil {
		return err
	}
	c := &curve{b: b, load: load, front: front}
	maxRate, err := c.maxRate(ctx)
	if err != nil {
		return err
	}
	c.rate = 0.3 * maxRate
	var undisturbed []point
	paced := map[string][]point{}
	for range b.rounds {
		p, err := c.undisturbed(ctx)
		if err != nil {
			return err
		}
		undisturbed = append(undisturbed, p)
		for _, name := range b.paces {
			if p, err = c.alongside(ctx, name); err != nil {
				return fmt.Errorf("pace %s: %w", name, err)
			}
			paced[name] = append(paced[name], p)
		}
	}
	b.Tell(part, fmt.Sprintf("foreground, %d clients: requests/s at most; wanted in the open loop", clients), fmt.Sprintf("%.0f; %.0f (30 %%)", maxRate, c.rate))
	b.Tell(part, noPurge, formatLatencies(undisturbed))
	for _, name := range b.paces {
		b.Tell(part, "pace "+name, fmt.Sprintf("%s rows/s; %s", spread(each(paced[name], point.rows), "%.0f"), formatLatencies(paced[name])))
	}
	c.record(undisturbed, paced)
	c.judge(undisturbed, paced["full"], paced["gentle"])
	return nil
}

func (c *curve) judge(undisturbed, full, gentle []point) {
	if len(gentle) == 0 {
		return
	}
	p99 := ratios(each(gentle, point.p99), each(undisturbed, point.p99))
	c.b.Judge("pace", "gentle, the foreground's p99 to that without a purge", spread(p99, "%.2f"), "≤ 1.5", median(p99) <= 1.5)
	if len(full) == 0 {
		return
	}
	speed := ratios(each(gentle, point.rows), each(full, point.rows))
	c.b.Judge("pace", "gentle, rows/s to full", spread(speed, "%.2f"), "≥ 0.25", median(speed) >= 0.25)
}

// curve is what its points share.
type curve struct {
	b     *bench
	load  workload
	front *foreground
	rate  float64 // requests per second in the open loop
}

// point is one measurement: a purge's speed (0 if none), and the latencies, in seconds, of the
// requests that were due during it.
type point struct {
	rowRate float64
	seconds []float64
}

func (p point) rows() float64 { return p.rowRate }
func (p point) p50() float64  { return quantile(p.seconds, 0.5) }
func (p point) p99() float64  { return quantile(p.seconds, 0.99) }

func formatLatencies(points []point) string {
	ms := func(of func(point) float64) []float64 {
		return each(points, func(p point) float64 { return of(p) * 1000 })
	}
	return fmt.Sprintf("p50 %s ms, p99 %s ms of %.0f requests", spread(ms(point.p50), "%.2f"), spread(ms(point.p99), "%.2f"),
		median(each(points, func(p point) float64 { return float64(len(p.seconds)) })))
}

// maxRate measures the foreground's throughput with the server to itself.
func (c *curve) maxRate(ctx context.Context) (maxRate float64, err error) {
	err = c.onCopy(ctx, func(dsn string) error {
		maxRate, err = c.front.maxRate(ctx, dsn, c.b.window)
		return err
	})
	return maxRate, err
}

// onCopy runs fn on a fresh copy.
func (c *curve) onCopy(ctx context.Context, fn func(dsn string) error) error {
	const name = "turn"
	dsn, err := c.b.fresh(ctx, name, cascading)
	if err != nil {
		return err
	}
	if err := fn(dsn); err != nil {
		return err
	}
	return c.b.drop(ctx, name)
}

func (c *curve) undisturbed(ctx context.Context) (p point, err error) {
	err = c.onCopy(ctx, func(dsn string) error {
		wait, err := c.front.start(ctx, dsn, c.rate, paceLead+c.b.window)
		if err != nil {
			return err
		}
		from := time.Now().Add(paceLead)
		all, err := wait()
		if err != nil {
			return err
		}
		p.seconds = between(all, from, from.Add(c.b.window))
		return enough(p)
	})
	if err == nil {
		c.b.Say("no purge: p99 %.2f ms", p.p99()*1000)
	}
	return p, err
}

// alongside purges during the foreground, for at most the window.
func (c *curve) alongside(ctx context.Context, pace string) (p point, err error) {
	s := defaultSide
	if pace != "full" { // the default
		s.pace = pace
	}
	err = c.onCopy(ctx, func(dsn string) error {
		wait, err := c.front.start(ctx, dsn, c.rate, paceLead+c.b.window+paceTail)
		if err != nil {
			return err
		}
		lead := time.NewTimer(paceLead)
		select {
		case <-lead.C:
		case <-ctx.Done(): // this ends pgbench too
		}
		run, purgeErr := c.b.purgeFor(ctx, dsn, s.policy(), c.b.window)
		all, err := wait()
		if err := errors.Join(purgeErr, err); err != nil {
			return err
		}
		p.rowRate = rate(run.rows(), run.seconds())
		p.seconds = between(all, run.report.StartedAt, run.report.FinishedAt)
		if err := enough(p); err != nil {
			return err
		}
		return c.check(ctx, dsn)
	})
	if err == nil {
		c.b.Say("pace %s: %.0f rows/s, p99 %.2f ms", pace, p.rowRate, p.p99()*1000)
	}
	return p, err
}

// enough refuses a p99 of too few requests.
func enough(p point) error {
	if len(p.seconds) < 100 {
		return fmt.Errorf("only %d requests were due in that time, too few for a p99; take a larger -n or -window", len(p.seconds))
	}
	return nil
}

// check compares the rows that plain SQL would leave with those that exist; an interrupted
// purge leaves others too.
func (c *curve) check(ctx context.Context, dsn string) error {
	base, err := baseOf(ctx, dsn)
	if err != nil {
		return err
	}
	want, err := staying(ctx, c.b.server.DSN(cascading), base, c.load.mails)
	if err != nil {
		return err
	}
	has, err := staying(ctx, dsn, base, c.load.mails)
	if err != nil {
		return err
	}
	if d := difference(want, has); d != "" {
		return fmt.Errorf("rows were deleted that were not due: %s", d)
	}
	return nil
}
