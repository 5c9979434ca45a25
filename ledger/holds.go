package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
)

// Hold is what a person has said must stay: tenants or, by row, roots of one policy.
type Hold struct {
	ID     int64      `json:"id"`
	Policy *string    `json:"policy"` // nil: every policy
	Tenant *string    `json:"tenant"` // as PostgreSQL prints the key; nil: every tenant, and rows without one, unless Roots is set
	Until  *time.Time `json:"until"`  // by the database's clock, like At; nil: until it is released
	Reason string     `json:"reason"`
	By     string     `json:"by"` // who has set it
	At     time.Time  `json:"at"`
	Roots  *int64     `json:"roots"` // how many rows of the policy's table; nil: it is of tenants
	Root   []string   `json:"root"`  // the key of the only one, by column, as PostgreSQL prints it; nil: there are others, or none
}

// HoldEnd is when a hold ends by itself: after a length of time (text of an interval), at a time
// (text of a timestamptz), or never if both are empty.
type HoldEnd struct{ After, At string }

// ErrHoldEnded means that a hold would end before it begins.
var ErrHoldEnded = errors.New("a hold would end before it begins")

// Hold holds tenants (nil: all) of policies (nil: all) from now on, and returns the holds: one for
// each policy and tenant. If by is empty, the database user and the application name are recorded.
func (l *Ledger) Hold(ctx context.Context, db *pgxpool.Pool, policies, tenants []string, end HoldEnd, reason, by string) (holds []Hold, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		// A server crash must not forget what a person was told is held.
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `INSERT INTO `+l.schema+`.hold (policy, tenant, reason, who, created_at, ends_at)
			SELECT p, t, $3, `+person(`$4`)+`, now(),
			       CASE WHEN $5::text <> '' THEN now() + $5::text::interval WHEN $6::text <> '' THEN $6::text::timestamptz ELSE 'infinity' END
			  FROM unnest(coalesce($1::text[], ARRAY[NULL::text])) p, unnest(coalesce($2::text[], ARRAY[NULL::text])) t
			RETURNING `+holdColumns+`, NULL::bigint, NULL::text[]`, policies, tenants, reason, by, end.After, end.At)
		if err == nil {
			holds, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Hold])
		}
		return err
	})
	switch {
	case pg.HasCode(err, "23514"):
		return nil, ErrHoldEnded
	case err != nil:
		return nil, fmt.Errorf("holding: %w", err)
	}
	l.forgetHolds(ctx, db)
	return holds, nil
}

const holdColumns = `id, policy, tenant, CASE WHEN ends_at OPERATOR(pg_catalog.<) 'infinity' THEN ends_at END, reason, who, created_at`

// The columns of a hold by row, and what stands for them in a ledger that is older than such holds.
const (
	rootColumns   = `roots, CASE WHEN roots = 1 THEN (SELECT reaper_r.key FROM %s.hold_root reaper_r WHERE reaper_r.hold = reaper_h.id LIMIT 1) END`
	noRootColumns = `NULL::bigint, NULL::text[]`
)

// EndHold ends a hold; false: there is none of that id in force.
func (l *Ledger) EndHold(ctx context.Context, db *pgxpool.Pool, id int64, by string) (released bool, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, `UPDATE `+l.schema+`.hold reaper_h SET released_at = now(), released_by = `+person(`$2`)+`
			WHERE reaper_h.id = $1::bigint AND `+holdInForce, id, by)
		released = tag.RowsAffected() > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("releasing: %w", err)
	}
	return released, nil
}

// holdInForce is the condition for a hold reaper_h in force by the database's clock.
const holdInForce = `reaper_h.released_at IS NULL AND (reaper_h.ends_at OPERATOR(pg_catalog.>) pg_catalog.statement_timestamp())`

// Holds returns the holds in force by the database's clock, oldest first; none where the ledger
// does not exist yet, or is older than holds are.
func (l *Ledger) Holds(ctx context.Context, db *pgxpool.Pool) ([]Hold, error) {
	holds, err := l.holds(ctx, db, fmt.Sprintf(rootColumns, l.schema))
	if pg.HasCode(err, "42703") || isMissing(err) {
		holds, err = l.holds(ctx, db, noRootColumns)
	}
	switch {
	case isMissing(err):
		return nil, nil
	case pg.HasCode(err, "42501"):
		return nil, ErrHoldsDenied
	case err != nil:
		return nil, fmt.Errorf("reading holds: %w", err)
	}
	return holds, nil
}

func (l *Ledger) holds(ctx context.Context, db *pgxpool.Pool, roots string) (holds []Hold, err error) {
	rows, err := l.on(db).Query(ctx, `SELECT `+holdColumns+`, `+roots+` FROM `+l.schema+`.hold reaper_h WHERE `+holdInForce+` ORDER BY id`)
	if err == nil {
		holds, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Hold])
	}
	return holds, err
}

// ErrHoldsDenied means that the role may not read the holds, or what is recorded for grace.
var ErrHoldsDenied = errors.New("the role may not read what the ledger keeps of holds and of grace")

// HasHolds reports whether the ledger has a table of holds. It returns ErrHoldsDenied if the role
// may not read it.
func (l *Ledger) HasHolds(ctx context.Context, conn *pgx.Conn) (has bool, err error) {
	var may, roots bool
	err = pg.Pinned(conn).QueryRow(ctx, `SELECT count(c.oid) > 0, coalesce(bool_and(has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')), false), count(c.oid) = 4
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = $1::text WHERE c.relname IN ('hold', 'hold_root', 'grace', 'grace_policy') AND c.relkind = 'r'`, l.name).Scan(&has, &may, &roots)
	switch {
	case err != nil:
		return false, fmt.Errorf("looking for holds: %w", err)
	case has && !may:
		return false, ErrHoldsDenied
	}
	l.withoutRoots.Store(has && !roots)
	return has, nil
}

// HeldPolicies returns the policies for which holds are in force, those of which roots are, or were,
// held by row, and those of whose tenants retentions are recorded. There must be holds; see HasHolds.
func (l *Ledger) HeldPolicies(ctx context.Context, conn *pgx.Conn) (named, byRow, recorded []string, err error) {
	known := `'{}'::text[]`
	if !l.withoutRoots.Load() {
		known = `array(SELECT policy FROM ` + l.schema + `.grace_policy)`
	}
	err = pg.Pinned(conn).QueryRow(ctx, `SELECT array(SELECT DISTINCT reaper_h.policy FROM `+l.schema+`.hold reaper_h WHERE `+holdInForce+` AND reaper_h.policy IS NOT NULL ORDER BY 1), `+l.RootsHeldSQL()+`, `+known).Scan(&named, &byRow, &recorded)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("reading holds: %w", err)
	}
	return named, byRow, recorded, nil
}

// RootsHeldSQL is an SQL expression for the policies of which roots are, or were, held by row.
func (l *Ledger) RootsHeldSQL() string {
	if l.withoutRoots.Load() {
		return `'{}'::text[]`
	}
	return `array(SELECT DISTINCT reaper_h.policy FROM ` + l.schema + `.hold reaper_h WHERE reaper_h.roots IS NOT NULL)`
}

// HeldSQL returns an SQL condition for whether a person holds a tenant of a policy now, by an
// expression of its key as text; NULL for a policy without tenants. same, unless nil, is the
// condition that the text of a tenant is another spelling of that key.
func (l *Ledger) HeldSQL(policy string) func(key string, same func(tenant string) string) string {
	all, where := l.heldTenants(policy)
	from := `EXISTS (SELECT FROM ` + l.schema + `.hold reaper_h WHERE `
	return func(key string, same func(tenant string) string) string {
		held := `(` + from + all + ` AND ` + where + `) OR ` + from + heldTenant(key) + ` AND ` + where + `)`
		if same != nil {
			held += ` OR ` + from + `(` + same("reaper_h.tenant") + `) AND ` + where + `)`
		}
		return held + `)`
	}
}

// heldTenants are the conditions that a hold reaper_h is of all tenants, and that it is in force for a
// policy.
func (l *Ledger) heldTenants(policy string) (all, where string) {
	where = holdInForce + ` AND (reaper_h.policy IS NULL OR (reaper_h.policy OPERATOR(pg_catalog.=) ` + pg.Literal(policy) + `))`
	if l.withoutRoots.Load() {
		return `reaper_h.tenant IS NULL`, where
	}
	return `reaper_h.tenant IS NULL AND reaper_h.roots IS NULL`, where
}

func heldTenant(key string) string {
	return `(reaper_h.tenant OPERATOR(pg_catalog.=) ((` + key + `) COLLATE pg_catalog."C"))`
}

// HoldsSQL is HeldSQL for the ids of the holds, an array, instead of whether there is any.
func (l *Ledger) HoldsSQL(policy string) func(key string, same func(tenant string) string) string {
	all, where := l.heldTenants(policy)
	return func(key string, same func(tenant string) string) string {
		held := `(` + all + `) OR ` + heldTenant(key)
		if same != nil {
			held += ` OR (` + same("reaper_h.tenant") + `)`
		}
		return `ARRAY(SELECT reaper_h.id FROM ` + l.schema + `.hold reaper_h WHERE (` + held + `) AND ` + where + ` ORDER BY reaper_h.id)`
	}
}

// HoldsOf returns holds by their ids, oldest first. Until is when they end to protect: those by row
// do so for a while after their end, the text of an interval; empty: not at all.
func (l *Ledger) HoldsOf(ctx context.Context, db *pgxpool.Pool, ids []int64, after string) (holds []Hold, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	roots, more := fmt.Sprintf(rootColumns, l.schema), `CASE WHEN roots IS NULL THEN '0' ELSE $2::text::interval END`
	if l.withoutRoots.Load() {
		roots, more, after = noRootColumns, `$2::text::interval`, "0"
	}
	rows, err := l.on(db).Query(ctx, `SELECT id, policy, tenant, CASE WHEN LEAST(ends_at, released_at) < 'infinity' THEN LEAST(ends_at, released_at) + `+more+` END, reason, who, created_at, `+roots+
		` FROM `+l.schema+`.hold reaper_h WHERE id = ANY ($1::bigint[]) ORDER BY id`, ids, cmp.Or(after, "0"))
	if err == nil {
		holds, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Hold])
	}
	if err != nil {
		return nil, fmt.Errorf("reading holds: %w", err)
	}
	return holds, nil
}
