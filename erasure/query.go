package erasure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Tenant is what the tenants' table says of a key.
type Tenant struct {
	Key    string // as PostgreSQL prints that of its row; without one, the key that was asked for
	Exists bool   // its row is there
	Due    bool   // `when` is true
	Held   bool   // the tenants' `hold` is true
}

// Settings is the statement that begins every transaction of an erasure, for the rest of it. The
// timeouts are rounded to milliseconds; 0 is none.
func (p *Plan) Settings(statement, lock time.Duration) string {
	path := pg.Path
	if p.ownPath {
		path = p.Server.Path()
	}
	text := func(d time.Duration) string { return pg.Literal(strconv.FormatInt(d.Milliseconds(), 10) + "ms") }
	return "SELECT " + pg.Settings(path, text(statement), text(lock))
}

// Canonical is the key as PostgreSQL prints it; an error of class 22 if it is none of the key's type.
func (p *Plan) Canonical(ctx context.Context, q pg.Querier, key string) (string, error) {
	var text string
	err := q.QueryRow(ctx, "SELECT $1::"+pg.TextType+"::"+p.Key.SQLType+"::"+pg.TextType, key).Scan(&text)
	if err != nil {
		return "", fmt.Errorf("reading the key of a tenant: %w", err)
	}
	return text, nil
}

// condition is a condition over the tenants' table, or false.
func condition(sql string) string {
	if sql == "" {
		return "false"
	}
	return "(" + sql + ") IS TRUE"
}

// Look reads what the tenants' table says of a key. A key that Exists after its erasure is in use
// again.
func (p *Plan) Look(ctx context.Context, q pg.Querier, key string) (Tenant, error) {
	found := Tenant{Key: key}
	a := p.args(key)
	at := bare(p.Tenants.Table)
	a.Add("SELECT ", col(at, p.Key.Name), "::", pg.TextType, ", ", condition(p.when), ", ", condition(p.hold), "\n  FROM ", fromTable(p.Tenants), "\n WHERE ", a.owned(p.Tenants, at))
	err := q.QueryRow(ctx, a.String(), a.Args...).Scan(&found.Key, &found.Due, &found.Held)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return found, fmt.Errorf("reading a tenant: %w", err)
	}
	found.Exists = err == nil
	return found, nil
}

// LockTenant locks the tenant's row, and reports whether there is one: FOR NO KEY UPDATE, so that its
// writers go on and the row stays, or, in a last batch, FOR UPDATE, so that no row can reference it any
// more until the transaction ends.
func (p *Plan) LockTenant(ctx context.Context, q pg.Querier, key string, last bool) (bool, error) {
	strength := "NO KEY UPDATE"
	if last {
		strength = "UPDATE"
	}
	a := p.args(key)
	at := bare(p.Tenants.Table)
	a.Add("SELECT true\n  FROM ", fromTable(p.Tenants), "\n WHERE ", a.owned(p.Tenants, at), "\n   FOR ", strength)
	var found bool
	err := q.QueryRow(ctx, a.String(), a.Args...).Scan(&found)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("locking a tenant: %w", err)
	}
	return found, nil
}

// Due are at most limit keys of tenants for which `when` is true, and which are not held, in the order
// of their text: those behind after; the first ones if after is empty. There are none without `when`.
func (p *Plan) Due(ctx context.Context, q pg.Querier, after string, limit int) ([]string, error) {
	if p.when == "" {
		return nil, nil
	}
	key := col(bare(p.Tenants.Table), p.Key.Name) + "::" + pg.TextType + ` COLLATE pg_catalog."C"`
	rows, err := q.Query(ctx, fmt.Sprintf("SELECT %s\n  FROM %s\n WHERE %s AND NOT %s AND %s OPERATOR(pg_catalog.>) $1::%s\n ORDER BY 1 LIMIT %d",
		key, fromTable(p.Tenants), condition(p.when), condition(p.hold), key, pg.TextType, limit), after)
	if err != nil {
		return nil, fmt.Errorf("reading the tenants that are due: %w", err)
	}
	keys, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("reading the tenants that are due: %w", err)
	}
	return keys, nil
}

// Count is what is there of a tenant in one table.
type Count struct {
	Table *Table
	// Rows should be gone, or are to be redacted.
	Rows int64
	// Kept rows are the tenant's and stay, as the file says: kept ones, those that they reference, and
	// redacted ones.
	Kept int64
	// Until is when the last of a table's kept rows may go, of a table whose action is keep and whose
	// rows have a finite time; else zero.
	Until time.Time
}

// Remaining counts what is there of a tenant in all tables but global ones: the recheck of a
// certificate, and what there is to do.
func (p *Plan) Remaining(ctx context.Context, q pg.Querier, key string) ([]Count, error) {
	var counts []Count
	for _, t := range p.Tables {
		if t.Action == Global {
			continue
		}
		c := Count{Table: t}
		var until *time.Time
		a := p.countSQL(t, key)
		if err := q.QueryRow(ctx, a.String(), a.Args...).Scan(&c.Rows, &c.Kept, &until); err != nil {
			return nil, fmt.Errorf("counting rows of %s: %w", t.Name(), err)
		}
		if until != nil {
			c.Until = *until
		}
		counts = append(counts, c)
	}
	return counts, nil
}

// countSQL counts rows of a table that are to go or to be redacted, and those that stay.
func (p *Plan) countSQL(t *Table, key string) *args {
	a := p.args(key)
	at := bare(t.Table)
	stays, until := "false", "NULL::timestamptz"
	switch {
	case t.Action == Redact && t == p.Tenants:
		stays = "NOT (" + t.Redaction.Differs() + ") AND NOT (true" + a.tenantGoes() + ")"
	case t.Action == Redact:
		stays = "NOT (" + t.Redaction.Differs() + ")"
	case t.stays:
		stays = a.staying(t, at)
	}
	if t.Action == Keep && t.age != nil {
		age := col(at, t.age.Column.Name)
		until = "max(" + t.age.Instant(age) + " + " + expiry.Interval(*t.Entry.For) + ") FILTER (WHERE " + t.age.Valid(age) + ")"
	}
	a.Add("SELECT count(*) FILTER (WHERE NOT (", stays, ")), count(*) FILTER (WHERE ", stays, "), ", until, "\n  FROM ", fromTable(t), "\n WHERE ", a.owned(t, at))
	return a
}

// staying writes the CTE of rows that stay for the sake of kept ones, and is the condition that a row
// is one of them.
func (a *args) staying(t *Table, at string) string {
	var tables []*Table
	for _, o := range a.plan.Tables {
		if o.stays {
			tables = append(tables, o)
		}
	}
	a.Add("WITH RECURSIVE ", a.held(tables, keepSeed), "\n")
	return isHeld(slices.Index(tables, t), at)
}

// Blocker is a reference that stops an erasure: rows that are not the tenant's reference rows that
// should go.
type Blocker struct {
	Constraint string
	Child      *Table // whose rows reference the tenant's
	Parent     *Table
	Rows       int64 // of Parent, counted up to 1000
}

const maxBlocked = 1000

// Blockers are the references that stop the erasure of a tenant, other than those of kept rows.
func (p *Plan) Blockers(ctx context.Context, q pg.Querier, key string) ([]Blocker, error) {
	var found []Blocker
	for _, e := range p.edges {
		if e.key == nil || e.soft || e.emptied || e.parent.Action != Delete {
			continue
		}
		b := Blocker{Constraint: e.key.Name, Child: e.child, Parent: e.parent}
		a := p.args(key)
		at, r := bare(e.parent.Table), a.alias()
		a.Add("SELECT count(*) FROM (SELECT FROM ", fromTable(e.parent), "\n WHERE ", a.owned(e.parent, at), " AND EXISTS (SELECT FROM ", schema.From(e.from), " ", r, " WHERE ", e.references(r, at),
			" AND (", a.owned(e.child, r), ") IS NOT TRUE)", fmt.Sprintf("\n LIMIT %d) reaper_x", maxBlocked))
		if err := q.QueryRow(ctx, a.String(), a.Args...).Scan(&b.Rows); err != nil {
			return nil, fmt.Errorf("looking for what references rows of %s: %w", e.parent.Name(), err)
		}
		if b.Rows > 0 {
			found = append(found, b)
		}
	}
	return found, nil
}

// Leftovers are the steps of a sweep: they delete what has arrived for a tenant that is gone, in
// tables that no foreign key guards, and in what depends on those. remembered are the values of
// Table.Remember in rows that are gone, by table and column. Each step is run until it finds nothing,
// and all again until none does.
func (p *Plan) Leftovers(remembered map[*Table]map[string][]string) []*Step {
	var steps []*Step
	for _, g := range p.Groups {
		for _, s := range g.steps {
			if s.Tables[0] == p.Tenants || s.Tables[0].Guarded {
				continue
			}
			sweep := *s
			sweep.remembered = remembered
			steps = append(steps, &sweep)
		}
	}
	return steps
}

// LeftoverCount counts what has arrived for a tenant that is gone, table by table; see Leftovers.
func (p *Plan) LeftoverCount(ctx context.Context, q pg.Querier, key string, remembered map[*Table]map[string][]string) ([]Count, error) {
	var counts []Count
	for _, t := range p.Tables {
		if t.Action != Delete || t.Guarded || t == p.Tenants {
			continue
		}
		c := Count{Table: t}
		a := p.args(key)
		a.remembered = remembered
		a.Add("SELECT count(*)\n  FROM ", fromTable(t), "\n WHERE ", a.owned(t, bare(t.Table)))
		if err := q.QueryRow(ctx, a.String(), a.Args...).Scan(&c.Rows); err != nil {
			return nil, fmt.Errorf("counting rows of %s: %w", t.Name(), err)
		}
		counts = append(counts, c)
	}
	return counts, nil
}

// DeletesLeftovers reports whether sweeps delete what arrives for a tenant that is gone. The file may
// say so; else they do where a key cannot be used again.
func (p *Plan) DeletesLeftovers() bool {
	if p.Section.Leftovers != policy.LeftoversUnset {
		return p.Section.Leftovers == policy.LeftoversDelete
	}
	return p.Generated
}
