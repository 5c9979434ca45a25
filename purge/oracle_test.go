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
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/schema"
)

// oracleCases is how many cases a normal test run tries; REAPER_FUZZ_CASES overrides it.
const oracleCases = 300

// TestOracle purges random databases under random policies and compares every row with what the
// contract requires. A failing case is printed as SQL and a policy file.
func TestOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute, and -short was given")
	}
	eachOracleCase(t, func(*oracleWorld) {})
}

// eachOracleCase tries random cases in worlds of their own.
func eachOracleCase(t *testing.T, change func(*oracleWorld)) {
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
			change(w)
			rapid.Check(t, w.check)
		})
	}
}

// oracleWorld is the database in which cases are tried one after the other.
type oracleWorld struct {
	ctx     context.Context
	pool    *pgxpool.Pool // of the purge
	own     *pgxpool.Pool // of the oracle
	ledger  *ledger.Ledger
	version int           // of the server
	second  *pgxpool.Pool // of another process
	// archives is a folder for archives; empty: the policies have none.
	archives string
}

func newOracleWorld(t *testing.T) *oracleWorld {
	db := dbtest.New(t)
	config, err := pg.PoolConfig(db.DSN())
	if err != nil {
		t.Fatal(err)
	}
	w := &oracleWorld{
		ctx: t.Context(), ledger: ledger.New(ledger.DefaultSchema, 0),
		version: db.Int(t, `SELECT current_setting('server_version_num')::int / 10000`),
	}
	// Settings of the database must not affect the purge.
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
	db.Exec(t, extensionsSQL)
	return w
}

// drawCase draws a whole case.
func drawCase(t *rapid.T, version int, archived bool) *genCase {
	m := &schemaMaker{draw: draw{t}, c: &genCase{}, used: map[schema.Name]bool{}, version: version, archived: archived}
	m.tenancy()
	m.tables()
	m.path()
	m.policy()
	m.decide()
	m.refusals()
	m.drawTriggers()
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
	plan    *plan.Plan
	before  map[*genTable][]*genRow
	began   time.Time
	reports []*purge.Report // of all runs
	story   string          // how the runs were narrowed
	archive deletion.Archive
	folder  string                    // of the archive
	initial map[archive.Name][]string // all rows before the purge
}

func (w *oracleWorld) check(t *rapid.T) {
	x := &trial{oracleWorld: w, t: t, c: drawCase(t, w.version, w.archives != "")}
	x.setup()
	if x.compile() {
		return // refused, as required
	}
	x.began = x.now()
	x.holdRoots()
	x.before = x.dump()
	x.archived()
	x.c.facts = x.readFacts()
	x.preview()
	if len(x.c.triggers) == 0 {
		x.earlier(x.before)
	}
	report := x.run(purge.Options{})
	want := newOracle(x.c, cloned(x.before), report.StartedAt)
	kept := x.purgeTwice(want)
	if got := report.Policies[0]; x.c.wild() && got.Status != purge.Complete {
		x.stopped(got, x.before, want)
		return
	}
	x.same("rows that are left", want.left(), x.c.linesOf(x.dump()))
	x.checkEnd(report.Policies[0], want, kept)
	x.checkSums(want)
	x.checkLedger()
	x.again(kept)
	x.comesBack()
}

// holdRoots holds some roots by their keys.
func (x *trial) holdRoots() {
	d := draw{x.t}
	if !d.chance(25, "holds by row") {
		return
	}
	names := make([]string, len(x.plan.Key))
	for i, k := range x.plan.Key {
		names[i] = pgx.Identifier{k.Name}.Sanitize() + "::text"
	}
	rows, err := x.own.Query(x.ctx, "SELECT rid::text, ARRAY["+strings.Join(names, ", ")+"] FROM "+x.c.root.sql()+" ORDER BY rid")
	if err != nil {
		x.fail("reading keys: %v", err)
	}
	var keys [][]string
	var number string
	var key []string
	x.c.held = map[string]bool{}
	if _, err := pgx.ForEachRow(rows, []any{&number, &key}, func() error {
		if d.chance(50, "held") {
			x.c.held[number], keys = true, append(keys, slices.Clone(key))
		}
		return nil
	}); err != nil {
		x.fail("reading keys: %v", err)
	}
	if len(keys) > 0 {
		if _, err := x.ledger.HoldRootsDurably(x.ctx, x.own, "case", keys, ledger.HoldEnd{}, "why", "me"); err != nil {
			x.fail("%v", err)
		}
	}
	x.story += fmt.Sprintf("%d roots are held by row; ", len(keys))
	err = x.pool.AcquireFunc(x.ctx, func(c *pgxpool.Conn) error {
		_, err := purge.ApplyHolds(x.ctx, c.Conn(), x.ledger, []*plan.Plan{x.plan})
		return err
	})
	if err != nil {
		x.fail("%v", err)
	}
}

// now is the database's time.
func (x *trial) now() (now time.Time) {
	if err := x.own.QueryRow(x.ctx, "SELECT clock_timestamp()").Scan(&now); err != nil {
		x.t.Fatalf("asking for the time: %v", err)
	}
	return now
}

// straddles reports whether a root became due while the case ran because a day ended, in UTC or
// the policy's time zone. Such a case proves nothing.
func (x *trial) straddles() bool {
	if x.c.facts == nil {
		return false
	}
	due := func(at time.Time) (n int) { return len(newOracle(x.c, cloned(x.before), at).expired) }
	return due(x.began) != due(x.now())
}

// fail ends the case and prints everything needed to reproduce it.
func (x *trial) fail(format string, args ...any) {
	x.t.Helper()
	if x.straddles() {
		x.t.Skip("a root came to be due while the case ran") // rapid draws another case instead
	}
	for _, r := range x.reports {
		x.story += fmt.Sprintf("\nrun: %s (%s)", r.Status, r.Policies[0].Reason)
	}
	x.t.Fatalf("%s\n%s\n-- The database, in one transaction:\n%s\n# The policy file:\n%s", fmt.Sprintf(format, args...), x.story, x.c.setup(), x.c.yaml())
}

func (x *trial) same(what string, want, got any) {
	x.t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		x.fail("%s differ (- the contract, + the purge):\n%s", what, d)
	}
}

const clearSQL = `DROP SCHEMA IF EXISTS public, app, "Odd.Schema" CASCADE; CREATE SCHEMA public;
	DELETE FROM reaper.hold; DELETE FROM reaper.grace; DELETE FROM reaper.grace_policy;`

func (x *trial) setup() {
	if _, err := x.own.Exec(x.ctx, clearSQL+x.c.setup()); err != nil {
		x.fail("the case itself: %v", err)
	}
}

// compile plans the policy, and reports whether it was refused.
func (x *trial) compile() bool {
	x.planned()
	if x.c.policy.omitPath && x.c.policy.pasted == "" {
		// The path has nullable columns and must be written: use the proposed one.
		if i := slices.IndexFunc(x.plan.Problems, func(p plan.Problem) bool { return strings.Contains(p.Text, "must be written in the policy") }); i >= 0 {
			x.c.policy.pasted = strings.TrimPrefix(x.plan.Problems[i].Fix, "write ")
			x.planned()
		} else if len(x.c.refused) == 0 {
			x.fail("the path that was found over columns that can be NULL was taken")
		}
	}
	return x.refusal(x.plan.Problems)
}

func (x *trial) planned() { x.plan = x.compiled() }

func (x *trial) compiled() *plan.Plan {
	file, err := policy.Parse("case.yaml", []byte(x.c.yaml()))
	if err != nil {
		x.fail("parsing: %v", err)
	}
	if x.archives != "" {
		p := &file.Policies[0]
		p.Archive, p.Limits.TotalRows = true, 100_000 // a root of more rows than that would be left
	}
	var plans []*plan.Plan
	err = x.pool.AcquireFunc(x.ctx, func(c *pgxpool.Conn) error {
		server, err := plan.ReadServer(x.ctx, c.Conn())
		if err == nil {
			plans, err = plan.Compile(x.ctx, c.Conn(), file, server, nil)
		}
		return err
	})
	if err != nil {
		x.fail("planning: %v", err)
	}
	return plans[0]
}

func (x *trial) run(opts purge.Options) *purge.Report {
	r := purge.Runner{Pool: x.pool, Ledger: x.ledger, Connections: x.c.policy.connections, Archive: x.archive}
	opts.Trigger = "test"
	report, err := r.Run(x.ctx, []*plan.Plan{x.plan}, opts)
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

// compared are the values of a row that a purge is responsible for.
func (c *genCase) compared(r *genRow) map[string]string {
	values := maps.Clone(r.values)
	delete(values, counterColumn)
	if slices.ContainsFunc(c.triggers, func(g *genTrigger) bool { return g.renews && g.table == r.table }) {
		delete(values, c.policy.age)
	}
	return values
}

// linesOf are the existing rows as text, by table.
func (c *genCase) linesOf(rows map[*genTable][]*genRow) map[string][]string {
	lines := map[string][]string{}
	for t, list := range rows {
		name := t.name.String()
		for _, r := range list {
			if !r.gone {
				lines[name] = append(lines[name], fmt.Sprint(c.compared(r)))
			}
		}
		slices.Sort(lines[name])
	}
	return lines
}

func (o *oracle) left() map[string][]string { return o.c.linesOf(o.rows) }

// purgeTwice purges in two orders. The contract promises the same result, if the case allows
// it. It returns the number of kept roots.
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

// gone counts the deleted rows, by table.
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

// again runs a second time: nothing must be left to do.
func (x *trial) again(kept int64) {
	x.t.Helper()
	before := x.c.linesOf(x.dump())
	report := x.run(purge.Options{})
	x.same("rows after a second run", before, x.c.linesOf(x.dump()))
	got := report.Policies[0]
	x.same("rows_total, rows_nullified, kept_rows of a second run", []int64{0, 0, kept}, []int64{got.RowsTotal, got.RowsNullified, got.KeptRows})
}
