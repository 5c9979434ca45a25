package expiry

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
	StateActive  = "active" // has a cutoff; whether rows are due takes a query
	stateHeld    = "held"
	StateForever = "forever"
	stateSkipped = "skipped"
)

// Source is a possible source of a retention.
type Source struct {
	Constant *policy.Duration // nil: use SQL
	SQL      string           // over the tenants' relation
	Integer  bool             // SQL returns a number of days
	From     string           // where the file has it: policy, tenants, query or default
}

// Tenants builds the relation of each tenant's state and cutoff. It is the only place that defines
// the precedence of retentions.
type Tenants struct {
	Table     *schema.Table     // for the table form
	Query     string            // for the query form
	Columns   []string          // names of the query's columns
	Key       schema.Column     // Name is empty for a policy without tenants
	Same      schema.Comparison // compares the key with itself
	Sources   []Source
	Holds     []string
	Min       *policy.Duration
	Overrides []Override
	Distinct  bool // a unique index prevents duplicate keys
	// Held is the condition that a person holds a tenant, by an expression of its key as text, and
	// by the condition that the text of another is the same key (nil: equal texts tell); nil: nobody
	// can have said so.
	Held func(key string, same func(tenant string) string) string
	// Grace is what runs have recorded, if a shorter retention counts only after a while; nil: it
	// counts at once.
	Grace *Grace
}

// Override is the retention of a single tenant; Key is as PostgreSQL prints it.
type Override struct {
	Key      string
	Duration policy.Duration
	Policy   bool // it stands in the policy, not under tenants
}

// Inline reports whether the relation may be part of any statement: a query may only run in
// read-only transactions.
func (t *Tenants) Inline() bool { return t.Query == "" }

// Relation writes the relation of tenants, in which users' SQL sees only the columns of the table
// or query.
func (t *Tenants) Relation(extra func(key string) string) string {
	var b strings.Builder
	key := "NULL::text"
	switch {
	case t.Table != nil:
		key = schema.Col(t.Table, t.Key.Name)
	case t.Query != "":
		key = pg.Ident("tenants", t.Columns[0])
	}
	b.WriteString("SELECT " + key + " AS key, ")
	hold := "false"
	for _, h := range t.Holds {
		hold += " OR coalesce((" + h + "), false)"
	}
	b.WriteString(hold + " AS held")
	for i, s := range t.Sources {
		if s.Constant == nil {
			fmt.Fprintf(&b, ", (%s) AS r%d", s.SQL, i)
		}
	}
	switch {
	case t.Table != nil:
		b.WriteString(" FROM " + schema.FromWithChildren(t.Table) + " WHERE " + key + " IS NOT NULL")
	case t.Query != "":
		b.WriteString(" FROM (" + t.Query + "\n) AS tenants(" +
			pg.List(len(t.Columns), func(i int) string { return pg.Ident(t.Columns[i]) }) + ") WHERE " + key + " IS NOT NULL")
	default:
		return b.String()
	}
	if extra != nil {
		b.WriteString(" AND " + extra(key))
	}
	return b.String()
}

// Scope restricts a query of the tenants or of their roots.
type Scope struct {
	Base      string   // the start of the run by the database's clock, as text
	Only      []string // keys; nil: all
	OlderThan *policy.Duration
	Run       string // the run's id
	Cutoffs   string // the quoted name of the table with the cutoffs of the run's start
	// Whole: the query is for all tenants. Then each retention is computed once, not once per
	// mention, which takes three times as long. But an outer condition cannot use an index.
	Whole bool
	// WhereFailed: `where` has raised an error, and is only evaluated for the rows of a batch.
	WhereFailed bool
	// Given is the expression of a tenant's cutoff that was read shortly before; NULL: nothing of it may
	// go. Empty: the statement reads it itself.
	Given string
	// Graced: grace counts in the cutoffs that these are bounded by, or does not matter.
	Graced bool
	// Recorded adds what a run records of each tenant for its grace: had, the retention that gives the
	// cutoff; NULL if nothing of it may go, which ends all that was recorded.
	Recorded bool
	// Kept are the locations of expired roots known to stay; nil: not determined.
	Kept *pg.Places
}

// fence keeps PostgreSQL from flattening a subquery.
func (sc Scope) fence() string {
	if sc.Whole {
		return " OFFSET 0"
	}
	return ""
}

// Write adds the relation (key, state, cutoff, retention, floored) to a statement.
func (t *Tenants) Write(s *pg.Statement, sc Scope) string {
	base := s.Cast(sc.Base, "timestamptz")
	var extra func(string) string
	if sc.Only != nil && t.Key.Name != "" {
		extra = t.only(s, sc.Only)
	}
	floors := ""
	if t.Min != nil {
		floors += ", " + base + " - " + Interval(*t.Min)
	}
	narrowed := floors
	if sc.OlderThan != nil {
		narrowed += ", " + base + " - " + Interval(*sc.OlderThan)
	}
	join := ""
	if len(t.Overrides) > 0 && t.Key.Name != "" {
		var keys, lengths []string
		var forever []bool
		for _, o := range t.Overrides {
			keys = append(keys, o.Key)
			forever = append(forever, o.Duration.Forever)
			lengths = append(lengths, lengthOf(o.Duration))
		}
		if len(keys) > 0 {
			typ, key := t.Key.SQLType, "o.key"
			if t.Key.Category == "C" { // unnest would expand a composite into its fields
				typ, key = pg.TextType, "o.key::"+t.Key.SQLType
			}
			join = fmt.Sprintf(" LEFT JOIN unnest(%s, %s, %s) AS o(key, forever, length) ON %s",
				s.Cast(keys, typ+"[]"), s.Cast(forever, "bool[]"), s.Cast(lengths, "interval[]"), t.Same.FindTheirs(key, "t.key"))
		}
	}
	length, forever := t.precedence(join != "")
	sane := ""
	if !t.sane() {
		sane = `
                   AND extract(year FROM b.length) BETWEEN -2000 AND 2000 AND extract(day FROM b.length) BETWEEN -800000 AND 800000
                   AND extract(hour FROM b.length) BETWEEN -20000000 AND 20000000`
	}
	cutoff, more, fence := "least(c.own"+narrowed+")", "", ""
	if sc.Recorded {
		more = ",\n         " + t.had("c", base) + " AS had"
	}
	if t.Grace != nil && !sc.Graced {
		// The fence keeps it from being looked up at every mention.
		cutoff, fence = "CASE WHEN c.held OR c.own IS NULL THEN c.own ELSE "+t.GracedCutoff("c.key", cutoff, base)+" END", " OFFSET 0"
	}
	return fmt.Sprintf(`(
  SELECT c.key,
         CASE WHEN c.held THEN 'held' WHEN c.forever THEN 'forever' WHEN c.own IS NULL THEN 'skipped' ELSE 'active' END AS state,
         %[4]s AS cutoff, c.length::text AS retention, coalesce(least(c.own%[5]s) < c.own, false) AS floored%[8]s
    FROM (
      SELECT b.key, b.held, b.length, b.forever,
             CASE WHEN NOT b.forever AND isfinite(b.length) AND b.length > interval '0'%[6]s
                  THEN CASE WHEN %[1]s - b.length >= '1900-01-01 00:00:00+00' AND %[1]s - b.length < %[1]s
                            THEN %[1]s - b.length END END AS own
        FROM (SELECT t.key, %[7]s, %[2]s AS length, %[3]s AS forever FROM (`, base, length, forever, cutoff, floors, sane, t.held(), more) +
		t.Relation(extra) + ") t" + join + sc.fence() + ") b" + sc.fence() + ") c" + fence + ")"
}

// only is the condition that an expression of the key is one of these keys.
func (t *Tenants) only(s *pg.Statement, keys []string) func(key string) string {
	if t.Same.Op.Commutator != nil {
		return func(key string) string {
			return t.Same.TheirsAs(key) + " " + t.Same.Op.Commutator.String() + " ANY (" + s.Cast(keys, t.Key.SQLType+"[]") + ")"
		}
	}
	return func(key string) string {
		return "EXISTS (SELECT FROM unnest(" + s.Cast(keys, pg.TextType+"[]") + ") reaper_o(key) WHERE " + t.Same.FindTheirs("reaper_o.key::"+t.Key.SQLType, key) + ")"
	}
}

// held is the column that tells whether a tenant t is held, by the file or by a person.
func (t *Tenants) held() string {
	if t.Held == nil {
		return "t.held"
	}
	return "t.held OR " + t.Held("t.key::text", t.sameKey("t.key")) + " AS held"
}

// HeldKey is the condition that a person holds the tenant with this key; nil: all rows of a policy
// without tenants.
func (t *Tenants) HeldKey(s *pg.Statement, key *string) string {
	text := s.Cast(key, pg.TextType)
	if key == nil {
		return t.Held(text, nil)
	}
	return t.Held(text, t.sameKey(text+"::"+t.Key.SQLType))
}

// HeldAs is HeldKey for an expression of the key as text.
func (t *Tenants) HeldAs(key string) string {
	if t.Held == nil {
		return "false"
	}
	return t.Held(key, t.sameKey(key+"::"+t.Key.SQLType))
}

// sameKey is the condition that a text is the same key as an expression of the key's type, for types
// of which two different texts can be: citext, char(n), numeric, and text of a collation that is not
// deterministic. No text raises an error.
func (t *Tenants) sameKey(key string) func(tenant string) string {
	k := t.Key
	switch {
	case k.TypeName == "numeric":
		return func(tenant string) string {
			return "CASE WHEN " + tenant + ` OPERATOR(pg_catalog.~) '^-?[0-9]{1,255}([.][0-9]{1,255})?$' THEN ` + t.Same.Write(tenant+"::"+k.SQLType, key, "") + " ELSE false END"
		}
	case k.Category == "S" && (k.LaxCollation || k.TypeName != "text" && k.TypeName != "varchar"):
		return func(tenant string) string {
			value := tenant + "::" + k.SQLType
			if k.CollationName != "" {
				value = "(" + value + " COLLATE " + k.CollationName + ")"
			}
			return t.Same.Write(value, key, "")
		}
	}
	return nil
}

// sane reports whether no retention can exceed the calendar's range, for which PostgreSQL would
// raise an error for all tenants. Checking each one costs more than the rest of the computation.
func (t *Tenants) sane() bool {
	known := func(d policy.Duration) bool {
		return d.Forever || d.Months <= 2000*12 && d.Days <= 800_000 && d.Micros <= 20_000_000*3_600_000_000
	}
	for _, s := range t.Sources {
		if s.Constant == nil && !s.Integer || s.Constant != nil && !known(*s.Constant) {
			return false
		}
	}
	return !slices.ContainsFunc(t.Overrides, func(o Override) bool { return !known(o.Duration) })
}

// CountKeys counts the distinct keys.
func (t *Tenants) CountKeys() string {
	if t.Distinct {
		return "count(*)"
	}
	return "count(DISTINCT key)"
}

// precedence writes the retention of a tenant (an interval), and whether it is forever: the first
// source with a value wins.
func (t *Tenants) precedence(withOverrides bool) (length, forever string) {
	var l, f strings.Builder
	if withOverrides {
		l.WriteString(" WHEN o.key IS NOT NULL THEN o.length")
		f.WriteString(" WHEN o.key IS NOT NULL THEN o.forever")
	}
	for i, s := range t.Sources {
		if s.Constant != nil {
			fmt.Fprintf(&l, " WHEN true THEN %s", Interval(*s.Constant))
			fmt.Fprintf(&f, " WHEN true THEN %t", s.Constant.Forever)
			break // no source after a constant is used
		}
		r := fmt.Sprintf("t.r%d", i)
		value := r
		if s.Integer {
			// An out-of-range number of days becomes 0. Then the tenant is skipped; an error would
			// stop all others.
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

// Interval writes a duration as an SQL constant; NULL for forever.
func Interval(d policy.Duration) string {
	if d.Forever {
		return "NULL::interval"
	}
	return "interval " + pg.Literal(d.Interval())
}

// lengthOf is a duration as text of an interval; 0 for forever, which has its own flag.
func lengthOf(d policy.Duration) string {
	if d.Forever {
		return "0"
	}
	return d.Interval()
}
