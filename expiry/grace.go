package expiry

import (
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
)

// Grace is where the ledger keeps the retentions that runs have seen of each tenant of a policy: the
// one in force, and those that were in force within the grace.
//
// The cutoff of a tenant is the earliest of its own and of those that these give now. So each
// shortening counts when its own grace is over. A tenant of which nothing is recorded was kept
// forever. A run records what it sees before it fixes its cutoffs; whoever looks in between finds the
// same, since what was in force then counts as well.
type Grace struct {
	Table  string // quoted name
	Policy string
	Length policy.Duration // of the grace
}

// nothingExpires is a cutoff before all ages that are valid, in any time zone.
const nothingExpires = "'1899-12-01 00:00:00+00'::timestamptz"

// GracedCutoff is the earlier of a cutoff and those within the grace, by SQL expressions of a tenant's
// key, the cutoff and the run's start. There must be a Grace.
func (t *Tenants) GracedCutoff(key, cutoff, base string) string {
	return fmt.Sprintf("least(%s, (SELECT CASE WHEN bool_and(reaper_g.had IS NOT NULL) THEN min(%s - reaper_g.had) ELSE %s END FROM %s reaper_g WHERE %s AND reaper_g.ends_at > %s))",
		cutoff, base, nothingExpires, t.Grace.Table, t.recorded(key), base)
}

// GraceEnds is when rows come due that a cutoff would delete if there were no grace; NULL: now. before
// is an SQL condition on another cutoff (reaper_g.cutoff): that it keeps them. What was not seen by a
// run yet is taken as if one saw it now.
func (t *Tenants) GraceEnds(key, before, base string) string {
	return fmt.Sprintf("(SELECT CASE WHEN count(*) = 0 THEN %[1]s + %[2]s ELSE max(CASE WHEN reaper_g.cutoff IS NULL OR %[3]s THEN CASE reaper_g.ends_at WHEN 'infinity' THEN %[1]s + %[2]s ELSE reaper_g.ends_at END END) END"+
		" FROM (SELECT reaper_g.ends_at, %[1]s - reaper_g.had AS cutoff FROM %[4]s reaper_g WHERE %[5]s AND reaper_g.ends_at > %[1]s) reaper_g)",
		base, Interval(t.Grace.Length), before, t.Grace.Table, t.recorded(key))
}

// recorded is the condition that a record (reaper_g) is of a tenant. Another spelling of a key is
// another tenant, of which nothing is recorded.
func (t *Tenants) recorded(key string) string {
	return "reaper_g.policy = " + pg.Literal(t.Grace.Policy) + " AND reaper_g.tenant = " + t.RecordedKey(key)
}

// RecordedKey is a tenant's key as it is recorded.
func (t *Tenants) RecordedKey(key string) string {
	if t.Key.Name == "" {
		return "''::" + pg.TextType
	}
	return "(" + key + `::` + pg.TextType + ` COLLATE pg_catalog."C")`
}

// had is the retention that gives the cutoff of a tenant of c; NULL if nothing of it may go.
func (t *Tenants) had(c, base string) string {
	length := c + ".length"
	if t.Min != nil {
		floor := Interval(*t.Min)
		length = fmt.Sprintf("CASE WHEN %s - %s < %s.own THEN %s ELSE %s END", base, floor, c, floor, length)
	}
	return fmt.Sprintf("CASE WHEN NOT %[1]s.held AND %[1]s.own IS NOT NULL THEN %[2]s END", c, length)
}

// Digest is an aggregate over tenants with what is recorded of them (key, had), in any order. Equal
// intervals may differ in months, where there can be months.
func (t *Tenants) Digest() string {
	months := "0"
	if t.months() {
		months = "(12 * date_part('year', had) + date_part('month', had))::int8"
	}
	return "coalesce(bit_xor(hashtextextended(" + t.RecordedKey("key") + ", interval_hash_extended(had, " + months + "))), 0)"
}

// months reports whether a retention may have months.
func (t *Tenants) months() bool {
	return t.Min != nil && t.Min.Months != 0 ||
		slices.ContainsFunc(t.Sources, func(s Source) bool {
			return s.Constant == nil && !s.Integer || s.Constant != nil && s.Constant.Months != 0
		}) ||
		slices.ContainsFunc(t.Overrides, func(o Override) bool { return o.Duration.Months != 0 })
}
