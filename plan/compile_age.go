package plan

import (
	"fmt"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// checkAgeRange refuses an integer age whose values are implausible in its unit: seconds read as
// milliseconds would expire everything.
func (c *compiler) checkAgeRange() error {
	a := c.plan.Age
	if !a.Integer() {
		return nil
	}
	bounds, err := c.ageBounds(a.Column)
	if err != nil {
		return err
	}
	for _, v := range bounds {
		if !expiry.InUnit(v, a.Unit) {
			c.fail(c.plan.Policy.Age.Column.Pos, c.rangeFix(a.Column, bounds),
				"%s.%s holds %d, which in unit %s is outside 1990-2100", c.plan.Root.Table.Name, a.Column.Name, v, a.Unit)
			break
		}
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
	err = c.conn.QueryRow(c.ctx, fmt.Sprintf("SELECT (SELECT min(%[1]s) FROM %[2]s WHERE %[1]s > 0)::bigint, (SELECT max(%[1]s) FROM %[2]s WHERE %[1]s > 0)::bigint", pg.Ident(column.Name), schema.From(t))).
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
