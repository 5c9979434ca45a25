package preview

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Dependents are deleted with their root, whatever their own age. If they are created long after
// it, as a project's events are, a policy on the root deletes live data. So the newest rows of each
// dependent that has an age are compared with their roots.

const (
	youngRows    = 200             // the newest rows, which are compared
	youngRead    = 2000            // rows read to find them
	youngLeast   = 5               // fewer young rows, or distinct ages of them, are inconclusive
	youngShare   = 10              // minimum percentage of young rows
	youngTimeout = 2 * time.Second // per table
	youngBudget  = 5 * time.Second // per policy
)

// usualRetention replaces a retention that only SQL determines.
var usualRetention = policy.Duration{Days: 30, Text: "30d"}

// youngAges are names of columns that hold a creation time, most reliable first, in lower case
// without underscores.
var youngAges = []string{
	"createdat", "insertedat", "createdon", "created", "creationdate", "datecreated", "createddate", "createdtime", "timecreated",
	"timestamp", "occurredat", "happenedat", "recordedat", "loggedat", "receivedat", "sentat", "eventtime", "eventat", "addedat", "startedat", "time", "datetime", "ts", "at",
}

// youngGap is how much later than their roots the newest rows of a dependent were created.
type youngGap struct {
	rows, young int64   // compared; of those, later by more than half the retention
	ages        int64   // distinct ages of the young rows: one if a column was filled in all at once
	mean, most  float64 // seconds, of the young ones
}

// adviseYounger warns about dependents that would be deleted much earlier than after the retention.
// It skips those behind a dependent it warned about, for which the same is true.
func adviseYounger(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, a *advice) error {
	retention := shortestRetention(p)
	if retention.Forever {
		return nil
	}
	warned := map[*plan.Node]bool{}
	until := time.Now().Add(youngBudget)
	for _, way := range pathsUp(p) {
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
		err := pg.ReadOne(ctx, pool, p.ReadingPath(), timeout, youngSQL(p, way, own, retention), pg.ScanOne(&g.rows, &g.young, &g.ages, &g.mean, &g.most))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			a.note(p, fmt.Sprintf("%s was not compared with its roots for rows much younger than the retention: %s", n.Table.Name, pg.ErrorText(err)))
		case g.ages >= youngLeast && 100*g.young >= youngShare*g.rows:
			warned[n] = true
			a.problems = append(a.problems, youngWarning(p, n, g, retention))
		}
	}
	return nil
}

func (a *advice) note(p *plan.Plan, text string) {
	a.notes = append(a.notes, Note{Policy: p.Policy.Name, Text: text})
}

func youngWarning(p *plan.Plan, n *plan.Node, g youngGap, retention policy.Duration) plan.Problem {
	root := p.Root.Table.Name
	return plan.Problem{
		Policy: p.Policy.Name, Level: plan.LevelWarning,
		Text: fmt.Sprintf("deleting rows of %s takes rows of %s that are much younger than the retention of %s: of its newest %d, %d were created more than half the retention after their row of %[1]s (%[6]s after it on average, %[7]s at most)",
			root, n.Table.Name, retention, g.rows, g.young, daysText(g.mean), daysText(g.most)),
		Fix: fmt.Sprintf("if rows of %s are what should expire, make it the table of the policy; to keep rows of %s while it references them, decide keep for it under dependents", n.Table.Name, root),
	}
}

// daysText is a duration in days or, below two days, in hours.
func daysText(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d < 48*time.Hour {
		return visible.Count(int64(d.Hours()), "hour", "hours")
	}
	return visible.Count(int64(d.Hours()/24), "day", "days")
}

// shortestRetention is the shortest constant retention, but at least min; forever: no row expires.
func shortestRetention(p *plan.Plan) policy.Duration {
	t := p.Tenants
	var all []policy.Duration
	for _, s := range t.Sources {
		if s.Constant != nil {
			all = append(all, *s.Constant)
		}
	}
	for _, o := range t.Overrides {
		all = append(all, o.Duration)
	}
	bySQL := slices.ContainsFunc(t.Sources, func(s expiry.Source) bool { return s.Constant == nil })
	all = slices.DeleteFunc(all, func(d policy.Duration) bool { return d.Forever })
	if len(all) == 0 && bySQL {
		all = append(all, usualRetention)
	}
	if len(all) == 0 {
		return policy.Duration{Forever: true}
	}
	shortest := slices.MinFunc(all, compareLengths)
	if t.Min != nil && compareLengths(shortest, *t.Min) < 0 {
		return *t.Min
	}
	return shortest
}

// compareLengths compares durations, counting a month as 30.44 days.
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

// pathsUp are the shortest paths from each dependent up to the root along deleting edges, nearest
// dependents first.
func pathsUp(p *plan.Plan) (ways [][]*plan.Edge) {
	up := map[*plan.Node][]*plan.Edge{p.Root: nil}
	queue := []*plan.Node{p.Root}
	for i := 0; i < len(queue); i++ {
		for _, e := range queue[i].Out {
			if _, seen := up[e.Child]; seen || !e.Action.Deletes() {
				continue
			}
			way := append([]*plan.Edge{e}, up[e.Parent]...)
			up[e.Child] = way
			ways = append(ways, way)
			queue = append(queue, e.Child)
		}
	}
	return ways
}

// youngAge is the column that holds the creation time of a dependent's rows; false if there is
// none. It prefers a column that an index begins with, then one that is NOT NULL.
func youngAge(t *schema.Table) (best expiry.Age, ok bool) {
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
			best, least = expiry.Age{Column: k, Zone: "UTC"}, r
		}
	}
	return best, least >= 0
}

// orderedBy is the ORDER BY that reads the greatest values of a column from an index; empty if none
// begins with the column.
func orderedBy(t *schema.Table, column string) string {
	for _, x := range t.Indexes {
		if !x.Valid || x.Method != "btree" || x.Predicate != "" || len(x.Columns) == 0 || x.Columns[0].Name != column ||
			!x.Columns[0].DefaultOrder || !x.Columns[0].OwnCollation {
			continue
		}
		if x.Columns[0].NullsFirst != x.Columns[0].Desc { // a backward scan also reverses the place of NULLs
			return schema.Col(t, column) + " DESC NULLS LAST"
		}
		return schema.Col(t, column) + " DESC"
	}
	return ""
}

// newestSQL reads rows of a dependent that are probably the newest: by an index on the age, or by
// an integer key, or from a sample of pages.
func newestSQL(t *schema.Table, own expiry.Age) string {
	a := schema.Col(t, own.Column.Name)
	order := orderedBy(t, own.Column.Name)
	sample := sampleOf(t)
	if order == "" {
		order = a + " DESC"
		for _, x := range t.Indexes {
			if k, ok := t.Column(x.Columns[0].Name); sample != "" && x.Primary && len(x.Columns) == 1 && ok && slices.Contains(plan.IntegerTypes, k.TypeName) {
				order, sample = schema.Col(t, k.Name)+" DESC", ""
			}
		}
	} else {
		sample = ""
	}
	return "SELECT * FROM " + schema.From(t) + sample + " WHERE " + own.Valid(a) + " AND " + a + " < " + own.Bound("now()") + " ORDER BY " + order + " LIMIT " + strconv.Itoa(youngRead)
}

// youngSQL compares the newest rows of a dependent with their roots, along the path.
func youngSQL(p *plan.Plan, way []*plan.Edge, own expiry.Age, retention policy.Duration) *pg.Statement {
	s := &pg.Statement{}
	t := way[0].Child.Table
	filter := ""
	if way[0].Where != "" {
		filter = "\n   WHERE " + way[0].Where
	}
	a := schema.Col(t, own.Column.Name)
	s.Add("WITH reaper_y AS MATERIALIZED (\n  SELECT ", own.Instant(a), " AS at", aliased(t, way[0].ChildColumns), "\n    FROM (", newestSQL(t, own), ") ", pg.Ident(t.Name.Name), filter,
		"\n   ORDER BY 1 DESC LIMIT ", strconv.Itoa(youngRows), "),\nreaper_g AS (SELECT reaper_y.at, extract(epoch FROM reaper_y.at - reaper_u", strconv.Itoa(len(way)-1), ".at)::float8 AS gap\n  FROM reaper_y")
	before := "reaper_y"
	for i, e := range way {
		before = stepUp(p, s, way, i, e, before)
	}
	limit := "extract(epoch FROM " + expiry.Interval(retention) + ") / 2"
	if own.Column.TypeName != "timestamptz" || p.Age.Column.TypeName == "date" || p.Age.Column.TypeName == "timestamp" {
		limit += " + 86400" // whole days and unknown time zones
	}
	return s.Add(")\nSELECT count(*), count(*) FILTER (WHERE gap > ", limit, "), count(DISTINCT at) FILTER (WHERE gap > ", limit, "), coalesce(avg(gap) FILTER (WHERE gap > ", limit, "), 0), coalesce(max(gap), 0)\n  FROM reaper_g")
}

// stepUp joins the row that an edge references, and returns its alias. For the root it selects the
// age.
func stepUp(p *plan.Plan, s *pg.Statement, way []*plan.Edge, i int, e *plan.Edge, before string) string {
	alias := "reaper_u" + strconv.Itoa(i)
	t := e.Parent.Table
	condition := pg.And(len(e.Pairs), func(k int) string {
		return e.Pairs[k].FindOurs(schema.Col(t, e.ParentColumns[k]), fmt.Sprintf("%s.c%d", before, k))
	})
	if e.Within != nil {
		condition += " AND " + pg.Ident(t.Name.Name) + ".tableoid::text = ANY('{" + strings.Join(e.Within, ",") + "}')"
	}
	selected := ""
	if i == len(way)-1 {
		a := p.Age.Of(t)
		selected = p.Age.Instant(a) + " AS at"
		condition += " AND " + p.Age.Valid(a) + " AND " + a + " < " + p.Age.Bound("now()") + plan.Parenthesized(p.Where)
	} else {
		selected = strings.TrimPrefix(aliased(t, way[i+1].ChildColumns), ", ")
		condition += plan.Parenthesized(way[i+1].Where)
	}
	s.Add("\n CROSS JOIN LATERAL (SELECT ", selected, " FROM ", schema.From(t), " WHERE ", condition, " LIMIT 1) ", alias)
	return alias
}

// aliased selects columns as c0, c1, …, each preceded by a comma.
func aliased(t *schema.Table, columns []string) string {
	return pg.Prefixed(len(columns), func(i int) string { return fmt.Sprintf("%s AS c%d", schema.Col(t, columns[i]), i) })
}
