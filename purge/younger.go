package purge

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Dependents go with their root, whatever their own age. Where they come long after
// it, as events of a project do, a policy on the root takes what is alive. So the
// newest rows of each dependent that has an age are compared with their roots.

const (
	youngRows    = 200             // the newest rows that are compared
	youngRead    = 2000            // rows read to find them
	youngLeast   = 5               // fewer young rows, or ages of them, say nothing
	youngShare   = 10              // percent of the rows that have to be young
	youngTimeout = 2 * time.Second // of one table
	youngBudget  = 5 * time.Second // of one policy
)

// usualRetention stands for one that only SQL knows.
var usualRetention = policy.Duration{Days: 30, Text: "30d"}

// youngAges are names of columns that say when a row came to be, the surest first,
// without underscores and in lower case.
var youngAges = []string{
	"createdat", "insertedat", "createdon", "created", "creationdate", "datecreated", "createddate", "createdtime", "timecreated",
	"timestamp", "occurredat", "happenedat", "recordedat", "loggedat", "receivedat", "sentat", "eventtime", "eventat", "addedat", "startedat", "time", "datetime", "ts", "at",
}

// youngGap is what the newest rows of a dependent say: how much later than their
// roots they came.
type youngGap struct {
	rows, young int64   // compared; of those, by more than half the retention
	ages        int64   // different ones among the young: one, where a column was filled in at once
	mean, most  float64 // seconds, of the young ones
}

// adviseYounger warns of dependents that would go much younger than the retention.
// Those behind one that was warned of are not looked at: the same is true of them.
func (p *Plan) adviseYounger(ctx context.Context, pool *pgxpool.Pool, a *advice) error {
	retention := p.shortestRetention()
	if retention.Forever {
		return nil
	}
	warned := map[*Node]bool{}
	until := time.Now().Add(youngBudget)
	for _, way := range p.waysUp() {
		n := way[0].Child
		own, ok := youngAge(n.Table)
		if warned[way[0].Parent] {
			warned[n] = true
			continue
		}
		if !ok || !n.Table.CanSelect || n.Table.RowSecurity {
			continue
		}
		timeout := min(youngTimeout, time.Until(until))
		if timeout < time.Millisecond {
			a.note(p, "not every dependent table was compared with its roots for rows much younger than the retention: it took too long")
			return nil
		}
		var g youngGap
		err := readOne(ctx, pool, p.readingPath(), timeout, p.youngSQL(way, own, retention), scanOne(&g.rows, &g.young, &g.ages, &g.mean, &g.most))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			a.note(p, fmt.Sprintf("%s was not compared with its roots for rows much younger than the retention: %s", n.Table.Name, pg.ErrorText(err)))
		case g.ages >= youngLeast && 100*g.young >= youngShare*g.rows:
			warned[n] = true
			a.problems = append(a.problems, p.youngWarning(n, g, retention))
		}
	}
	return nil
}

func (a *advice) note(p *Plan, text string) {
	a.notes = append(a.notes, Note{Policy: p.Policy.Name, Text: text})
}

func (p *Plan) youngWarning(n *Node, g youngGap, retention policy.Duration) Problem {
	root := p.Root.Table.Name
	return Problem{
		Policy: p.Policy.Name, Level: LevelWarning,
		Text: fmt.Sprintf("deleting rows of %s takes rows of %s that are much younger than the retention of %s: of its newest %d, %d were created more than half the retention after their row of %[1]s (%[6]s after it on average, %[7]s at most)",
			root, n.Table.Name, retention, g.rows, g.young, daysText(g.mean), daysText(g.most)),
		Fix: fmt.Sprintf("if rows of %s are what should expire, make it the table of the policy; to keep rows of %s while it references them, decide keep for it under dependents", n.Table.Name, root),
	}
}

// daysText is a length of time in whole days, or in hours below two of them.
func daysText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < 48*time.Hour {
		return many(int64(d.Hours()), "hour", "hours")
	}
	return many(int64(d.Hours()/24), "day", "days")
}

// shortestRetention is the shortest one that the file says outright, no shorter than
// min; forever: no row expires.
func (p *Plan) shortestRetention() policy.Duration {
	t := p.tenants
	var all []policy.Duration
	for _, s := range t.sources {
		if s.constant != nil {
			all = append(all, *s.constant)
		}
	}
	for _, o := range t.overrides {
		all = append(all, o.Duration)
	}
	bySQL := slices.ContainsFunc(t.sources, func(s source) bool { return s.constant == nil })
	all = slices.DeleteFunc(all, func(d policy.Duration) bool { return d.Forever })
	if len(all) == 0 && bySQL {
		all = append(all, usualRetention)
	}
	if len(all) == 0 {
		return policy.Duration{Forever: true}
	}
	shortest := slices.MinFunc(all, compareLengths)
	if t.min != nil && compareLengths(shortest, *t.min) < 0 {
		return *t.min
	}
	return shortest
}

// compareLengths compares durations by a usual calendar.
func compareLengths(a, b policy.Duration) int {
	length := func(d policy.Duration) float64 {
		return float64(d.Months)*30.44 + float64(d.Days) + float64(d.Micros)/float64(24*time.Hour/time.Microsecond)
	}
	switch x, y := length(a), length(b); {
	case x < y:
		return -1
	case x > y:
		return 1
	}
	return 0
}

// waysUp are the shortest ways from each dependent up to the root over edges that
// delete, those of the nearest dependents first.
func (p *Plan) waysUp() (ways [][]*Edge) {
	up := map[*Node][]*Edge{p.Root: nil}
	queue := []*Node{p.Root}
	for i := 0; i < len(queue); i++ {
		for _, e := range queue[i].Out {
			if _, seen := up[e.Child]; seen || !e.Action.deletes() {
				continue
			}
			way := append([]*Edge{e}, up[e.Parent]...)
			up[e.Child] = way
			ways = append(ways, way)
			queue = append(queue, e.Child)
		}
	}
	return ways
}

// youngAge is the column that says when a row of a dependent came to be; false: there
// is none. One that an index begins with is preferred, then one that is never NULL.
func youngAge(t *schema.Table) (best age, ok bool) {
	rank := func(k schema.Column) int {
		r := slices.Index(youngAges, strings.ToLower(strings.ReplaceAll(k.Name, "_", "")))
		if r < 0 || !slices.Contains([]string{"timestamptz", "timestamp", "date"}, k.TypeName) {
			return -1
		}
		if !k.NotNull {
			r += len(youngAges)
		}
		if orderedBy(t, k.Name) == "" {
			r += 2 * len(youngAges)
		}
		return r
	}
	least := -1
	for _, k := range t.Columns {
		if r := rank(k); r >= 0 && (least < 0 || r < least) {
			best, least = age{column: k, zone: "UTC"}, r
		}
	}
	return best, least >= 0
}

// orderedBy is the ORDER BY that gives the greatest values of a column first along an
// index; empty: none begins with it.
func orderedBy(t *schema.Table, column string) string {
	for _, x := range t.Indexes {
		if !x.Valid || x.Method != "btree" || x.Predicate != "" || len(x.Columns) == 0 || x.Columns[0].Name != column ||
			!x.Columns[0].DefaultOrder || !x.Columns[0].OwnCollation {
			continue
		}
		if x.Columns[0].NullsFirst != x.Columns[0].Desc { // read backwards, an index turns its NULLs around too
			return col(t, column) + " DESC NULLS LAST"
		}
		return col(t, column) + " DESC"
	}
	return ""
}

// newestSQL reads rows of a dependent that are likely to be its newest: along an index
// on the age, or along a key that grows, or else from some of the table's pages.
func newestSQL(t *schema.Table, own age) string {
	a := col(t, own.column.Name)
	order := orderedBy(t, own.column.Name)
	sample := sampleOf(t)
	if order == "" {
		order = a + " DESC"
		for _, x := range t.Indexes {
			if k, ok := t.Column(x.Columns[0].Name); sample != "" && x.Primary && len(x.Columns) == 1 && ok && slices.Contains(integerTypes, k.TypeName) {
				order, sample = col(t, k.Name)+" DESC", ""
			}
		}
	} else {
		sample = ""
	}
	return "SELECT * FROM " + from(t) + sample + " WHERE " + own.valid(a) + " AND " + a + " < " + own.bound("now()") + " ORDER BY " + order + " LIMIT " + strconv.Itoa(youngRead)
}

// youngSQL compares the newest rows of a dependent with their roots, which the way
// leads up to.
func (p *Plan) youngSQL(way []*Edge, own age, retention policy.Duration) *statement {
	s := &statement{}
	t := way[0].Child.Table
	filter := ""
	if way[0].Where != "" {
		filter = "\n   WHERE " + way[0].Where
	}
	a := col(t, own.column.Name)
	s.add("WITH reaper_y AS MATERIALIZED (\n  SELECT ", own.instant(a), " AS at", aliased(t, way[0].ChildColumns), "\n    FROM (", newestSQL(t, own), ") ", ident(t.Name.Name), filter,
		"\n   ORDER BY 1 DESC LIMIT ", strconv.Itoa(youngRows), "),\nreaper_g AS (SELECT reaper_y.at, extract(epoch FROM reaper_y.at - reaper_u", strconv.Itoa(len(way)-1), ".at)::float8 AS gap\n  FROM reaper_y")
	before := "reaper_y"
	for i, e := range way {
		before = p.stepUp(s, way, i, e, before)
	}
	limit := "extract(epoch FROM " + interval(retention) + ") / 2"
	if own.column.TypeName != "timestamptz" || p.age.column.TypeName == "date" || p.age.column.TypeName == "timestamp" {
		limit += " + 86400" // whole days, and time zones that nobody knows
	}
	return s.add(")\nSELECT count(*), count(*) FILTER (WHERE gap > ", limit, "), count(DISTINCT at) FILTER (WHERE gap > ", limit, "), coalesce(avg(gap) FILTER (WHERE gap > ", limit, "), 0), coalesce(max(gap), 0)\n  FROM reaper_g")
}

// stepUp joins the row that an edge references, and gives its alias. Of the root, its
// age is read.
func (p *Plan) stepUp(s *statement, way []*Edge, i int, e *Edge, before string) string {
	alias := "reaper_u" + strconv.Itoa(i)
	t := e.Parent.Table
	condition := and(len(e.pairs), func(k int) string {
		return e.pairs[k].findOurs(col(t, e.ParentColumns[k]), fmt.Sprintf("%s.c%d", before, k))
	})
	if e.within != nil {
		condition += " AND " + ident(t.Name.Name) + ".tableoid::text = ANY('{" + strings.Join(e.within, ",") + "}')"
	}
	selected := ""
	if i == len(way)-1 {
		a := col(t, p.age.column.Name)
		selected = p.age.instant(a) + " AS at"
		condition += " AND " + p.age.valid(a) + " AND " + a + " < " + p.age.bound("now()") + parenthesized(p.where)
	} else {
		selected = strings.TrimPrefix(aliased(t, way[i+1].ChildColumns), ", ")
		condition += parenthesized(way[i+1].Where)
	}
	s.add("\n CROSS JOIN LATERAL (SELECT ", selected, " FROM ", from(t), " WHERE ", condition, " LIMIT 1) ", alias)
	return alias
}

// aliased selects columns as c0, c1, …, behind others.
func aliased(t *schema.Table, columns []string) string {
	return prefixed(len(columns), func(i int) string { return fmt.Sprintf("%s AS c%d", col(t, columns[i]), i) })
}
