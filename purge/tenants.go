package purge

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// The states of a tenant under one policy.
const (
	stateActive  = "active" // has a cutoff; due or clear is known only by looking
	stateHeld    = "held"
	stateForever = "forever"
	stateSkipped = "skipped"
)

// source is one place a retention may come from, in order of precedence.
type source struct {
	constant *policy.Duration // else sql
	sql      string           // over the tenants' relation
	integer  bool             // sql gives days
}

// tenants builds the relation that says, per tenant, the state and the cutoff:
// the one place where the precedence of retentions is written down.
type tenants struct {
	table     *schema.Table // of the table form
	query     string        // of the query form
	columns   []string      // names of the query's columns
	key       schema.Column // Name is empty for a policy without tenants
	same      comparison    // of the key with itself
	sources   []source
	holds     []string
	min       *policy.Duration
	overrides []override
	distinct  bool // the table itself keeps keys apart
}

// override is one tenant's own retention; Key is as PostgreSQL prints it.
type override struct {
	Key      string
	Duration policy.Duration
}

// inline tells whether the relation may stand in any statement: a query is
// read in read-only transactions alone.
func (t *tenants) inline() bool { return t.query == "" }

// relation writes the tenants' own relation, where a user's SQL sees the
// columns of the table (or query) and nothing else.
func (t *tenants) relation(extra func(key string) string) string {
	var b strings.Builder
	key := "NULL::text"
	switch {
	case t.table != nil:
		key = col(t.table, t.key.Name)
	case t.query != "":
		key = ident("tenants", t.columns[0])
	}
	b.WriteString("SELECT " + key + " AS key, ")
	hold := "false"
	for _, h := range t.holds {
		hold += " OR coalesce((" + h + "), false)"
	}
	b.WriteString(hold + " AS held")
	for i, s := range t.sources {
		if s.constant == nil {
			fmt.Fprintf(&b, ", (%s) AS r%d", s.sql, i)
		}
	}
	switch {
	case t.table != nil:
		b.WriteString(" FROM " + fromWithHeirs(t.table) + " WHERE " + key + " IS NOT NULL")
	case t.query != "":
		b.WriteString(" FROM (" + t.query + "\n) AS tenants(" +
			list(len(t.columns), func(i int) string { return ident(t.columns[i]) }) + ") WHERE " + key + " IS NOT NULL")
	default:
		return b.String()
	}
	if extra != nil {
		b.WriteString(" AND " + extra(key))
	}
	return b.String()
}

// fromWithHeirs reads a tenants' table as a plain SELECT would.
func fromWithHeirs(t *schema.Table) string { return ident(t.Name.Schema, t.Name.Name) }

// scope narrows a reading of the tenants, or of their roots.
type scope struct {
	base      string   // the run's start by the database's clock, as text
	only      []string // keys; nil: all
	olderThan *policy.Duration
	run       string // the run's id
	cutoffs   string // the table with the cutoffs of its start, quoted
	// whole: every tenant is asked for. Then each row's retention is worked out
	// once, and not again wherever it is mentioned, which costs three times as
	// much; but no condition from outside finds its way to an index.
	whole bool
	// whereFailed: `where` has failed on a row, and is asked of the rows of a batch alone.
	whereFailed bool
	// kept are the expired roots that are known to stay; nil: not worked out.
	kept *rowsOf
}

// fence keeps PostgreSQL from merging a subquery into the one around it.
func (sc scope) fence() string {
	if sc.whole {
		return " OFFSET 0"
	}
	return ""
}

// write adds the relation (key, state, cutoff, retention, floored, raw) to a
// statement. raw tells why a tenant is skipped.
func (t *tenants) write(s *statement, sc scope) string {
	base := s.cast(sc.base, "timestamptz")
	var extra func(string) string
	if sc.only != nil && t.key.Name != "" {
		extra = func(key string) string {
			return "EXISTS (SELECT FROM unnest(" + s.cast(sc.only, textType+"[]") + ") reaper_o(key) WHERE " + t.same.findTheirs("reaper_o.key::"+t.key.SQLType, key) + ")"
		}
		if t.same.op.Commutator != nil {
			extra = func(key string) string {
				return t.same.theirsAs(key) + " " + t.same.op.Commutator.String() + " ANY (" + s.cast(sc.only, t.key.SQLType+"[]") + ")"
			}
		}
	}
	floors := ""
	if t.min != nil {
		floors += ", " + base + " - " + interval(*t.min)
	}
	narrowed := floors
	if sc.olderThan != nil {
		narrowed += ", " + base + " - " + interval(*sc.olderThan)
	}
	join := ""
	if len(t.overrides) > 0 && t.key.Name != "" {
		var keys, lengths []string
		var forever []bool
		for _, o := range t.overrides {
			keys = append(keys, o.Key)
			forever = append(forever, o.Duration.Forever)
			lengths = append(lengths, lengthOf(o.Duration))
		}
		if len(keys) > 0 {
			typ, key := t.key.SQLType, "o.key"
			if t.key.Category == "C" { // unnest would make a column of each field
				typ, key = textType, "o.key::"+t.key.SQLType
			}
			join = fmt.Sprintf(" LEFT JOIN unnest(%s, %s, %s) AS o(key, forever, length) ON %s",
				s.cast(keys, typ+"[]"), s.cast(forever, "bool[]"), s.cast(lengths, "interval[]"), t.same.findTheirs(key, "t.key"))
		}
	}
	length, forever := t.precedence(join != "")
	sane := ""
	if !t.sane() {
		sane = `
                   AND extract(year FROM b.length) BETWEEN -2000 AND 2000 AND extract(day FROM b.length) BETWEEN -800000 AND 800000
                   AND extract(hour FROM b.length) BETWEEN -20000000 AND 20000000`
	}
	return fmt.Sprintf(`(
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         least(c.own%[4]s) AS cutoff, c.length::text AS retention, coalesce(least(c.own%[5]s) < c.own, false) AS floored
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'%[6]s
                  THEN CASE WHEN %[1]s - b.length >= '1900-01-01 00:00:00+00' AND %[1]s - b.length < %[1]s
                            THEN %[1]s - b.length END END AS own
        FROM (SELECT t.key, t.held, %[2]s AS length, %[3]s AS forever FROM (`, base, length, forever, narrowed, floors, sane) +
		t.relation(extra) + ") t" + join + sc.fence() + ") b" + sc.fence() + ") c)"
}

// sane tells that no length of time can be one that no calendar holds, which
// PostgreSQL would answer with an error for all tenants. To ask each length
// costs more than all else that is worked out of it.
func (t *tenants) sane() bool {
	known := func(d policy.Duration) bool {
		return d.Forever || d.Months <= 2000*12 && d.Days <= 800_000 && d.Micros <= 20_000_000*3_600_000_000
	}
	for _, s := range t.sources {
		if s.constant == nil && !s.integer || s.constant != nil && !known(*s.constant) {
			return false
		}
	}
	return !slices.ContainsFunc(t.overrides, func(o override) bool { return !known(o.Duration) })
}

// countKeys counts the distinct keys among its rows.
func (t *tenants) countKeys() string {
	if t.distinct {
		return "count(*)"
	}
	return "count(DISTINCT key)"
}

// precedence writes the retention of a tenant (an interval) and whether it is
// kept forever: the first source that has a value counts.
func (t *tenants) precedence(withOverrides bool) (length, forever string) {
	var l, f strings.Builder
	if withOverrides {
		l.WriteString(" WHEN o.key IS NOT NULL THEN o.length")
		f.WriteString(" WHEN o.key IS NOT NULL THEN o.forever")
	}
	for i, s := range t.sources {
		if s.constant != nil {
			fmt.Fprintf(&l, " WHEN true THEN %s", interval(*s.constant))
			fmt.Fprintf(&f, " WHEN true THEN %t", s.constant.Forever)
			break // nothing below a constant is ever asked
		}
		r := fmt.Sprintf("t.r%d", i)
		value := r
		if s.integer {
			// Days that no calendar holds become 0: skipped, not an error that
			// would stop every other tenant.
			value = fmt.Sprintf("CASE WHEN %[1]s BETWEEN -800000 AND 800000 THEN make_interval(days => %[1]s::int) ELSE interval '0' END", r)
		}
		fmt.Fprintf(&l, " WHEN %s IS NOT NULL THEN %s", r, value)
		fmt.Fprintf(&f, " WHEN %s IS NOT NULL THEN false", r)
	}
	if l.Len() == 0 {
		return "NULL::interval", "false"
	}
	return "CASE" + l.String() + " END", "coalesce(CASE" + f.String() + " END, false)"
}

// interval writes a duration as a constant; forever has no length.
func interval(d policy.Duration) string {
	if d.Forever {
		return "NULL::interval"
	}
	return "interval " + pg.Literal(d.Interval())
}

// lengthOf is a duration as an interval's text; forever, whose flag stands
// beside it, is 0.
func lengthOf(d policy.Duration) string {
	if d.Forever {
		return "0"
	}
	return d.Interval()
}
