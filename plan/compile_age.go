package plan

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// IntegerTypes are the names of the integer types in pg_type.
var IntegerTypes = []string{"int2", "int4", "int8"}

// ageTypes are the types that a column of each unit may have.
var ageTypes = map[policy.Unit][]string{
	policy.UnitNone:    {"timestamptz", "timestamp", "date"},
	policy.UnitSeconds: IntegerTypes, policy.UnitMilliseconds: IntegerTypes, policy.UnitMicroseconds: IntegerTypes,
	policy.UnitUUIDv7: {"uuid"}, policy.UnitULID: {"text", "varchar", "bpchar", "uuid", "bytea"}, policy.UnitSnowflake: {"int8"},
}

// ageColumn determines the age of a root.
func (c *compiler) ageColumn() error {
	spec, t := c.plan.Policy.Age, c.plan.Root.Table
	if spec.SQL.IsSet() {
		return c.ageSQL()
	}
	column, err := c.column(t, spec.Column.Value, spec.Column.Pos)
	if err != nil {
		return err
	}
	if err := c.checkAgeType(column); err != nil {
		return err
	}
	if c.plan.Age, err = c.ageOf(column, spec); err != nil || !spec.TimeZone.IsSet() {
		return err
	}
	var ok bool
	if err := c.conn.QueryRow(c.ctx, `SELECT EXISTS (SELECT FROM pg_timezone_names WHERE name = $1)`, c.plan.Age.Zone).Scan(&ok); err != nil {
		return fmt.Errorf("looking up time zone: %w", err)
	}
	if !ok {
		c.fail(spec.TimeZone.Pos, "use a name of pg_timezone_names, such as Europe/Paris", "there is no time zone %s", c.plan.Age.Zone)
		return errStop
	}
	return nil
}

// checkAgeType refuses a column that cannot be an age, or not with this unit or time zone.
func (c *compiler) checkAgeType(column schema.Column) error {
	spec, t := c.plan.Policy.Age, c.plan.Root.Table
	fits, timed := slices.Contains(ageTypes[spec.Unit], column.TypeName), slices.Contains(ageTypes[policy.UnitNone], column.TypeName)
	switch {
	case fits && spec.TimeZone.IsSet() && column.TypeName == "timestamptz":
		c.fail(spec.TimeZone.Pos, "write age: "+policy.YAMLColumn(column.Name), "%s.%s is timestamp with time zone: it needs no time_zone", t.Name, column.Name)
	case fits:
		return nil
	case timed:
		c.fail(spec.UnitPos, "write age: "+policy.YAMLColumn(column.Name), "%s.%s is %s: only integer ages and identifiers have a unit", t.Name, column.Name, column.Type)
	case slices.Contains(IntegerTypes, column.TypeName) && spec.Unit == policy.UnitNone:
		c.fail(spec.Column.Pos, c.unitFix(column), "%s.%s is %s: an integer age needs a unit", t.Name, column.Name, column.Type)
	case spec.Unit.Identifies():
		c.fail(spec.UnitPos, "uuidv7 is for uuid, ulid for text, char(26), uuid and bytea, snowflake for bigint", "%s.%s is %s, which holds no %s", t.Name, column.Name, column.Type, spec.Unit)
	default:
		c.fail(spec.Column.Pos, "an age is timestamptz, timestamp, date, or smallint, int, bigint with a unit, or an identifier with the unit uuidv7, ulid or snowflake",
			"%s.%s is %s, which cannot be an age", t.Name, column.Name, column.Type)
	}
	return errStop
}

// ageOf is the age that a column holds.
func (c *compiler) ageOf(column schema.Column, spec policy.Age) (a expiry.Age, err error) {
	a = expiry.Age{Column: column, Unit: spec.Unit, Zone: "UTC", Epoch: spec.Epoch, Bits: spec.Bits}
	if spec.TimeZone.IsSet() {
		a.Zone = spec.TimeZone.Value
	}
	if a.Texts() {
		sorted, err := schema.Bytewise(c.ctx, c.conn, column.Collation)
		if err != nil {
			return a, err
		}
		a.Bytewise = !sorted
	}
	return a, nil
}

const timestamptzOID = 1184

// ageSQL is the age of SQL over the root.
func (c *compiler) ageSQL() error {
	spec := c.plan.Policy.Age.SQL
	f, err := c.expression("age", spec, schema.From(c.plan.Root.Table))
	if err != nil {
		return err
	}
	if f == nil {
		return errStop
	}
	if f.Columns[0].Type != timestamptzOID {
		c.fail(spec.Pos, "have it give a timestamptz: a time without its zone becomes one by AT TIME ZONE", "age is not of type timestamp with time zone")
		return errStop
	}
	if f.Unread {
		c.fail(spec.Pos, "grant the role TEMPORARY on the database, which reading it takes", "age could not be read as a view, so nothing shows that it is not volatile")
		return errStop
	}
	if f.Volatile {
		c.fail(spec.Pos, "use what depends on the row alone", "age calls a function that is volatile: the age of a row would change while it is looked at")
		return errStop
	}
	c.plan.Age, c.ageIndexable = ageBy(f), !f.Stable && !f.AsWritten
	return nil
}

// ageBy is the age that SQL gives.
func ageBy(f *usersql.Fragment) expiry.Age {
	return expiry.Age{SQL: f.SQL, Zone: "UTC", Column: schema.Column{Type: "timestamp with time zone", TypeName: "timestamptz", SQLType: "pg_catalog.timestamptz"}}
}

// checkAgeRange refuses an age whose values are implausible in its unit: seconds read as
// milliseconds would expire everything.
func (c *compiler) checkAgeRange() error {
	a, t := &c.plan.Age, c.plan.Root.Table
	if a.Unit == policy.UnitNone || !t.CanUseSchema || !t.CanSelect || t.RowSecurity {
		return nil
	}
	if a.Unit.Identifies() {
		return c.checkIdentifiers(a)
	}
	bounds, err := c.ageBounds(a.Column)
	if err != nil {
		return err
	}
	for _, v := range bounds {
		if !expiry.InUnit(v, a.Unit) {
			c.fail(c.plan.Policy.Age.Column.Pos, c.rangeFix(a.Column, bounds),
				"%s.%s holds %d, which in unit %s is outside 1990-2100", t.Name, a.Column.Name, v, a.Unit)
			break
		}
	}
	return nil
}

// identifiersRead is how many of the greatest values are read for one that is an identifier.
const identifiersRead = 10_000

// checkIdentifiers is checkAgeRange for identifiers. Of the values beyond 2100, which expire in no
// run, it looks at the greatest alone: there a random UUID is among identifiers by chance.
func (c *compiler) checkIdentifiers(a *expiry.Age) error {
	if a.Texts() {
		if err := c.caseOfIdentifiers(a); err != nil {
			return err
		}
	}
	t := c.plan.Root.Table
	age, at := a.Of(t), a.Instant("reaper_x.age")
	old := fmt.Sprintf("SELECT %s AS age FROM %s WHERE %s AND %s < %s ORDER BY %[1]s LIMIT 1", age, schema.From(t), a.Valid(age), age, a.Bound("'1990-01-01 00:00:00+00'::timestamptz"))
	// Some snowflakes end before 2101: the bound is then the greatest number, which is of a time before it.
	end := "'2101-01-01 00:00:00+00'::timestamptz"
	young := fmt.Sprintf("SELECT reaper_y.age FROM (SELECT %s AS age FROM %s WHERE %[1]s >= %[3]s ORDER BY %[1]s DESC LIMIT %[4]d) reaper_y WHERE CASE WHEN %[5]s THEN %[6]s >= %[7]s END LIMIT 1",
		age, schema.From(t), a.Bound(end), identifiersRead, a.Valid("reaper_y.age"), a.Instant("reaper_y.age"), end)
	var value, time *string
	err := c.conn.QueryRow(c.ctx, fmt.Sprintf("SELECT min(reaper_x.age::text), min(%s AT TIME ZONE 'UTC')::text FROM ((%s) UNION ALL (%s) LIMIT 1) reaper_x", at, old, young)).Scan(&value, &time)
	if err != nil {
		return fmt.Errorf("reading the range of %s: %w", a.Column.Name, err)
	}
	if value != nil {
		c.fail(c.plan.Policy.Age.UnitPos, "check the unit, and for snowflake the epoch and bits", "%s.%s holds %s, which as %s is of %s, outside 1990-2100", t.Name, a.Column.Name, *value, a.Unit, *time)
	}
	return nil
}

// caseOfIdentifiers reads from the least and the greatest identifiers whether their letters are lower
// case. Bytes sort them by time only if all are of one case; those of the other never expire.
func (c *compiler) caseOfIdentifiers(a *expiry.Age) error {
	t := c.plan.Root.Table
	age := a.Of(t)
	lower, upper := *a, *a
	lower.Lower, upper.Lower = true, false
	end := func(order string) string {
		return fmt.Sprintf("(SELECT %s AS age FROM %s WHERE %[1]s >= '0' AND %[1]s < '8' ORDER BY %[1]s%[3]s LIMIT 100)", age, schema.From(t), order)
	}
	var lowers, uppers int
	err := c.conn.QueryRow(c.ctx, fmt.Sprintf("SELECT count(*) FILTER (WHERE %s), count(*) FILTER (WHERE %s) FROM (%s UNION ALL %s) reaper_x",
		lower.Valid("reaper_x.age"), upper.Valid("reaper_x.age"), end(""), end(" DESC"))).Scan(&lowers, &uppers)
	if err != nil {
		return fmt.Errorf("reading the letters of %s: %w", a.Column.Name, err)
	}
	a.Lower = lowers > uppers
	if lowers > 0 && uppers > 0 {
		c.plan.AddProblem(LevelWarning, fmt.Sprintf("%s.%s holds ULIDs in upper and in lower case: only those of the more frequent case expire", t.Name, a.Column.Name), "have all of them in one case")
	}
	return nil
}

// ageBounds are the smallest and the largest positive value of an integer age; none if there are no
// such values or the role may not read them.
func (c *compiler) ageBounds(column schema.Column) (bounds []int64, err error) {
	t := c.plan.Root.Table
	if !t.CanUseSchema || !t.CanSelect || t.RowSecurity {
		return nil, nil
	}
	var oldest, newest *int64
	err = c.conn.QueryRow(c.ctx, fmt.Sprintf("SELECT (SELECT min(%[1]s) FROM %[2]s WHERE %[1]s > 0)::bigint, (SELECT max(%[1]s) FROM %[2]s WHERE %[1]s > 0)::bigint", schema.Col(t, column.Name), schema.From(t))).
		Scan(&oldest, &newest)
	if err != nil {
		return nil, fmt.Errorf("reading the range of %s: %w", column.Name, err)
	}
	if oldest == nil {
		return nil, nil
	}
	return []int64{*oldest, *newest}, nil
}

// unitFix suggests the unit that fits the column's values.
func (c *compiler) unitFix(column schema.Column) string {
	unit := policy.UnitSeconds
	if bounds, err := c.ageBounds(column); err == nil && expiry.UnitOf(bounds) != policy.UnitNone {
		unit = expiry.UnitOf(bounds)
	}
	return "write age: {column: " + policy.YAMLColumn(column.Name) + ", unit: " + string(unit) + "} # s, ms or us"
}

// rangeFix suggests the unit that fits the bounds.
func (c *compiler) rangeFix(column schema.Column, bounds []int64) string {
	if unit := expiry.UnitOf(bounds); unit != policy.UnitNone {
		return "write age: {column: " + policy.YAMLColumn(column.Name) + ", unit: " + string(unit) + "} # in this unit its values lie within 1990-2100"
	}
	return "check the unit: s, ms or us"
}

// indexedAge reports whether an index column sorts by the age.
func (p *Plan) indexedAge(x schema.IndexColumn) bool {
	switch a := p.Age; {
	case a.SQL != "":
		return x.Name == "" && unqualified(x.Expression, "") == unqualified(a.SQL, p.Root.Table.Name.Name)
	case a.Bytewise:
		return x.Name == a.Column.Name && schema.BytewiseCollation(x.Collation)
	}
	return x.Name == p.Age.Column.Name && x.OwnCollation
}

// unqualified is an expression as PostgreSQL prints it, without the table's name before columns, and
// without parentheses around it. It tells which index to expect, and nothing else.
func unqualified(sql, table string) string {
	if table != "" {
		sql = strings.ReplaceAll(strings.ReplaceAll(sql, pg.Ident(table)+".", ""), table+".", "")
	}
	for strings.HasPrefix(sql, "(") && strings.HasSuffix(sql, ")") && closes(sql) {
		sql = sql[1 : len(sql)-1]
	}
	return sql
}

// closes reports whether the parenthesis at the start of an expression closes at its end.
func closes(sql string) bool {
	depth := 0
	for i, r := range sql {
		switch r {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 {
			return i == len(sql)-1
		}
	}
	return false
}
