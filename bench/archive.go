package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/reaperdb/reaper/internal/lab"
)

// The archive must not slow a purge down more, nor need more memory.
const (
	archiveRatio  = 0.4
	archiveMemory = 96 << 20
)

// archived times a purge whose rows are copied into a folder first, the same purge without an archive,
// and the way back.
func archived(ctx context.Context, b *bench) (err error) {
	const part = "archive"
	load, err := b.fill(ctx, b.mails)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "reaper-bench-archive-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	side := defaultSide
	side.archive = filepath.Join(folder, "archive")
	with := b.method(side)
	with.name = "reaper, with an archive"
	purge := with.run
	with.run = func(ctx context.Context, dsn string) (outcome, error) {
		if err := os.RemoveAll(side.archive); err != nil {
			return outcome{}, err
		}
		return purge(ctx, dsn)
	}
	without := b.method(defaultSide)
	without.name = "reaper, without"
	turns, err := b.runRounds(ctx, load, []method{with, without})
	if err != nil {
		return err
	}
	b.Tell(part, with.name, bothRates(turns[0]))
	b.Tell(part, without.name, bothRates(turns[1]))
	values := ratios(each(turns[0], turn.rowRate), each(turns[1], turn.rowRate))
	b.Judge(part, "with an archive to without, rows/s", spread(values, "%.2f"), fmt.Sprintf("≥ %g (aim: 0.7)", archiveRatio), median(values) >= archiveRatio)
	peak := median(each(turns[0], func(t turn) float64 { return float64(t.child.peak) }))
	b.Judge(part, "peak memory with an archive", fmt.Sprintf("%.0f MiB", peak/(1<<20)), "≤ 96 MiB", peak <= archiveMemory)
	var back []float64
	for range b.rounds {
		rate, err := b.restored(ctx, with, side, load)
		if err != nil {
			return err
		}
		back = append(back, rate)
	}
	b.Tell(part, "restore of the whole run", spread(back, "%.0f")+" rows/s")
	return nil
}

// restored purges with an archive, restores everything, and returns the rows per second of that.
func (b *bench) restored(ctx context.Context, with method, s side, load workload) (float64, error) {
	const name = "turn"
	dsn, err := b.fresh(ctx, name, with.template)
	if err != nil {
		return 0, err
	}
	if _, err := with.run(ctx, dsn); err != nil {
		return 0, err
	}
	run, err := lab.Ask[string](ctx, dsn, `SELECT run_id::text FROM reaper.runs`)
	if err != nil {
		return 0, err
	}
	left, err := contents(ctx, dsn)
	if err != nil {
		return 0, err
	}
	file := filepath.Join(filepath.Dir(s.archive), "policy.yaml")
	if err := os.WriteFile(file, []byte(s.policy()), 0o600); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, _, err := b.command(ctx, dsn, "restore", "--yes", "--run", run, "--policy-file", file); err != nil {
		return 0, err
	}
	took := time.Since(began)
	has, err := contents(ctx, dsn)
	if err != nil {
		return 0, err
	}
	if d := difference(load.before, has); d != "" {
		return 0, fmt.Errorf("the restore brought back other rows: %s", d)
	}
	rows := rowsDeleted(has, left)
	b.Say("restore: %d rows in %s", rows, took.Round(time.Millisecond))
	return rate(rows, took), b.drop(ctx, name)
}
