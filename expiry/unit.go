package expiry

import (
	"slices"
	"time"

	"github.com/reaperdb/reaper/policy"
)

// unitFactors are the units of an integer age per second.
var unitFactors = map[policy.Unit]int64{policy.UnitSeconds: 1, policy.UnitMilliseconds: 1_000, policy.UnitMicroseconds: 1_000_000}

// InUnit reports whether a value in this unit is within 1990 to 2100.
func InUnit(v int64, unit policy.Unit) bool {
	from, to := time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC)
	return v >= from.Unix()*unitFactors[unit] && v < to.Unix()*unitFactors[unit]
}

// UnitOf is the unit in which all values are within 1990 to 2100; none if there is no such unit, or
// there are no values.
func UnitOf(bounds []int64) policy.Unit {
	for unit := range unitFactors {
		if len(bounds) > 0 && !slices.ContainsFunc(bounds, func(v int64) bool { return !InUnit(v, unit) }) {
			return unit
		}
	}
	return policy.UnitNone
}
