package plan

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// tenantsRelation resolves which relation lists the tenants, and the retention of each.
func (c *compiler) tenantsRelation() error {
	p, file := c.plan.Policy, c.file.Tenants
	t := &expiry.Tenants{}
	c.plan.Tenants = t
	c.plan.NoTenant = p.Tenant.None
	var shared policy.Settings
	if file != nil {
		shared = file.Settings
	}
	t.Min = c.file.MinOf(p)
	if p.Tenant.None {
		if p.Retention.Duration != nil {
			t.Sources = []expiry.Source{{Constant: p.Retention.Duration, From: "policy"}}
		} else if p.Default != nil {
			t.Sources = []expiry.Source{{Constant: p.Default, From: "default"}}
		}
		return nil
	}
	relation, own, err := c.tenantsFrom(file)
	if err != nil {
		return err
	}
	if t.Key.Array() {
		c.fail(file.Pos, "use another column as the key", "the tenants' key %s is %s: an array cannot be a key", t.Key.Name, t.Key.Type)
		return errStop
	}
	if err := c.sameTenant(); err != nil {
		return err
	}
	if t.Table != nil && t.Table.Kind != schema.Ordinary && t.Table.Kind != schema.Partitioned {
		// Functions that a view calls also run under the role's search_path.
		if _, err := c.expression("tenants", policy.Text{Value: "true", Pos: file.Table.Pos}, relation); err != nil {
			return err
		}
	}
	if err := c.retentions(relation, own, shared); err != nil {
		return err
	}
	for _, h := range []policy.Text{shared.Hold, p.Hold} {
		if !h.IsSet() {
			continue
		}
		hold, err := c.boolean("hold", h, relation)
		if err != nil {
			return err
		}
		t.Holds = append(t.Holds, hold)
	}
	return c.overrides(p.Overrides, shared.Overrides)
}

// tenantsFrom resolves the table or query of tenants. It returns SQL for a FROM clause, and the
// retention column if it is a query.
func (c *compiler) tenantsFrom(file *policy.Tenants) (relation string, own *expiry.Source, err error) {
	t := c.plan.Tenants
	if file.Query.IsSet() {
		return c.tenantsQuery(file)
	}
	table, err := c.find(file.Table)
	if err != nil {
		return "", nil, err
	}
	c.tenant, t.Table = table, table
	t.Key, err = c.column(table, file.Key.Value, file.Key.Pos)
	if err != nil {
		return "", nil, err
	}
	t.Distinct = (table.Kind == schema.Partitioned || len(table.Children) == 0) &&
		slices.ContainsFunc(table.Indexes, func(x schema.Index) bool { return uniqueOn(x, t.Key.Name) })
	return schema.FromWithChildren(table), nil, nil
}

// uniqueOn reports whether an index guarantees that the values of one column are unique.
func uniqueOn(x schema.Index, column string) bool {
	return x.Unique && x.Valid && x.Immediate && x.Predicate == "" && len(x.Columns) == 1 &&
		x.Columns[0].Name == column && x.Columns[0].OwnCollation
}

// tenantsQuery describes the query as the subselect it is used as. Its columns are, by position:
// key, retention[, hold].
func (c *compiler) tenantsQuery(file *policy.Tenants) (relation string, own *expiry.Source, err error) {
	t := c.plan.Tenants
	f, err := c.reader().Understand("SELECT * FROM ("+file.Query.Value+"\n) AS tenants", file.Query.Value)
	var wrong *pgconn.PgError
	if errors.As(err, &wrong) && !pg.HasCode(err, "55P03") {
		c.fail(file.Query.Pos, usersql.QueryFix(wrong, c.server.Role, "correct the query"), "tenants.query: %s", wrong.Message)
		return "", nil, errStop
	}
	if err != nil {
		return "", nil, fmt.Errorf("checking tenants.query: %w", err)
	}
	c.recordNeeds("tenants.query", file.Query.Pos, f)
	fields := f.Columns
	if len(fields) < 2 || len(fields) > 3 {
		c.fail(file.Query.Pos, "SELECT key, retention or key, retention, hold", "tenants.query gives %d columns", len(fields))
		return "", nil, errStop
	}
	for i, f := range fields {
		name := f.Name
		if want := slices.Index([]string{"key", "retention", "hold"}, name); want >= 0 && want != i {
			c.fail(file.Query.Pos, "the order is key, retention, hold", "tenants.query gives %s as column %d", name, i+1)
			return "", nil, errStop
		}
		if slices.Contains(t.Columns, name) {
			name = "column" + strconv.Itoa(i+1)
		}
		t.Columns = append(t.Columns, name)
	}
	if file.Key.IsSet() && file.Key.Value != t.Columns[0] {
		c.fail(file.Key.Pos, "write key: "+policy.YAMLColumn(t.Columns[0])+" # under tenants; or remove it: the first column is the key",
			"tenants.query gives no column %s first", file.Key.Value)
		return "", nil, errStop
	}
	t.Query = f.SQL
	t.Key, err = c.typeOf(t.Columns[0], fields[0].Type)
	if err != nil {
		return "", nil, err
	}
	integer, ok := retentionType(fields[1].Type)
	if !ok {
		c.fail(file.Query.Pos, "a retention is smallint, int or bigint (days), or interval", "tenants.query gives a retention of another type")
	}
	if len(fields) == 3 {
		if fields[2].Type != usersql.BoolOID {
			c.fail(file.Query.Pos, "the third column is a boolean", "tenants.query gives a hold that is not boolean")
		}
		t.Holds = []string{pg.Ident("tenants", t.Columns[2])}
	}
	relation = "(" + file.Query.Value + "\n) AS tenants(" + pg.List(len(t.Columns), func(i int) string { return pg.Ident(t.Columns[i]) }) + ")"
	return relation, &expiry.Source{SQL: pg.Ident("tenants", t.Columns[1]), Integer: integer, From: "query"}, nil
}

// typeOf returns a column of this type.
func (c *compiler) typeOf(name string, oid uint32) (schema.Column, error) {
	k := schema.Column{Name: name}
	err := c.conn.QueryRow(c.ctx, `SELECT format_type(t.oid, -1), t.oid, t.typname::text, format('%I.%I', n.nspname, t.typname), n.nspname, t.typcategory::text, t.typcollation
		FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = $1`, oid).
		Scan(&k.Type, &k.TypeOID, &k.TypeName, &k.SQLType, &k.TypeSchema, &k.Category, &k.Collation)
	if err != nil {
		return k, fmt.Errorf("reading type %d: %w", oid, err)
	}
	return k, nil
}

// retentionType reports whether a type can be a retention, and whether it counts days (OIDs from
// pg_type.dat: int2, int4, int8, interval).
func retentionType(oid uint32) (integer, ok bool) {
	switch oid {
	case 21, 23, 20:
		return true, true
	case 1186:
		return false, true
	}
	return false, false
}

// retentions lists the sources of a retention by precedence: policy, tenants, default. Overrides
// precede all of them.
func (c *compiler) retentions(relation string, own *expiry.Source, shared policy.Settings) error {
	t, p := c.plan.Tenants, c.plan.Policy
	for i, r := range []policy.Retention{p.Retention, shared.Retention} {
		if r.Duration != nil {
			t.Sources = append(t.Sources, expiry.Source{Constant: r.Duration, From: []string{"policy", "tenants"}[i]})
		}
		if r.SQL.IsSet() {
			f, err := c.expression("retention", r.SQL, relation)
			if err != nil {
				return err
			}
			if f != nil {
				integer, ok := retentionType(f.Columns[0].Type)
				if !ok {
					c.fail(r.SQL.Pos, "a retention is smallint, int or bigint (days), or interval", "retention has another type")
				}
				t.Sources = append(t.Sources, expiry.Source{SQL: f.SQL, Integer: integer, From: []string{"policy", "tenants"}[i]})
			}
		}
		if i == 1 && own != nil {
			t.Sources = append(t.Sources, *own)
		}
	}
	if d := c.file.DefaultOf(c.plan.Policy); d != nil {
		t.Sources = append(t.Sources, expiry.Source{Constant: d, From: "default"})
	}
	return nil
}

// tenantPath resolves the columns that lead from the root to the tenant's key.
func (c *compiler) tenantPath() error {
	if c.plan.NoTenant {
		return nil
	}
	steps := c.plan.Policy.Tenant.Steps
	if len(steps) == 0 {
		if err := c.findPath(); err != nil {
			return err
		}
		return c.checkPathEnd()
	}
	table := c.plan.Root.Table
	for i, s := range steps {
		column, err := c.column(table, s.Column, s.Pos)
		if err != nil {
			return err
		}
		if i == len(steps)-1 {
			if s.Table.IsSet() {
				c.fail(s.Pos, c.endFix(s), "the last column of a tenant path leads nowhere further")
				return errStop
			}
			c.plan.LastTable, c.plan.Last = table, column
			break
		}
		h, err := c.follow(table, s)
		if err != nil {
			return err
		}
		c.plan.Hops = append(c.plan.Hops, h)
		table = h.Table
	}
	return c.checkPathEnd()
}

// checkPathEnd checks that the end of the path can be compared with the tenant's key.
func (c *compiler) checkPathEnd() error {
	p := c.plan
	for _, h := range p.Hops {
		for _, n := range h.To {
			if k, _ := h.Table.Column(n); k.Array() {
				c.fail(p.Policy.Tenant.Pos, "use another tenant path, or write tenant: none", "the tenant path goes through %s.%s, which is %s: an array cannot be a key", h.Table.Name, n, k.Type)
				return errStop
			}
		}
	}
	if len(p.Hops) > 0 {
		for _, x := range p.Hops[0].Pairs {
			order, err := c.graph.DefaultOrder(c.ctx, c.conn, x.Ours.TypeOID)
			if err != nil {
				return err
			}
			if order == nil {
				c.fail(p.Policy.Tenant.Pos, "use another tenant path, or write tenant: none", "the tenant path goes through %s.%s, which is %s and has no order", p.Hops[0].Table.Name, x.Ours.Name, x.Ours.Type)
				return errStop
			}
			p.GroupOrders = append(p.GroupOrders, order)
		}
	}
	owner, err := c.graph.Comparing(c.ctx, c.conn, p.Tenants.Key, p.Last, c.keyFamily())
	if err != nil {
		return err
	}
	if owner == nil {
		c.fail(p.Policy.Tenant.Pos, c.keyEndFix(),
			"the tenant path ends in %s.%s of type %s, but the tenant's key %s is %s", p.LastTable.Name, p.Last.Name, p.Last.Type, p.Tenants.Key.Name, p.Tenants.Key.Type)
		return errStop
	}
	p.Owner = *owner
	if err := c.checkPathComparisons(); err != nil {
		return err
	}
	t := p.Tenants.Table
	if t == nil || t.Kind != schema.Ordinary && t.Kind != schema.Partitioned {
		return nil
	}
	// The tenants' table may share its key with the referenced table: settings(org_id) beside
	// organizations(id).
	shares := func(parent uint32) bool {
		return slices.ContainsFunc(c.graph.Outgoing(t.OID), func(k schema.ForeignKey) bool {
			return k.Parent == parent && slices.Equal(k.ChildColumns, []string{p.Tenants.Key.Name})
		})
	}
	for _, k := range c.graph.Outgoing(p.LastTable.OID) {
		if len(k.ChildColumns) == 1 && k.ChildColumns[0] == p.Last.Name && k.Parent != t.OID && !shares(k.Parent) && p.LastTable != t {
			c.fail(p.Policy.Tenant.Pos, c.continueFix(&k),
				"the tenant path ends in %s.%s, which references %s and not the tenants", p.LastTable.Name, p.Last.Name, k.ParentName)
			return errStop
		}
	}
	return nil
}

// follow resolves one step of the path, by the foreign key on the column or as the file declares
// it.
func (c *compiler) follow(table *schema.Table, s policy.Step) (Hop, error) {
	if s.Table.IsSet() {
		to, err := c.find(s.Table)
		if err != nil {
			return Hop{}, err
		}
		if _, err := c.column(to, s.ToColumn, s.Pos); err != nil {
			return Hop{}, err
		}
		if !slices.ContainsFunc(to.Indexes, func(x schema.Index) bool { return uniqueOn(x, s.ToColumn) }) {
			c.fail(s.Pos, "lead to a column with a unique index of its own", "%s.%s is not unique: a row could belong to several tenants", to.Name, s.ToColumn)
			return Hop{}, errStop
		}
		return c.declaredHop(table, to, s)
	}
	keys := c.graph.KeysOver(table.OID, s.Column)
	switch len(keys) {
	case 0:
		c.fail(s.Pos, "write where it leads: "+s.String()+" -> table.column",
			"no foreign key shows where %s.%s leads", table.Name, s.Column)
		return Hop{}, errStop
	case 1:
		if err := c.graph.Load(c.ctx, c.conn, keys[0].Parent); err != nil {
			return Hop{}, err
		}
		return c.keyHop(table, &keys[0]), nil
	}
	var leads []string
	for _, k := range keys {
		leads = append(leads, k.ParentName.String()+" ("+k.Name+")")
	}
	c.fail(s.Pos, c.whereFix(s, keys),
		"%s.%s is part of several foreign keys: to %s", table.Name, s.Column, strings.Join(leads, ", "))
	return Hop{}, errStop
}
