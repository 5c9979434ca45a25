package purge_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

// TestGrace changes retentions and holds at random over simulated days, and compares the rows that
// each run leaves with a model that knows nothing of the ledger: of each tenant, what its runs have
// seen and until when each counts. REAPER_FUZZ_CASES is how many such sequences are tried.
func TestGrace(t *testing.T) {
	t.Parallel()
	for _, form := range []string{"in step", "one by one", "age sweep", "key sweep", "query", "text keys", "no tenant", "partitions"} {
		t.Run(form, func(t *testing.T) {
			t.Parallel()
			seeds := 1
			if s := os.Getenv("REAPER_FUZZ_CASES"); s != "" {
				seeds = number(t, s)
			}
			for seed := range seeds {
				newGraceTrial(t, form, uint64(seed)).try(25)
			}
		})
	}
}

// graceTrial is one sequence of changes and runs.
type graceTrial struct {
	*bed
	rnd     *rand.Rand
	form    string
	story   []string
	elapsed time.Duration // simulated: rows and records are made older
	length  string        // of the grace
	known   bool          // a whole run has been
	def     string        // default
	floor   string
	rows    map[int]graceRow
	last    int                         // number of a row
	seen    map[string][]*seenRetention // by tenant
}

// graceRow is a row and its age by the simulated clock.
type graceRow struct {
	tenant string
	at     time.Time
}

// seenRetention is a retention that a run has seen.
type seenRetention struct {
	length string    // empty: nothing expires
	ends   time.Time // until when it counts, by the simulated clock; zero: it is in force
}

// graceLengths are the retentions; months are calendar units, as PostgreSQL has them.
var graceLengths = map[string]func(time.Time) time.Time{
	"5d": daysBefore(5), "10d": daysBefore(10), "20d": daysBefore(20), "30d": daysBefore(30), "40d": daysBefore(40), "60d": daysBefore(60),
	"1mo": monthsBefore(1), "2mo": monthsBefore(2),
}

func daysBefore(n int) func(time.Time) time.Time {
	return func(t time.Time) time.Time { return t.AddDate(0, 0, -n) }
}

func monthsBefore(n int) func(time.Time) time.Time {
	return func(t time.Time) time.Time {
		first := time.Date(t.Year(), t.Month()-time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
		return first.AddDate(0, 0, min(t.Day(), first.AddDate(0, 1, -1).Day())-1)
	}
}

func newGraceTrial(t *testing.T, form string, seed uint64) *graceTrial {
	g := &graceTrial{rnd: rand.New(rand.NewPCG(seed, uint64(len(form)))), form: form, length: "7d", def: "30d", rows: map[int]graceRow{}, seen: map[string][]*seenRetention{}}
	if seed%3 == 2 {
		g.length = "1mo"
	}
	key, partitioned, index := "int", "", "CREATE INDEX ON logs (owner, at, id);"
	switch form {
	case "one by one":
		index += "CREATE TABLE lines (log int REFERENCES logs ON DELETE CASCADE); CREATE INDEX ON lines (log); INSERT INTO lines SELECT id FROM logs;"
	case "age sweep":
		index = "CREATE INDEX ON logs (at, id);"
	case "key sweep":
		index = ""
	case "text keys":
		key = `text COLLATE "POSIX"`
	case "partitions":
		partitioned = " PARTITION BY RANGE (at)"
	}
	primary := "id int PRIMARY KEY"
	if partitioned != "" {
		primary = "id int"
		index += gracePartitions()
		index += "ALTER TABLE logs ADD PRIMARY KEY (at, id);"
	}
	g.bed = prepare(t, fmt.Sprintf(`CREATE TABLE owners (id %[1]s PRIMARY KEY, days int, held bool); CREATE TABLE logs (%[3]s, owner %[1]s, at timestamptz NOT NULL)%[2]s; %[4]s
		INSERT INTO owners SELECT n::text::%[1]s, 30 FROM generate_series(1, 6) n; ANALYZE owners;`, key, partitioned, primary, index), "")
	for owner := 1; owner <= 6; owner++ {
		g.add(fmt.Sprint(owner), 70)
	}
	return g
}

// gracePartitions makes the partitions that are not there, or were dropped.
func gracePartitions() (sql string) {
	for d := -300; d < 10; d += 10 {
		sql += fmt.Sprintf("CREATE TABLE IF NOT EXISTS logs_%d PARTITION OF logs FOR VALUES FROM ('%s') TO ('%s');", d+300, day(d), day(d+10))
	}
	return sql
}

// day is a day from today, by its date.
func day(n int) string { return time.Now().UTC().AddDate(0, 0, n).Format(time.DateOnly) }

// add inserts rows of a tenant, one of each of so many days.
func (g *graceTrial) add(owner string, days int) {
	now := time.Now().UTC().Truncate(time.Second)
	var values []string
	for d := range days {
		g.last++
		id := g.last
		at := now.AddDate(0, 0, -d).Add(-time.Duration(g.rnd.IntN(12)+1) * time.Hour)
		g.rows[id] = graceRow{tenant: owner, at: at.Add(g.elapsed)}
		values = append(values, fmt.Sprintf("(%d, '%s', '%s')", id, owner, at.Format(time.RFC3339)))
	}
	g.Exec(g.t, "INSERT INTO logs VALUES "+strings.Join(values, ", "))
}

// file is the policy file of now.
func (g *graceTrial) file() string {
	settings := "default: " + g.def
	if g.floor != "" {
		settings += ", min: " + g.floor
	}
	switch g.form {
	case "no tenant":
		keep := g.def
		if g.floor != "" {
			return fmt.Sprintf("safety: {grace: %s}\npolicies: [{name: logs, table: logs, age: at, tenant: none, retention: %s, min: %s}]", g.length, keep, g.floor)
		}
		return fmt.Sprintf("safety: {grace: %s}\npolicies: [{name: logs, table: logs, age: at, tenant: none, retention: %s}]", g.length, keep)
	case "query":
		return fmt.Sprintf("tenants: {query: \"SELECT id, days, held FROM owners\", %s}\npolicies: [{name: logs, table: logs, age: at, tenant: owner, grace: %s}]", settings, g.length)
	case "one by one":
		return fmt.Sprintf("safety: {foreign_key_checks: proven}\ntenants: {table: owners, key: id, retention: days, hold: held, %s}\npolicies: [{name: logs, table: logs, age: at, tenant: owner, grace: %s, limits: {rows: 3}}]", settings, g.length)
	}
	return fmt.Sprintf("safety: {grace: %s}\ntenants: {table: owners, key: id, retention: days, hold: held, %s}\npolicies: [{name: logs, table: logs, age: at, tenant: owner}]", g.length, settings)
}

// try makes so many steps.
func (g *graceTrial) try(steps int) {
	g.t.Helper()
	for range steps {
		for range g.rnd.IntN(3) {
			g.change()
		}
		switch g.rnd.IntN(10) {
		case 0, 1, 2, 3, 4:
			g.run("whole", nil, purge.Options{})
		case 5:
			g.run("killed before the first batch", nil, purge.Options{})
		case 6:
			if g.form != "no tenant" {
				if owners := g.Texts(g.t, `SELECT id::text FROM owners ORDER BY 1`); len(owners) > 0 {
					owner := owners[g.rnd.IntN(len(owners))]
					g.run("narrowed to "+owner, &owner, purge.Options{Tenants: []string{owner}})
				}
			}
		case 7:
			older := policy.Duration{Days: 15, Text: "15d"}
			g.run("older than 15d", nil, purge.Options{OlderThan: &older})
		}
		if g.t.Failed() {
			g.t.Fatalf("the story: %s", strings.Join(g.story, "; "))
		}
		g.age(time.Duration(g.rnd.IntN(4)) * 24 * time.Hour)
	}
}

func (g *graceTrial) tell(format string, args ...any) {
	g.story = append(g.story, fmt.Sprintf(format, args...))
}

// age makes everything older, which is as if the clock had gone on.
func (g *graceTrial) age(by time.Duration) {
	if by == 0 {
		return
	}
	g.tell("%d days pass", by/(24*time.Hour))
	g.elapsed += by
	if g.form == "partitions" {
		g.Exec(g.t, gracePartitions())
	}
	hours := fmt.Sprintf("interval '%d hours'", int(by.Hours()))
	g.Exec(g.t, `UPDATE logs SET at = at - `+hours+`;
		UPDATE reaper.grace SET ends_at = ends_at - `+hours+` WHERE ends_at < 'infinity';
		UPDATE reaper.grace_policy SET next_end = next_end - `+hours+` WHERE next_end < 'infinity'`)
	for owner := 1; owner <= 6; owner++ {
		if g.rnd.IntN(2) == 0 {
			g.add(fmt.Sprint(owner), 1)
		}
	}
}

// change changes what decides how long rows are kept.
func (g *graceTrial) change() {
	owner := fmt.Sprint(g.rnd.IntN(6) + 1)
	sql := ""
	switch n := g.rnd.IntN(12); n {
	case 0, 1, 2, 3:
		days := []string{"5", "10", "20", "30", "40", "60", "NULL"}[g.rnd.IntN(7)]
		sql = fmt.Sprintf(`UPDATE owners SET days = %s WHERE id = '%s'`, days, owner)
	case 4, 5:
		sql = fmt.Sprintf(`UPDATE owners SET held = NOT coalesce(held, false) WHERE id = '%s'`, owner)
	case 6:
		sql = fmt.Sprintf(`DELETE FROM owners WHERE id = '%s' AND (SELECT count(*) FROM owners) > 1`, owner)
	case 7, 8:
		sql = fmt.Sprintf(`INSERT INTO owners VALUES ('%s', %d) ON CONFLICT DO NOTHING`, owner, 10+g.rnd.IntN(3)*10)
	case 9:
		g.def, g.floor = []string{"20d", "30d", "1mo", "2mo", "40d"}[g.rnd.IntN(5)], ""
		g.tell("default %s", g.def)
	case 10:
		if g.floor = []string{"", "10d", "20d", "1mo"}[g.rnd.IntN(4)]; g.floor != "" {
			g.def = "2mo" // a default may not be shorter
		}
		g.tell("min %q, default %s", g.floor, g.def)
	case 11:
		end := `INSERT INTO reaper.hold (tenant, reason, who, ends_at) VALUES ('` + owner + `', 'why', 'me', 'infinity')`
		if g.form == "no tenant" {
			end = strings.Replace(end, "'"+owner+"'", "NULL", 1)
		}
		if g.Int(g.t, `SELECT count(*) FROM reaper.hold WHERE released_at IS NULL`) > 0 {
			end = `UPDATE reaper.hold SET released_at = now()`
		}
		sql = end
	}
	if sql != "" {
		g.tell("%s", sql)
		g.Exec(g.t, sql)
	}
}

// now is what a run sees of each tenant: the retention, or empty if nothing may go.
func (g *graceTrial) now(start time.Time) map[string]string {
	held := map[string]bool{}
	for _, tenant := range g.Texts(g.t, `SELECT coalesce(tenant, 'all') FROM reaper.hold WHERE released_at IS NULL`) {
		held[tenant] = true
	}
	if g.form == "no tenant" {
		if held["all"] {
			return map[string]string{"": ""}
		}
		return map[string]string{"": g.governing(g.def, start)}
	}
	tenants := map[string]string{}
	for _, line := range g.Texts(g.t, `SELECT id || ' ' || coalesce(days || 'd', '-') || ' ' || coalesce(held, false) FROM owners`) {
		f := strings.Fields(line)
		length := f[1]
		if length == "-" {
			length = g.def
		}
		length = g.governing(length, start)
		if f[2] == "true" || held[f[0]] {
			length = ""
		}
		tenants[f[0]] = length
	}
	return tenants
}

// governing is the floor, or the retention where that keeps more.
func (g *graceTrial) governing(length string, start time.Time) string {
	if g.floor != "" && graceLengths[g.floor](start).Before(graceLengths[length](start)) {
		return g.floor
	}
	return length
}

// expired are the rows that a run deletes: of each tenant those that are older than every retention
// that counts.
func (g *graceTrial) expired(start time.Time, tenants map[string]string, only *string, bounds ...func(time.Time) time.Time) (ids []int) {
	for id, row := range g.rows {
		owner := row.tenant
		if g.form == "no tenant" {
			owner = ""
		}
		length, there := tenants[owner]
		seen := g.seen[owner]
		if !there || length == "" || only != nil && *only != owner || g.known && len(seen) == 0 {
			continue
		}
		cutoffs := []time.Time{graceLengths[length](start)}
		for _, bound := range bounds {
			cutoffs = append(cutoffs, bound(start))
		}
		kept := false
		for _, s := range seen {
			switch counts := s.ends.IsZero() || s.ends.After(start.Add(g.elapsed)); {
			case counts && s.length == "":
				kept = true
			case counts:
				cutoffs = append(cutoffs, graceLengths[s.length](start))
			}
		}
		if !kept && row.at.Add(-g.elapsed).Before(slices.MinFunc(cutoffs, time.Time.Compare)) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// sees notes what a run has seen. What is no longer in force counts for the grace.
func (g *graceTrial) sees(start time.Time, tenants map[string]string, only *string) {
	if only != nil && !g.known {
		return
	}
	graceEnds := start.AddDate(0, 0, 7)
	if g.length == "1mo" {
		first := time.Date(start.Year(), start.Month()+1, 1, start.Hour(), start.Minute(), start.Second(), start.Nanosecond(), time.UTC)
		graceEnds = first.AddDate(0, 0, min(start.Day(), first.AddDate(0, 1, -1).Day())-1)
	}
	all := maps.Clone(tenants)
	for owner := range g.seen {
		if _, there := all[owner]; !there {
			all[owner] = "" // gone
		}
	}
	for owner, length := range all {
		if only != nil && *only != owner {
			continue
		}
		seen := g.seen[owner]
		if len(seen) == 0 && g.known {
			seen = []*seenRetention{{}} // kept forever so far
		}
		if n := len(seen); n == 0 || seen[n-1].length != length {
			if n > 0 {
				seen[n-1].ends = graceEnds.Add(g.elapsed)
			}
			seen = append(seen, &seenRetention{length: length})
		}
		g.seen[owner] = seen
	}
	g.known = g.known || only == nil
}

// run purges, and compares what is left.
func (g *graceTrial) run(what string, only *string, opts purge.Options) {
	g.t.Helper()
	g.tell("a run, %s", what)
	g.policy = g.file()
	g.before = nil
	plans := g.plans()
	var looked *preview.Preview
	if len(opts.Tenants) == 0 && opts.OlderThan == nil {
		looked = g.look()
	}
	killed := strings.HasPrefix(what, "killed")
	g.runner.Gate, g.runner.Patience = nil, 0
	if killed { // an error of the gate is waited out like one of the server
		g.runner.Gate, g.runner.Patience = killingGate{}, time.Millisecond
	}
	report, err := g.runner.Run(g.t.Context(), plans, opts)
	if err != nil {
		g.t.Fatal(err)
	}
	start := report.StartedAt.UTC()
	tenants := g.now(start)
	var bounds []func(time.Time) time.Time
	if opts.OlderThan != nil {
		bounds = append(bounds, daysBefore(15))
	}
	gone := g.expired(start, tenants, only, bounds...)
	if looked != nil && looked.ExpiredRows != int64(len(gone)) {
		g.t.Errorf("plan shows %d expired rows, want %d", looked.ExpiredRows, len(gone))
	}
	if looked != nil {
		g.checkInGrace(looked, start, tenants, gone)
	}
	g.sees(start, tenants, only)
	if killed && report.Policies[0].Status == purge.Failed {
		gone = nil
	} else if report.Status != purge.Complete {
		g.t.Errorf("the run is %s: %s", report.Status, report.Policies[0].Reason)
	}
	for _, id := range gone {
		delete(g.rows, id)
	}
	left := map[int]bool{}
	for _, id := range g.Texts(g.t, `SELECT id::text FROM logs`) {
		left[number(g.t, id)] = true
	}
	want := map[int]bool{}
	for id := range g.rows {
		want[id] = true
	}
	if d := cmp.Diff(want, left); d != "" {
		g.t.Errorf("rows that are left (- the model, + the purge):\n%s", d)
	}
}

// checkInGrace compares what the preview says comes due later: what each tenant's own retention
// expires and the run leaves.
func (g *graceTrial) checkInGrace(v *preview.Preview, start time.Time, tenants map[string]string, gone []int) {
	g.t.Helper()
	var later, want int64
	for _, x := range v.InGrace {
		later += x.ExpiredRows
		if !x.At.After(start.Add(-time.Minute)) {
			g.t.Errorf("rows are in their grace until %s, which is past", x.At)
		}
	}
	for id, row := range g.rows {
		owner := row.tenant
		if g.form == "no tenant" {
			owner = ""
		}
		if length := tenants[owner]; length != "" && row.at.Add(-g.elapsed).Before(graceLengths[length](start)) && !slices.Contains(gone, id) {
			want++
		}
	}
	if later != want {
		g.t.Errorf("plan shows %d rows in their grace, want %d", later, want)
	}
}

// look previews the policy as plan does.
func (g *graceTrial) look() *preview.Preview {
	g.t.Helper()
	plans := g.plans()
	err := g.pool.AcquireFunc(g.t.Context(), func(c *pgxpool.Conn) error {
		_, err := purge.ApplyHolds(g.t.Context(), c.Conn(), g.runner.Ledger.(purge.Holds), plans)
		return err
	})
	if err != nil {
		g.t.Fatal(err)
	}
	v, err := preview.Look(g.t.Context(), g.pool, plans[0], plan.Selection{}, false)
	if err != nil {
		g.t.Fatal(err)
	}
	return v
}

// killingGate ends a run after its cutoffs are fixed, before anything is deleted.
type killingGate struct{}

var errKilled = errors.New("killed")

func (killingGate) Pass(context.Context, string, *plan.Plan) (purge.Passage, error) {
	return killingGate{}, nil
}
func (killingGate) Refusal() string                              { return "" }
func (killingGate) Rows(context.Context, string) (string, error) { return "", errKilled }
func (killingGate) Again(context.Context) (string, error)        { return "", nil }
func (killingGate) Close(context.Context, int64, bool) error     { return nil }
