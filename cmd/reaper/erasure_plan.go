package main

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/starter"
)

// erasurePlan compiles the section erasure, unless single policies are selected; nil: there is none.
func (a *app) erasurePlan(ctx context.Context, s *session) (made *erasure.Plan, problems []plan.Problem, err error) {
	if len(a.Policies) > 0 || s.file.Erasure == nil {
		return nil, nil, nil
	}
	err = s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		made, problems, err = erasure.Compile(ctx, c.Conn(), s.file, s.server, a.LedgerSchema)
		return err
	})
	return made, problems, err
}

// erasureStarter is the section erasure of a starter.
func (a *app) erasureStarter(ctx context.Context, pool *pgxpool.Pool, tenants *starter.Tenants) (text string, err error) {
	if tenants == nil {
		return "", usage(errors.New("--erasure: no table looks like the owner of the rows; write tenants into the file, add erasure: {undecided: error}, and reaper check proposes the rest"))
	}
	err = pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		server, err := plan.ReadServer(ctx, c.Conn())
		if err != nil {
			return err
		}
		found, err := erasure.Propose(ctx, c.Conn(), tenants.Table.Name, tenants.Key, server, a.LedgerSchema)
		if err == nil {
			text = found.YAML()
		}
		return err
	})
	if err != nil {
		return "", failed(err)
	}
	return text, nil
}
