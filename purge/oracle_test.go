package purge_test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/schema"
)

// oracleCases is how many cases a usual test run tries; REAPER_FUZZ_CASES
// tries more.
const oracleCases = 300

// TestOracle purges random databases under random policies, and compares every
// row with what the contract says must be left. A case that fails is printed as
// SQL and as a policy file.
func TestOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute, and -short was given")
	}
	cases := oracleCases
	if s := os.Getenv("REAPER_FUZZ_CASES"); s != "" {
		var err error
		if cases, err = strconv.Atoi(s); err != nil {
			t.Fatalf("REAPER_FUZZ_CASES: %v", err)
		}
	}
	// The printed case is better than rapid's file: ages are relative to now.
	if err := flag.Set("rapid.nofailfile", "true"); err != nil {
		t.Fatal(err)
	}
	checks := flag.Lookup("rapid.checks").Value.(flag.Getter).Get().(int)
	for i := range (cases + checks - 1) / checks {
		t.Run(fmt.Sprintf("part %d", i+1), func(t *testing.T) {
			t.Parallel()
			w := newOracleWorld(t)
			rapid.Check(t, w.check)
		})
	}
}

// oracleWorld is the database that one case after the other is tried in.
type oracleWorld struct {
	ctx     context.Context
	pool    *pgxpool.Pool // of the purge
	own     *pgxpool.Pool // of the oracle
	ledger  *ledger.Ledger
	version int           // of the server
	second  *pgxpool.Pool // of another process
}

func newOracleWorld(t *testing.T) *oracleWorld {
	db := dbtest.New(t)
	config, err := purge.Config(db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	w := &oracleWorld{
		ctx: t.Context(), ledger: ledger.New(ledger.DefaultSchema, 0),
		version: db.Int(t, `SELECT current_setting('server_version_num')::int / 10000`),
	}
	// Settings of a database are no business of the purge's.
	maps.Copy(config.ConnConfig.RuntimeParams, map[string]string{
		"timezone": "Pacific/Auckland", "datestyle": "German", "intervalstyle": "sql_standard", "default_transaction_isolation": "serializable",
	})
	config.MaxConns = 4
	w.pool = db.Pool(t, func(c *pgxpool.Config) { *c = *config.Copy() })
	w.second = db.Pool(t, func(c *pgxpool.Config) { *c = *config.Copy() })
	w.own = db.Pool(t, func(c *pgxpool.Config) {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
		maps.Copy(c.ConnConfig.RuntimeParams, map[string]string{"timezone": "UTC", "datestyle": "ISO", "intervalstyle": "postgres"})
	})
	if _, err := w.ledger.Migrate(w.ctx, w.pool); err != nil {
		t.Fatal(err)
	}
	return w
}

// drawCase draws a whole case.
func drawCase(t *rapid.T, version int) *genCase {
	m := &schemaMaker{draw: draw{t}, c: &genCase{}, used: map[schema.Name]bool{}, version: version}
	m.tenancy()
	m.tables()
	m.path()
	m.policy()
	m.decide()
	m.rows()
	m.indexes()
	m.c.analyze = m.chance(30, "analyze")
	return m.c
}

// trial is one case being tried.
type trial struct {
	*oracleWorld
	t       *rapid.T
	c       *genCase
	plan    *purge.Plan
	reports []*purge.Report // of all runs
	story   string          // how the runs were narrowed
}

func (w *oracleWorld) check(t *rapid.T) {
	x := &trial{oracleWorld: w, t: t, c: drawCase(t, w.version)}
	x.setup()
	x.compile()
	before := x.dump()
	preview, err := purge.Look(w.ctx, w.pool, x.plan, purge.Options{}, false)
	if err != nil {
		x.fail("look: %v", err)
	}
	x.earlier(before)
	report := x.run(purge.Options{})
	want := newOracle(x.c, before, report.StartedAt)
	x.checkPreview(preview, want)
	kept := x.purgeTwice(want)
	x.same("rows that are left", want.left(), linesOf(x.dump()))
	x.checkEnd(report.Policies[0], want, kept)
	x.checkSums(want)
	x.checkLedger()
	x.again(kept)
}

// fail ends the case with all that reproduces it.
func (x *trial) fail(format string, args ...any) {
	x.t.Helper()
	x.t.Fatalf("%s\n%s\n-- The database, in one transaction:\n%s\n# The policy file:\n%s", fmt.Sprintf(format, args...), x.story, x.c.setup(), x.c.yaml())
}

func (x *trial) same(what string, want, got any) {
	x.t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		x.fail("%s differ (- the contract, + the purge):\n%s", what, d)
	}
}

const clearSQL = `DROP SCHEMA IF EXISTS public, app, "Odd.Schema" CASCADE; CREATE SCHEMA public;`

func (x *trial) setup() {
	if _, err := x.own.Exec(x.ctx, clearSQL+x.c.setup()); err != nil {
		x.fail("the case itself: %v", err)
	}
}

func (x *trial) compile() {
	file, err := policy.Parse("case.yaml", []byte(x.c.yaml()))
	if err != nil {
		x.fail("parsing: %v", err)
	}
	var plans []*purge.Plan
	err = x.pool.AcquireFunc(x.ctx, func(c *pgxpool.Conn) error {
		server, err := purge.ReadServer(x.ctx, c.Conn())
		if err == nil {
			plans, err = purge.Compile(x.ctx, c.Conn(), file, server, nil)
		}
		return err
	})
	if err != nil {
		x.fail("planning: %v", err)
	}
	x.plan = plans[0]
	for _, p := range x.plan.Problems {
		if p.Level == purge.LevelError {
			x.fail("the plan has an error: %s", p.Text)
		}
	}
}

func (x *trial) run(opts purge.Options) *purge.Report {
	r := purge.Runner{Pool: x.pool, Ledger: x.ledger, Connections: x.c.policy.connections}
	opts.Trigger = "test"
	report, err := r.Run(x.ctx, []*purge.Plan{x.plan}, opts)
	if err != nil {
		x.fail("running: %v", err)
	}
	x.reports = append(x.reports, report)
	return report
}

// dump reads every row of the case.
func (x *trial) dump() map[*genTable][]*genRow {
	all := map[*genTable][]*genRow{}
	for _, t := range x.c.tables {
		names := make([]string, len(t.columns))
		for i, k := range t.columns {
			names[i] = pgx.Identifier{k.name}.Sanitize() + "::text"
		}
		rows, err := x.own.Query(x.ctx, "SELECT ARRAY["+strings.Join(names, ", ")+"] FROM "+t.sql())
		if err != nil {
			x.fail("reading %s: %v", t.name, err)
		}
		read, err := pgx.CollectRows(rows, pgx.RowTo[[]*string])
		if err != nil {
			x.fail("reading %s: %v", t.name, err)
		}
		for _, values := range read {
			r := &genRow{table: t, values: map[string]string{}}
			for i, v := range values {
				if v != nil {
					r.values[t.columns[i].name] = *v
				}
			}
			all[t] = append(all[t], r)
		}
	}
	return all
}

// linesOf are the rows that are there, one text each, by table.
func linesOf(rows map[*genTable][]*genRow) map[string][]string {
	lines := map[string][]string{}
	for t, list := range rows {
		name := t.name.String()
		for _, r := range list {
			if !r.gone {
				lines[name] = append(lines[name], fmt.Sprint(r.values))
			}
		}
		slices.Sort(lines[name])
	}
	return lines
}

func (o *oracle) left() map[string][]string { return linesOf(o.rows) }

// purgeTwice purges in two orders: the contract promises that it does not
// matter, and a case has to allow it. It gives the number of kept roots.
func (x *trial) purgeTwice(want *oracle) (kept int64) {
	x.t.Helper()
	other := newOracle(x.c, cloned(want.rows), want.start)
	slices.Reverse(other.expired)
	other.purge(other.expired)
	want.purge(want.expired)
	if d := cmp.Diff(want.left(), other.left()); d != "" {
		x.fail("the case depends on the order of roots:\n%s", d)
	}
	for _, r := range want.expired {
		if !r.gone {
			kept++
		}
	}
	return kept
}

// gone counts the rows that go, by table.
func (o *oracle) gone() map[string]int64 {
	n := map[string]int64{}
	for t, rows := range o.rows {
		for _, r := range rows {
			if r.gone {
				n[t.name.String()]++
			}
		}
	}
	return n
}

func total(counts map[string]int64) (sum int64) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

func withoutZeros(counts map[string]int64) map[string]int64 {
	c := maps.Clone(counts)
	maps.DeleteFunc(c, func(_ string, n int64) bool { return n == 0 })
	return c
}

func (o *oracle) count(state string) (n int64) {
	for _, t := range o.tenants {
		if t.state == state {
			n++
		}
	}
	return n
}

// checkEnd checks what the report says of the end.
func (x *trial) checkEnd(got *purge.PolicyReport, want *oracle, kept int64) {
	x.t.Helper()
	status := purge.Complete
	if want.count("skipped") > 0 {
		status = purge.Incomplete
	}
	if got.Status != status {
		x.fail("status is %s (%s), want %s", got.Status, got.Reason, status)
	}
	x.same("kept_rows, backlog_rows", []int64{kept, 0}, []int64{got.KeptRows, *got.BacklogRows})
	counts := purge.TenantCounts{Held: want.count("held"), Forever: want.count("forever"), Skipped: want.count("skipped")}
	x.same("tenants", counts, purge.TenantCounts{Held: got.Tenants.Held, Forever: got.Tenants.Forever, Skipped: got.Tenants.Skipped, Failed: got.Tenants.Failed})
}

// checkSums compares what all runs report together with what has changed.
func (x *trial) checkSums(want *oracle) {
	x.t.Helper()
	deleted, nullified := map[string]int64{}, int64(0)
	for _, report := range x.reports {
		got := report.Policies[0]
		for table, n := range got.Rows {
			deleted[table] += n
		}
		if got.RowsTotal != total(got.Rows) {
			x.fail("rows_total is %d, rows are %v", got.RowsTotal, got.Rows)
		}
		nullified += got.RowsNullified
	}
	x.same("deleted rows of the report", want.gone(), withoutZeros(deleted))
	if nullified < int64(want.nullified[0]) || nullified > int64(want.nullified[1]) {
		x.fail("rows_nullified is %d; %d rows were emptied, by %d references", nullified, want.nullified[0], want.nullified[1])
	}
}

func (x *trial) checkLedger() {
	x.t.Helper()
	for _, report := range x.reports {
		rows, err := x.own.Query(x.ctx, `SELECT table_name, sum(rows)::bigint, sum(rows_nullified)::bigint FROM reaper.deletions WHERE run_id = $1::uuid GROUP BY 1`, report.RunID)
		if err != nil {
			x.fail("reading the ledger: %v", err)
		}
		deleted, nullified := map[string]int64{}, int64(0)
		var table string
		var n, empty int64
		if _, err := pgx.ForEachRow(rows, []any{&table, &n, &empty}, func() error {
			deleted[table] = n
			nullified += empty
			return nil
		}); err != nil {
			x.fail("reading the ledger: %v", err)
		}
		x.same("deleted rows of the ledger", withoutZeros(report.Policies[0].Rows), withoutZeros(deleted))
		x.same("emptied rows of the ledger", report.Policies[0].RowsNullified, nullified)
	}
}

// checkPreview compares the look ahead with what goes, going on as keepers go.
// References that are emptied on the way, and kept something, are not in it.
func (x *trial) checkPreview(got *purge.Preview, want *oracle) {
	x.t.Helper()
	type counted struct {
		State   string
		Expired int64
	}
	tenants, previewed := map[string]counted{}, map[string]counted{}
	for key, t := range want.tenants {
		state := t.state
		if state == "active" {
			state = map[bool]string{true: "due", false: "clear"}[t.expired > 0]
		}
		tenants[key] = counted{state, int64(t.expired)}
	}
	for _, t := range got.Tenants {
		key := ""
		if t.Key != nil {
			key = *t.Key
		}
		previewed[key] = counted{t.State, *t.ExpiredRows}
	}
	x.same("tenants of the preview", tenants, previewed)
	if *got.UnownedRows != int64(want.unowned) {
		x.fail("unowned_rows is %d, want %d", *got.UnownedRows, want.unowned)
	}
	x.same("tables of the preview", want.preview(), tablesOf(got))
}

// preview is, by edge, the number of rows that a purge would delete or find.
func (o *oracle) preview() map[string]int64 {
	going := map[*genTable]map[*genRow]bool{}
	for r := range o.ahead {
		if going[r.table] == nil {
			going[r.table] = map[*genRow]bool{}
		}
		going[r.table][r] = true
	}
	roots := int64(0)
	for _, root := range o.expired {
		if o.ahead[root] {
			roots++
		}
	}
	ahead := map[string]int64{"root": roots}
	for _, e := range o.c.edges {
		if e.action == "" {
			continue
		}
		found := map[*genRow]bool{}
		for r := range going[e.parent] {
			for _, x := range o.behind(e, r) {
				if !going[e.child][x] {
					found[x] = true
				}
			}
		}
		if e.action == goes {
			found = going[e.child]
		}
		ahead[e.child.name.String()+" "+strings.Join(e.columns, "+")] = int64(len(found))
	}
	return ahead
}

func tablesOf(v *purge.Preview) map[string]int64 {
	ahead := map[string]int64{"root": *v.Tables[0].ExpiredRows}
	for _, t := range v.Tables[1:] {
		ahead[t.Table+" "+strings.Join(t.Columns, "+")] = *t.ExpiredRows
	}
	return ahead
}

// again runs a second time: there must be nothing left to do.
func (x *trial) again(kept int64) {
	x.t.Helper()
	before := linesOf(x.dump())
	report := x.run(purge.Options{})
	x.same("rows after a second run", before, linesOf(x.dump()))
	got := report.Policies[0]
	x.same("rows_total, rows_nullified, kept_rows of a second run", []int64{0, 0, kept}, []int64{got.RowsTotal, got.RowsNullified, got.KeptRows})
}
