package main

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/internal/lab"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
)

// purgeHere does what `reaper purge` does, from connecting on, but in this process so that
// each batch can be observed.
func (b *bench) purgeHere(ctx context.Context, dsn string, w *watch) (d outcome, err error) {
	started := time.Now()
	report, err := b.purgeOnce(ctx, dsn, w)
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

func (b *bench) purgeOnce(ctx context.Context, dsn string, w *watch) (*purge.Report, error) {
	config, err := pg.PoolConfig(dsn)
	if err != nil {
		return nil, err
	}
	config.MaxConns = int32(b.connections) + 1
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	plans, err := compile(ctx, conn.Conn(), defaultSide)
	conn.Release()
	if err != nil {
		return nil, err
	}
	l := ledger.New(ledger.DefaultSchema, 0)
	if _, err := l.Migrate(ctx, pool); err != nil {
		return nil, err
	}
	gates := &gate.Gates{Pool: pool, Ledger: l, Log: slog.New(slog.DiscardHandler), Rows: gate.ByYes}
	runner := purge.Runner{Gate: gates, Pool: pool, Ledger: l, Observer: w, Connections: b.connections}
	return runner.Run(ctx, plans, purge.Options{Trigger: "manual"})
}

// compile compiles the plans of a side, which must have no errors.
func compile(ctx context.Context, conn *pgx.Conn, s side) ([]*plan.Plan, error) {
	file, err := policy.Parse("mail.yaml", []byte(s.policy()))
	if err != nil {
		return nil, err
	}
	server, err := plan.ReadServer(ctx, conn)
	if err != nil {
		return nil, err
	}
	plans, err := plan.Compile(ctx, conn, file, server, nil)
	if err != nil {
		return nil, err
	}
	for _, p := range plans {
		for _, x := range p.Problems {
			if x.Level == plan.LevelError {
				return nil, fmt.Errorf("planning: %s", x.Text)
			}
		}
	}
	return plans, nil
}

// checkProven refuses a proven side whose plan falls back to ordinary checks, so that no
// figure is mislabeled.
func (b *bench) checkProven(ctx context.Context, s side) error {
	if !s.proven {
		return nil
	}
	return lab.OnDatabase(ctx, b.server.DSN(s.template), func(conn *pgx.Conn) error {
		plans, err := compile(ctx, conn, s)
		if err != nil {
			return err
		}
		for _, p := range plans {
			if checks := p.ForeignKeyChecks(); checks != "proven" {
				return fmt.Errorf("%s: the plan's foreign key checks are %s", s.title(), checks)
			}
		}
		return nil
	})
}
