package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/restore"
	"github.com/reaperdb/reaper/schema"
)

// What restore takes from the plans of the policy file: nothing that a copy says of these is trusted.

func archiveName(n schema.Name) archive.Name { return archive.Name{Schema: n.Schema, Name: n.Name} }

// restorableTables are the tables that the policies delete from, or empty references of.
func restorableTables(s *session) (tables []archive.Name) {
	for _, p := range s.plans {
		for _, n := range p.Nodes {
			tables = append(tables, archiveName(n.Table.Name))
		}
	}
	return tables
}

// allowedTables are those of --allow-table.
func allowedTables(names []string) (tables []archive.Name, err error) {
	for _, text := range names {
		t, err := policy.ParseTable(text)
		if err == nil && t.Schema == "" {
			err = errors.New("name its schema too: SCHEMA.TABLE")
		}
		if err != nil {
			return nil, usage(fmt.Errorf("--allow-table %s: %w", text, err))
		}
		tables = append(tables, archive.Name{Schema: t.Schema, Name: t.Name})
	}
	return tables, nil
}

// holdsOf hold what comes back for a time, for each policy whose root it is: it has expired, and the
// next run would take it again.
func holdsOf(s *session, l *ledger.Ledger, length string) (holds []restore.Holds) {
	for _, p := range s.plans {
		if p.Root == nil {
			continue // it has no table, so nothing comes back to it
		}
		holds = append(holds, restore.Holds{
			Policy: p.Policy.Name,
			Table:  archiveName(p.Root.Table.Name), Columns: plan.ColumnNames(p.Key),
			Hold: func(ctx context.Context, tx pgx.Tx, keys [][]string) error {
				_, err := l.HoldRoots(ctx, tx, p.Policy.Name, keys, ledger.HoldEnd{After: length}, "restored from the archive", person())
				return err
			},
		})
	}
	return holds
}

// conditionsOf are the conditions of references without a foreign key, of all policies.
func conditionsOf(s *session) (conditions []restore.Condition) {
	for _, p := range s.plans {
		for _, e := range p.Edges {
			if e.Where != "" {
				conditions = append(conditions, restore.Condition{Table: archiveName(e.Child.Table.Name), SQL: e.Where, Path: p.ReadingPath()})
			}
		}
	}
	return conditions
}
