package erasure

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/redact"
	"github.com/reaperdb/reaper/schema"
)

// expression has PostgreSQL read SQL of the file over one relation; nil after a problem.
func (c *compiler) expression(what string, text policy.Text, relation string) (*usersql.Fragment, error) {
	r := &usersql.Reader{Ctx: c.ctx, Tx: c.tx, TimeZone: c.server.TimeZone, Path: c.server.Path(), Tables: c.tables()}
	f, err := r.Expression(text.Value, relation)
	var wrong *pgconn.PgError
	if errors.As(err, &wrong) && !pg.HasCode(err, "55P03") {
		c.fail(text.Pos, usersql.ExpressionFix(wrong, c.server.Role), "%s: %s", what, wrong.Message)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checking %s: %w", what, err)
	}
	c.recordNeeds(what, text.Pos, f)
	return f, nil
}

// recordNeeds records what SQL of the file depends on.
func (c *compiler) recordNeeds(what string, pos policy.Pos, f *usersql.Fragment) {
	if f.Unread {
		f.Needs.Unknown = []string{what}
	}
	c.plan.Needs.Add(f.Needs)
	for _, x := range f.Functions {
		if !x.Trusted {
			c.fail(pos, fmt.Sprintf("review it, then give it to a superuser or to the owner of the database or of the table: ALTER FUNCTION %s … OWNER TO …", x.Name),
				"%s calls %s, which belongs to role %s: whoever owns it decides what is deleted", what, x.Name, x.Owner)
		}
		c.unsafe = c.unsafe || x.Looks
	}
	c.unsafe = c.unsafe || f.AsWritten
	if f.Zoned && !c.server.InUTC() {
		c.add(plan.LevelWarning, pos, "say which time zone is meant, such as: closed_at AT TIME ZONE "+pg.Literal(c.server.TimeZone)+" < now()",
			"%s depends on the TimeZone: it is evaluated in UTC, while other sessions of this role and database are in %s", what, c.server.TimeZone)
	}
}

// boolean reads a condition; "" after a problem.
func (c *compiler) boolean(what string, text policy.Text, relation string) (string, error) {
	f, err := c.expression(what, text, relation)
	if err != nil || f == nil {
		return "", err
	}
	if f.Columns[0].Type != usersql.BoolOID {
		c.fail(text.Pos, "write a condition that is true or false", "%s is not boolean", what)
		return "", nil
	}
	return f.SQL, nil
}

// tables are the OIDs of the plan's tables.
func (c *compiler) tables() []uint32 {
	oids := make([]uint32, len(c.plan.Tables))
	for i, t := range c.plan.Tables {
		oids[i] = t.Table.OID
	}
	return oids
}

// conditions reads `when`, and the tenants' `hold`.
func (c *compiler) conditions() error {
	relation := schema.From(c.plan.Tenants.Table)
	for _, x := range []struct {
		what string
		text policy.Text
		into *string
	}{{"when", c.section.When, &c.plan.when}, {"hold", c.file.Tenants.Hold, &c.plan.hold}} {
		if !x.text.IsSet() {
			continue
		}
		var err error
		if *x.into, err = c.boolean(x.what, x.text, relation); err != nil {
			return err
		}
	}
	for _, t := range c.plan.Tables {
		if t.Action == Keep {
			c.keeping(t)
		}
	}
	return nil
}

// keeping resolves how long rows of a table are kept.
func (c *compiler) keeping(t *Table) {
	e := t.Entry
	if e.For.Forever {
		return
	}
	column, ok := t.Table.Column(e.Age.Column.Value)
	if !ok {
		c.fail(e.Age.Column.Pos, "its columns are "+schemaNames(t.Table), "table %s has no column %s", t.Name(), e.Age.Column.Value)
		return
	}
	integer := slices.Contains(plan.IntegerTypes, column.TypeName)
	timed := slices.Contains([]string{"timestamptz", "timestamp", "date"}, column.TypeName)
	switch {
	case !integer && !timed:
		c.fail(e.Age.Column.Pos, "an age is timestamptz, timestamp, date, or smallint, int, bigint with a unit", "%s.%s is %s, which cannot be an age", t.Name(), column.Name, column.Type)
	case integer != (e.Age.Unit != policy.UnitNone):
		c.fail(e.Age.Column.Pos, "an integer age has a unit, as in age: {column: "+policy.YAMLColumn(column.Name)+", unit: ms}, and no other has", "%s.%s is %s", t.Name(), column.Name, column.Type)
	default:
		t.age = &expiry.Age{Column: column, Unit: e.Age.Unit, Zone: "UTC"}
		if e.Age.TimeZone.IsSet() {
			t.age.Zone = e.Age.TimeZone.Value
		}
	}
}

// redactions compiles what is overwritten.
func (c *compiler) redactions() error {
	if c.section.TenantRow == policy.Redact {
		if err := c.redaction(c.plan.Tenants, c.section.Redact); err != nil {
			return err
		}
	}
	for _, t := range c.plan.Tables {
		if t.Action == Redact && t != c.plan.Tenants {
			if err := c.redaction(t, t.Entry.Set); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *compiler) redaction(t *Table, set []policy.Assignment) error {
	needed := c.neededColumns(t)
	made, problems, err := redact.Compile(c.ctx, c.tx, t.Table, set, nil, needed, c.expression)
	if err != nil {
		return err
	}
	for _, p := range problems {
		c.fail(p.Pos, p.Fix, "%s", p.Text)
	}
	t.Redaction = made
	return nil
}

// neededColumns are the columns of a table that must stay as they are: those that say whose a row is,
// and those of policies.
func (c *compiler) neededColumns(t *Table) redact.Needed {
	needed := redact.Needed{}
	for i := range c.file.Policies {
		p := &c.file.Policies[i]
		if c.resolve(p.Table) != t.Table.OID {
			continue
		}
		needed[p.Age.Column.Value] = "the age of policy " + p.Name
		if len(p.Tenant.Steps) > 0 {
			needed[p.Tenant.Steps[0].Column] = "on the tenant path of policy " + p.Name
		}
		for _, column := range t.Table.ColumnNames() {
			if p.Where.IsSet() && mentions(p.Where.Value, column) {
				needed[column] = "read by where of policy " + p.Name
			}
			if p.Age.SQL.IsSet() && mentions(p.Age.SQL.Value, column) {
				needed[column] = "read by the age of policy " + p.Name
			}
		}
	}
	for _, w := range t.Ways {
		for _, column := range w.columns {
			needed[column] = "what says whose the row is"
		}
	}
	for _, o := range c.plan.Tables {
		for _, w := range o.Ways {
			c.pathColumns(t, w, needed)
		}
	}
	if t == c.plan.Tenants {
		needed[c.plan.Key.Name] = "the tenants' key"
		for _, text := range []policy.Text{c.section.When, c.file.Tenants.Hold} {
			for _, column := range t.Table.ColumnNames() {
				if text.IsSet() && mentions(text.Value, column) {
					needed[column] = "read by when or hold"
				}
			}
		}
	}
	return needed
}

// pathColumns adds the columns of a table that a path of another goes through.
func (c *compiler) pathColumns(t *Table, w *Way, needed redact.Needed) {
	for i, h := range w.hops {
		if h.table != t {
			continue
		}
		needed[h.to] = "on a path to the tenants"
		next := w.last.column
		if i+1 < len(w.hops) {
			next = w.hops[i+1].from
		}
		needed[next] = "on a path to the tenants"
	}
}

// mentions reports whether SQL may read a column: its name stands in it as a word.
func mentions(sql, column string) bool {
	word := func(r byte) bool {
		return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r >= 0x80
	}
	lower, name := strings.ToLower(sql), strings.ToLower(column)
	for at := 0; ; {
		i := strings.Index(lower[at:], name)
		if i < 0 {
			return false
		}
		from, to := at+i, at+i+len(name)
		if (from == 0 || !word(lower[from-1])) && (to == len(lower) || !word(lower[to])) {
			return true
		}
		at = from + 1
	}
}
