package main

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
)

// purgeHere makes what `reaper purge` makes of a database, from the connection
// on, in this process: so each batch can be seen.
func purgeHere(ctx context.Context, dsn string, w *watch) (d did, err error) {
	started := time.Now()
	report, err := purgeOnce(ctx, dsn, w)
	d.took = time.Since(started)
	if err != nil {
		return d, err
	}
	if report.Status != purge.Complete {
		return d, fmt.Errorf("the purge ended %s: %s", report.Status, report.Policies[0].Reason)
	}
	d.base, err = baseOf(ctx, dsn)
	return d, err
}

func purgeOnce(ctx context.Context, dsn string, w *watch) (*purge.Report, error) {
	file, err := policy.Parse("mail.yaml", []byte(usual.policy()))
	if err != nil {
		return nil, err
	}
	config, err := purge.Config(dsn)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	plans, err := compile(ctx, pool, file)
	if err != nil {
		return nil, err
	}
	l := ledger.New(ledger.DefaultSchema, 0)
	if _, err := l.Migrate(ctx, pool); err != nil {
		return nil, err
	}
	runner := purge.Runner{Pool: pool, Ledger: l, Observer: w}
	return runner.Run(ctx, plans, purge.Options{Trigger: "manual"})
}

func compile(ctx context.Context, pool *pgxpool.Pool, file *policy.File) (plans []*purge.Plan, err error) {
	err = pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		server, err := purge.ReadServer(ctx, c.Conn())
		if err != nil {
			return err
		}
		plans, err = purge.Compile(ctx, c.Conn(), file, server, nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		for _, x := range p.Problems {
			if x.Level == purge.LevelError {
				return nil, fmt.Errorf("planning: %s", x.Text)
			}
		}
	}
	return plans, nil
}
