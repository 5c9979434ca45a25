package plan

import (
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// overrides merges both lists key by key, the policy's first. PostgreSQL says which
// keys are the same: "042" and "42" may be one tenant, or "Globex" and "globex".
func (c *compiler) overrides(lists ...[]policy.Override) error {
	for _, overrides := range lists {
		first, err := c.firstOfEach(overrides)
		if err != nil {
			return err
		}
		for i, at := range first {
			if at != i {
				c.fail(overrides[i].Key.Pos, "remove the override, or the other one", "tenant %s has two overrides", overrides[i].Key.Value)
			}
		}
	}
	all := slices.Concat(lists...)
	first, err := c.firstOfEach(all)
	for i, at := range first {
		if at == i {
			c.plan.Tenants.Overrides = append(c.plan.Tenants.Overrides, expiry.Override{Key: all[i].Key.Value, Duration: all[i].Duration})
		}
	}
	return err
}

// firstOfEach gives, for each override, the ordinal (from 0) of the first one whose key
// is the same. A key that is not of the key's type is named at its place; then there
// is no answer.
func (c *compiler) firstOfEach(overrides []policy.Override) (first []int, err error) {
	if len(overrides) == 0 || c.plan.HasErrors() {
		return nil, nil
	}
	keys := make([]string, len(overrides))
	for i, o := range overrides {
		keys[i] = o.Key.Value
	}
	same := c.plan.Tenants.Same
	typed := func(k string) string { return k + "::" + same.Ours.SQLType }
	condition := same.FindTheirs(typed("x.k"), typed("y.k"))
	if same.Ours.CollationName != "" { // the keys as written have that of no column
		condition = same.Write(typed("x.k"), typed("y.k"), same.Ours.CollationName)
	}
	ask := func(sql string, arg, into any) error {
		return pg.Savepoint(c.ctx, c.conn, func(tx pgx.Tx) error { return tx.QueryRow(c.ctx, sql, arg).Scan(into) })
	}
	err = ask("SELECT array(SELECT min(y.n)::int - 1 FROM unnest($1::text[]) WITH ORDINALITY x(k, n) JOIN unnest($1::text[]) WITH ORDINALITY y(k, n) ON "+
		condition+" GROUP BY x.n ORDER BY x.n)", keys, &first)
	var pgErr *pgconn.PgError
	if !errors.As(err, &pgErr) {
		return first, err
	}
	for _, o := range overrides {
		err := ask("SELECT "+typed("$1::text")+" IS NULL", o.Key.Value, new(bool))
		if wrong, ok := errors.AsType[*pgconn.PgError](err); ok {
			c.fail(o.Key.Pos, "write the key as "+c.plan.Tenants.Key.Type, "override for tenant %s: %s", o.Key.Value, wrong.Message)
		} else if err != nil {
			return nil, fmt.Errorf("checking overrides: %w", err)
		}
	}
	if !c.plan.HasErrors() {
		return nil, fmt.Errorf("checking overrides: %w", err)
	}
	return nil, nil
}

// keyFamily is the operator family of the unique index over the tenants' key; 0: there
// is none.
func (c *compiler) keyFamily() uint32 {
	t := c.plan.Tenants
	if t.Table == nil {
		return 0
	}
	return uniqueFamily(t.Table, t.Key.Name)
}

// uniqueFamily is the operator family of a unique index over one column alone; 0: there
// is none.
func uniqueFamily(t *schema.Table, column string) uint32 {
	i := slices.IndexFunc(t.Indexes, func(x schema.Index) bool { return uniqueOn(x, column) && x.Method == "btree" })
	if i < 0 {
		return 0
	}
	return t.Indexes[i].Columns[0].Family
}

// sameTenant settles when two keys of tenants are the same: as the unique index over
// them says.
func (c *compiler) sameTenant() error {
	t := c.plan.Tenants
	same, err := c.graph.Comparing(c.ctx, c.conn, t.Key, t.Key, c.keyFamily())
	if err != nil {
		return err
	}
	if same == nil {
		c.fail(c.file.Tenants.Pos, "let another column be the key", "the tenants' key %s is %s, whose values cannot be compared", t.Key.Name, t.Key.Type)
		return errStop
	}
	t.Same = *same
	return nil
}
