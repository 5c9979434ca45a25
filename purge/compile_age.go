package purge

import (
	"fmt"
	"slices"
	"time"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// unitFactors are how many of each unit of an integer age make a second.
var unitFactors = map[policy.Unit]int64{policy.UnitSeconds: 1, policy.UnitMilliseconds: 1_000, policy.UnitMicroseconds: 1_000_000}

// inUnit reports whether a value lies within 1990 to 2100 in a unit.
func inUnit(v int64, unit policy.Unit) bool {
	from, to := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC)
	return v >= from.Unix()*unitFactors[unit] && v < to.Unix()*unitFactors[unit]
}

// ageRange refuses an integer age whose values make no sense in its unit:
// seconds taken for milliseconds would expire everything.
func (c *compiler) ageRange() error {
	a := c.plan.age
	if !a.integer() {
		return nil
	}
	bounds, err := c.ageBounds(a.column)
	if err != nil {
		return err
	}
	for _, v := range bounds {
		if !inUnit(v, a.unit) {
			c.fail(c.plan.Policy.Age.Column.Pos, c.rangeFix(a.column, bounds),
				"%s.%s holds %d, which in unit %s lies outside 1990-2100", c.plan.Root.Table.Name, a.column.Name, v, a.unit)
			break
		}
	}
	return nil
}

// ageBounds are the oldest and the newest value of an integer age that are above 0; none
// where there are none, or where the role may not read them.
func (c *compiler) ageBounds(column schema.Column) (bounds []int64, err error) {
	t := c.plan.Root.Table
	if !t.CanUseSchema || !t.CanSelect || t.RowSecurity {
		return nil, nil
	}
	var oldest, newest *int64
	err = c.conn.QueryRow(c.ctx, fmt.Sprintf("SELECT (SELECT min(%[1]s) FROM %[2]s WHERE %[1]s > 0)::bigint, (SELECT max(%[1]s) FROM %[2]s WHERE %[1]s > 0)::bigint", ident(column.Name), from(t))).
		Scan(&oldest, &newest)
	if err != nil {
		return nil, fmt.Errorf("reading the range of %s: %w", column.Name, err)
	}
	if oldest == nil {
		return nil, nil
	}
	return []int64{*oldest, *newest}, nil
}

// unitOf is the one unit in which values lie within 1990 to 2100; none: there is none, or
// there are no values.
func unitOf(bounds []int64) policy.Unit {
	for unit := range unitFactors {
		if len(bounds) > 0 && !slices.ContainsFunc(bounds, func(v int64) bool { return !inUnit(v, unit) }) {
			return unit
		}
	}
	return policy.UnitNone
}

// unitFix is an age with the unit that its values have.
func (c *compiler) unitFix(column schema.Column) string {
	unit := policy.UnitSeconds
	if bounds, err := c.ageBounds(column); err == nil && unitOf(bounds) != policy.UnitNone {
		unit = unitOf(bounds)
	}
	return "write age: {column: " + policy.YAMLColumn(column.Name) + ", unit: " + string(unit) + "} # s, ms or us"
}

// rangeFix is the remedy where values are outside of what their unit allows.
func (c *compiler) rangeFix(column schema.Column, bounds []int64) string {
	if unit := unitOf(bounds); unit != policy.UnitNone {
		return "write age: {column: " + policy.YAMLColumn(column.Name) + ", unit: " + string(unit) + "} # in this unit its values lie within 1990-2100"
	}
	return "check the unit: s, ms or us"
}
