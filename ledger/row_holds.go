package ledger

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
)

// HoldRoots holds roots of a policy by their keys, in the caller's transaction: one hold over all of
// them. A key is the values of the policy's key columns in the plan's order (plan.Plan.Key), each
// as PostgreSQL prints it under pg.Settings; there must be at least one. It returns ErrHoldEnded for
// a hold that would end before it begins. Whoever must not lose it in a crash of the server commits
// synchronously.
func (l *Ledger) HoldRoots(ctx context.Context, tx pgx.Tx, policy string, keys [][]string, end HoldEnd, reason, by string) (hold Hold, err error) {
	rows, err := tx.Query(ctx, `INSERT INTO `+l.schema+`.hold (policy, reason, who, created_at, ends_at, roots)
		VALUES ($1, $2, `+person(`$3`)+`, pg_catalog.now(), CASE WHEN $4::pg_catalog.text OPERATOR(pg_catalog.<>) '' THEN pg_catalog.now() OPERATOR(pg_catalog.+) $4::pg_catalog.text::pg_catalog.interval
		        WHEN $5::pg_catalog.text OPERATOR(pg_catalog.<>) '' THEN $5::pg_catalog.text::pg_catalog.timestamptz ELSE 'infinity' END, $6::pg_catalog.int8)
		RETURNING `+holdColumns+`, roots, NULL::pg_catalog.text[]`, policy, reason, by, end.After, end.At, int64(len(keys)))
	if err == nil {
		hold, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Hold])
	}
	switch {
	case pg.HasCode(err, "23514"):
		return hold, ErrHoldEnded
	case err != nil:
		return hold, fmt.Errorf("holding roots: %w", err)
	}
	if len(keys) == 1 {
		hold.Root = slices.Clone(keys[0])
	}
	return hold, l.addRoots(ctx, tx, hold.ID, keys)
}

// HoldMoreRoots adds roots to a hold that HoldRoots has made, in the caller's transaction.
func (l *Ledger) HoldMoreRoots(ctx context.Context, tx pgx.Tx, id int64, keys [][]string) error {
	if _, err := tx.Exec(ctx, `UPDATE `+l.schema+`.hold SET roots = roots OPERATOR(pg_catalog.+) $2::pg_catalog.int8 WHERE id OPERATOR(pg_catalog.=) $1::pg_catalog.int8`, id, int64(len(keys))); err != nil {
		return fmt.Errorf("holding roots: %w", err)
	}
	return l.addRoots(ctx, tx, id, keys)
}

func (l *Ledger) addRoots(ctx context.Context, tx pgx.Tx, id int64, keys [][]string) error {
	_, err := tx.CopyFrom(ctx, pgx.Identifier{l.name, "hold_root"}, []string{"hold", "key"}, pgx.CopyFromSlice(len(keys), func(i int) ([]any, error) {
		return []any{id, keys[i]}, nil
	}))
	if err != nil {
		return fmt.Errorf("holding roots: %w", err)
	}
	return nil
}

// HeldRootSQL returns an SQL condition for whether a root of a policy is held by row now, by
// expressions of its key's columns, or without any, for whether any root is; nil where the ledger is
// older than such holds, as HasHolds has found. after is the text of an interval: a hold protects for so long after its end; empty: not at
// all. Where no root of the policy is held, the condition is evaluated once in a statement, and not
// for each row.
//
// Keys are compared as text. That is exact: a key was looked up, by its own operators, or printed,
// when it was held, and of equal keys a table has one.
func (l *Ledger) HeldRootSQL(policy, after string) func(key []string) string {
	if l.withoutRoots.Load() {
		return nil
	}
	inForce := rootInForce(policy, after)
	some := `(SELECT EXISTS (SELECT FROM ` + l.schema + `.hold reaper_h WHERE ` + inForce + `))`
	return func(key []string) string {
		if len(key) == 0 {
			return some
		}
		return `(` + some + ` AND EXISTS (SELECT` + l.holdsOfRoot(key, inForce) + `))`
	}
}

// RootHoldsSQL is HeldRootSQL for the ids of the holds, an array, instead of whether there is any.
func (l *Ledger) RootHoldsSQL(policy, after string) func(key []string) string {
	if l.withoutRoots.Load() {
		return nil
	}
	return func(key []string) string {
		return `ARRAY(SELECT reaper_h.id` + l.holdsOfRoot(key, rootInForce(policy, after)) + ` ORDER BY reaper_h.id)`
	}
}

// rootInForce is the condition that a hold reaper_h by row protects roots of a policy now.
func rootInForce(policy, after string) string {
	ends := `(LEAST(reaper_h.ends_at, reaper_h.released_at)`
	if after != "" {
		ends += ` OPERATOR(pg_catalog.+) ` + pg.Literal(after) + `::pg_catalog.interval`
	}
	return `reaper_h.roots IS NOT NULL AND (reaper_h.policy OPERATOR(pg_catalog.=) ` + pg.Literal(policy) + `) AND ` + ends + `) OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp()`
}

// holdsOfRoot is FROM and WHERE for the holds reaper_h, in force, of a root.
func (l *Ledger) holdsOfRoot(key []string, inForce string) string {
	texts := pg.List(len(key), func(i int) string { return `((` + key[i] + `)::` + pg.TextType + `)` })
	return ` FROM ` + l.schema + `.hold_root reaper_r JOIN ` + l.schema +
		`.hold reaper_h ON (reaper_h.id OPERATOR(pg_catalog.=) reaper_r.hold) WHERE (reaper_r.key OPERATOR(pg_catalog.=) (ARRAY[` + texts + `] COLLATE pg_catalog."C")) AND ` + inForce
}

// HoldRootsDurably is HoldRoots in a transaction of its own, which a crash of the server does not
// forget.
func (l *Ledger) HoldRootsDurably(ctx context.Context, db *pgxpool.Pool, policy string, keys [][]string, end HoldEnd, reason, by string) (hold Hold, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		hold, err = l.HoldRoots(ctx, tx, policy, keys, end, reason, by)
		return err
	})
	if err == nil {
		l.forgetHolds(ctx, db)
	}
	return hold, err
}
