package purge_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // time zones of the policies, wherever the oracle runs
)

// oracle computes, row by row and from the contract alone, what a purge must leave. It sees
// tables as lists of rows and uses no SQL, except for the dump and for which rows PostgreSQL
// considers equal.
type oracle struct {
	c     *genCase
	start time.Time
	rows  map[*genTable][]*genRow
	at    map[*genTable]map[string]*genRow // by number

	tenants   map[string]*genTenant // by key; "" for tenant: none
	expired   []*genRow
	ahead     map[*genRow]bool // rows that a look ahead counts as deleted
	unowned   int
	nullified [2]int // cleared rows that stay; references cleared in all
}

// genRow is a row as read; NULL columns are missing.
type genRow struct {
	table   *genTable
	values  map[string]string
	emptied map[string]bool // columns
	gone    bool
	owner   string // of an expired root
}

type genTenant struct {
	state   string // held, forever, skipped, active
	cutoff  time.Time
	expired int // roots that a look ahead counts
}

func newOracle(c *genCase, rows map[*genTable][]*genRow, start time.Time) *oracle {
	o := &oracle{c: c, start: start.UTC(), rows: rows, at: map[*genTable]map[string]*genRow{}}
	for t, list := range rows {
		o.at[t] = map[string]*genRow{}
		for _, r := range list {
			o.at[t][r.number()] = r
		}
	}
	o.judgeTenants()
	o.judgeRoots()
	o.lookAhead()
	for _, r := range o.expired {
		if o.ahead[r] {
			o.tenants[r.owner].expired++
		}
	}
	return o
}

// lookAhead finds what is deleted once deleted keepers keep nothing any more.
func (o *oracle) lookAhead() {
	o.ahead = map[*genRow]bool{}
	for again := true; again; {
		again = false
		for _, root := range o.expired {
			if o.ahead[root] {
				continue
			}
			rows, kept := o.closure(root, o.ahead)
			if !kept {
				again = true
				for _, r := range rows {
					o.ahead[r] = true
				}
			}
		}
	}
}

// number identifies the rows of a table.
func (r *genRow) number() string { return r.values["rid"] }

// references returns the rows that still reference a row by an edge, deleted or not.
func (o *oracle) references(e *genEdge, r *genRow) (found []*genRow) {
	for _, n := range o.c.facts.behind[e][r.number()] {
		x := o.at[e.child][n]
		cut := slices.ContainsFunc(e.columns, func(k string) bool { return x.emptied[k] })
		if !cut && e.means(x) {
			found = append(found, x)
		}
	}
	return found
}

// behind returns the existing rows that reference a row by an edge.
func (o *oracle) behind(e *genEdge, r *genRow) []*genRow {
	return slices.DeleteFunc(o.references(e, r), func(x *genRow) bool { return x.gone })
}

// means is the `where` of a match.
func (e *genEdge) means(r *genRow) bool {
	return e.kind == "" || r.values["record_type"] == e.kind || strings.Contains(e.where, " OR ") && r.values["record_type"] == "any"
}

// closure is everything deleted with a row; kept: an existing row outside of it and of going
// protects one of its rows.
func (o *oracle) closure(root *genRow, going map[*genRow]bool) (rows []*genRow, kept bool) {
	rows = []*genRow{root}
	seen := map[*genRow]bool{root: true}
	for i := 0; i < len(rows); i++ {
		for _, e := range o.c.edges {
			if e.parent != rows[i].table || e.action == "" {
				continue
			}
			for _, x := range o.behind(e, rows[i]) {
				if e.action == keeps && !going[x] {
					kept = true
				}
				if e.action == goes && !seen[x] {
					seen[x] = true
					rows = append(rows, x)
				}
			}
		}
	}
	return rows, kept
}

// purge deletes, in any order of the roots, until nothing more can be deleted.
func (o *oracle) purge(order []*genRow) {
	emptied := map[*genRow]bool{}
	for again := true; again; {
		again = false
		for _, root := range order {
			if root.gone {
				continue
			}
			rows, kept := o.closure(root, nil)
			if kept {
				continue
			}
			again = true
			for _, r := range rows {
				r.gone = true
			}
			for _, r := range rows {
				o.empty(r, emptied)
			}
		}
	}
	for r := range emptied {
		if !r.gone {
			o.nullified[0]++
		}
	}
}

// empty clears the references to a deleted row. Those of rows deleted with it count too:
// PostgreSQL may clear a row before it deletes it.
func (o *oracle) empty(r *genRow, emptied map[*genRow]bool) {
	for _, e := range o.c.edges {
		if e.parent != r.table || e.action != clears {
			continue
		}
		for _, x := range o.references(e, r) {
			if e.onDelete == "" && e.redact != nil && e.redacted(x) {
				continue
			}
			o.nullified[1]++
			if x.gone {
				continue
			}
			emptied[x] = true
			if x.emptied == nil {
				x.emptied = map[string]bool{}
			}
			e.overwrite(x)
			for i, k := range e.sets {
				x.emptied[k] = true
				if e.defaults[i] == "NULL" {
					delete(x.values, k)
				} else {
					x.values[k] = strings.ReplaceAll(strings.Trim(e.defaults[i], "'"), "''", "'")
				}
			}
		}
	}
}

// judgeTenants determines every tenant's state and cutoff.
func (o *oracle) judgeTenants() {
	o.tenants = map[string]*genTenant{}
	p := &o.c.policy
	if o.c.tenants == nil {
		o.tenants[""] = o.judge(&genRow{values: map[string]string{}})
		return
	}
	for _, r := range o.rows[o.c.tenants] {
		key := r.values[o.c.tenants.key[0]]
		t := o.judge(r)
		for _, hold := range []string{p.tenants.hold, p.own.hold} {
			if hold != "" && r.values[hold] == "true" || p.query && r.values["held"] == "true" {
				t.state = "held"
			}
		}
		o.tenants[key] = t
	}
}

// judge finds the first retention of a tenant.
func (o *oracle) judge(r *genRow) *genTenant {
	p := &o.c.policy
	shared := p.tenants.retention
	if p.query {
		shared = "days"
	}
	def := p.own.def
	if def == "" {
		def = p.tenants.def
	}
	floor := p.own.min
	if floor == "" {
		floor = p.tenants.min
	}
	for _, source := range []string{p.own.overrides[r.number()], p.tenants.overrides[r.number()], p.own.retention, shared, def} {
		var cutoff time.Time
		switch source {
		case "":
			continue
		case "forever":
			return &genTenant{state: "forever"}
		case "days", "interval":
			days, ok := r.values["days"]
			if !ok {
				continue
			}
			n, err := strconv.Atoi(days)
			if err != nil || n <= 0 || n > 800_000 {
				return &genTenant{state: "skipped"}
			}
			cutoff = o.start.AddDate(0, 0, -n)
		case "Span":
			span, ok := r.values["Span"]
			if !ok {
				continue
			}
			cutoff = spans[span].before(o.start)
		default:
			cutoff = lengths[source].before(o.start)
		}
		if cutoff.Year() < 1900 || !cutoff.Before(o.start) {
			return &genTenant{state: "skipped"}
		}
		if floor != "" {
			if earlier := lengths[floor].before(o.start); earlier.Before(cutoff) {
				cutoff = earlier
			}
		}
		return &genTenant{state: "active", cutoff: cutoff}
	}
	return &genTenant{state: "skipped"}
}

// span is a length in calendar units, computed as PostgreSQL does.
type span struct {
	months, days int
	rest         time.Duration
}

// lengths are the durations of policy files; spans are the intervals of tenants as PostgreSQL
// prints them.
var (
	lengths = map[string]span{
		"1d": {days: 1}, "10d": {days: 10}, "20d": {days: 20}, "30d": {days: 30}, "1mo": {months: 1}, "1y6mo": {months: 18},
		"36h": {rest: 36 * time.Hour}, "2w1d": {days: 15},
	}
	spans = map[string]span{
		"30 days": {days: 30}, "1 mon": {months: 1}, "36:00:00": {rest: 36 * time.Hour}, "00:00:00": {}, "-1 days": {days: -1},
		"1 year 2 mons": {months: 14}, "1 mon -29 days": {months: 1, days: -29},
	}
)

// before is the instant this long before t: first months, clamped to the end of a shorter
// month, then days, then the rest.
func (s span) before(t time.Time) time.Time {
	y, m, d := t.Date()
	first := time.Date(y, m-time.Month(s.months), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(d, last)-1-s.days).Add(-s.rest)
}

// judgeRoots finds the expired roots.
func (o *oracle) judgeRoots() {
	for _, r := range o.rows[o.c.root] {
		owner, ok := o.ownerOf(r)
		if !ok {
			o.unowned++
			continue
		}
		t := o.tenants[owner]
		if t.state == "active" && !o.c.held[r.number()] && o.c.policy.meant(r) && o.c.policy.older(r.values[o.c.policy.age], t.cutoff) {
			r.owner = owner
			o.expired = append(o.expired, r)
		}
	}
}

// ownerOf follows the tenant path.
func (o *oracle) ownerOf(r *genRow) (string, bool) {
	for i, h := range o.c.path {
		to, ok := o.c.facts.steps[i][r.number()]
		if !ok {
			return "", false
		}
		r = o.at[h.table][to]
	}
	if o.c.tenants != nil {
		return r.values[o.c.tenants.key[0]], true
	}
	return "", true // tenant: none
}

// meant is `where`; NULL is not true.
func (p *genPolicy) meant(r *genRow) bool {
	status, known := r.values["status"]
	switch p.where {
	case "":
		return true
	case "status <> 'queued'":
		return known && status != "queued"
	case "status = 'sent' OR flag":
		return status == "sent" || r.values["flag"] == "true"
	case "flag":
		return r.values["flag"] == "true"
	case "NOT flag":
		return r.values["flag"] == "false"
	}
	return status == "sent" || status == "queued"
}

// zeroTime reports whether a time means "none".
func zeroTime(t time.Time) bool { return t.Year() < 1900 || t.Equal(time.Unix(0, 0)) }

// older reports whether an age, as PostgreSQL prints it in UTC, is strictly before a cutoff.
func (p *genPolicy) older(age string, cutoff time.Time) bool {
	if age == "" || strings.Contains(age, "infinity") {
		return false
	}
	zone := time.UTC
	if p.zone != "" {
		var err error
		if zone, err = time.LoadLocation(p.zone); err != nil {
			panic(err)
		}
	}
	parse := func(layout string) time.Time {
		t, err := time.ParseInLocation(layout, age, zone)
		if err != nil {
			panic(fmt.Sprintf("age %q: %v", age, err))
		}
		return t
	}
	switch p.ageType {
	case "timestamptz":
		t := parse("2006-01-02 15:04:05.999999999-07")
		return !zeroTime(t) && t.Before(cutoff)
	case "timestamp":
		t := parse("2006-01-02 15:04:05.999999999")
		return !zeroTime(t) && t.Before(cutoff)
	case "date":
		t := parse("2006-01-02")
		return !zeroTime(t) && !t.AddDate(0, 0, 1).After(cutoff)
	}
	n, err := strconv.ParseInt(age, 10, 64)
	if err != nil {
		panic(err)
	}
	unit := map[string]time.Duration{"s": time.Second, "ms": time.Millisecond, "us": time.Microsecond}[p.unit]
	perSecond := int64(time.Second / unit)
	return n > 0 && time.Unix(n/perSecond, n%perSecond*int64(unit)).Before(cutoff)
}
