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

// overrides merges both lists by key; the policy's entries win. PostgreSQL decides which keys are
// equal: "042" and "42" may be one tenant, as may "Globex" and "globex".
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
			c.plan.Tenants.Overrides = append(c.plan.Tenants.Overrides, expiry.Override{Key: all[i].Key.Value, Duration: all[i].Duration, Policy: i < len(lists[0])})
		}
	}
	return err
}

// firstOfEach returns, for each override, the index of the first override with an equal key. If a
// key is not valid for the key's type, it records a problem and returns nil.
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
	if same.Ours.CollationName != "" { // literals have no column's collation
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

// keyFamily is the operator family of the unique index on the tenants' key; 0 if there is none.
func (c *compiler) keyFamily() uint32 {
	t := c.plan.Tenants
	if t.Table == nil {
		return 0
	}
	return uniqueFamily(t.Table, t.Key.Name)
}

// uniqueFamily is the operator family of a unique index on this column alone; 0 if there is none.
func uniqueFamily(t *schema.Table, column string) uint32 {
	i := slices.IndexFunc(t.Indexes, func(x schema.Index) bool { return uniqueOn(x, column) && x.Method == "btree" })
	if i < 0 {
		return 0
	}
	return t.Indexes[i].Columns[0].Family
}

// sameTenant determines how tenant keys are compared: as their unique index does.
func (c *compiler) sameTenant() error {
	t := c.plan.Tenants
	same, err := c.graph.Comparing(c.ctx, c.conn, t.Key, t.Key, c.keyFamily())
	if err != nil {
		return err
	}
	if same == nil {
		c.fail(c.file.Tenants.Pos, "use another column as the key", "the tenants' key %s is %s, whose values cannot be compared", t.Key.Name, t.Key.Type)
		return errStop
	}
	t.Same = *same
	return nil
}
