package purge_test

import (
	"context"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
)

// bed is one test's database with a policy file and everything a purge needs.
type bed struct {
	*dbtest.DB
	t      testing.TB
	policy string // the policy file
	pool   *pgxpool.Pool
	opts   purge.Options
	runner purge.Runner
	before map[string]int // rows of every table, by mark
}

// prepare creates a database with a schema and the ledger. `version:` is added to the policy
// file if missing.
func prepare(t testing.TB, schema, policyFile string, change ...func(*pgxpool.Config)) *bed {
	t.Helper()
	// One template for all tests: one per schema would cost more than running its SQL.
	b := &bed{DB: dbtest.New(t, ledgerSQL(t)), t: t, policy: policyFile}
	b.Exec(t, schema)
	b.connect(b.DSN(), change...)
	return b
}

// again empties the ledger for another run in the same database.
func (b *bed) again() {
	b.t.Helper()
	b.Exec(b.t, `DELETE FROM reaper.run`)
	b.before = nil
}

// connect creates the purge's own pool, as the command does.
func (b *bed) connect(dsn string, change ...func(*pgxpool.Config)) {
	b.t.Helper()
	b.pool = purgePool(b.t, dsn, change...)
	b.runner.Pool, b.runner.Ledger = b.pool, ledger.New(ledger.DefaultSchema, 0)
}

func purgePool(t testing.TB, dsn string, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pg.PoolConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range change {
		f(config)
	}
	pool, err := pgxpool.NewWithConfig(context.WithoutCancel(t.Context()), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// fresh replaces all tables of schema public, and the policy.
func (b *bed) fresh(schema, policyFile string) {
	b.t.Helper()
	b.again()
	b.Exec(b.t, `DELETE FROM reaper.hold; DROP SCHEMA public CASCADE; CREATE SCHEMA public`)
	b.Exec(b.t, schema)
	b.policy = policyFile
}

// on resets the bed for a subtest, which must not run in parallel with others on the same
// database. Creating a database takes longer than most subtests.
func (b *bed) on(t testing.TB, schema, policyFile string, change ...func(*pgxpool.Config)) *bed {
	t.Helper()
	sub := &bed{DB: b.DB, t: t}
	sub.fresh(schema, policyFile)
	sub.connect(sub.DSN(), change...)
	return sub
}

// ground is a database for consecutive beds.
func ground(t testing.TB) *bed {
	t.Helper()
	return prepare(t, "SELECT 1", "")
}

// ledgerSQL creates the ledger without its own transaction.
func ledgerSQL(t testing.TB) string {
	t.Helper()
	sql, err := ledger.New(ledger.DefaultSchema, 0).Print()
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("BEGIN;\n", "", "COMMIT;\n", "").Replace(sql)
}

// mark records the row count of every table.
func (b *bed) mark() {
	b.t.Helper()
	b.before = b.sizes()
}

func (b *bed) sizes() map[string]int {
	b.t.Helper()
	sizes := map[string]int{}
	for _, name := range b.Texts(b.t, `SELECT format('%I.%I', n.nspname, c.relname)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'reaper')`) {
		sizes[strings.ReplaceAll(name, `"`, "")] = b.Int(b.t, `SELECT count(*) FROM `+name)
	}
	return sizes
}

// ledgerIsTrue compares the ledger with the rows deleted since mark.
func (b *bed) ledgerIsTrue() {
	b.t.Helper()
	gone := map[string]int{}
	now := b.sizes()
	for table, n := range b.before {
		if n != now[table] {
			gone[table] = n - now[table]
		}
	}
	if diff := cmp.Diff(gone, b.inLedger()); diff != "" {
		b.t.Errorf("rows gone (-) and the ledger (+) differ:\n%s", diff)
	}
}

// inLedger sums the ledger's rows by table.
func (b *bed) inLedger() map[string]int {
	b.t.Helper()
	sums := map[string]int{}
	for _, line := range b.Texts(b.t, `SELECT table_name || '=' || sum(rows) FROM reaper.deletions GROUP BY table_name HAVING sum(rows) > 0`) {
		table, n, _ := strings.Cut(line, "=")
		sums[strings.ReplaceAll(table, `"`, "")] = number(b.t, n)
	}
	return sums
}

// compile plans the policy file as the current role of the pool.
func (b *bed) compile() []*plan.Plan {
	b.t.Helper()
	plans, err := compilePlans(b.t.Context(), b.pool, b.policy)
	if err != nil {
		b.t.Fatal(err)
	}
	return plans
}

func compilePlans(ctx context.Context, pool *pgxpool.Pool, text string) (plans []*plan.Plan, err error) {
	if !strings.Contains(text, "version:") {
		text = "version: 1\n" + text
	}
	file, err := policy.Parse("reaper.yaml", []byte(text))
	if err != nil {
		return nil, err
	}
	err = pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		server, err := plan.ReadServer(ctx, c.Conn())
		if err != nil {
			return err
		}
		plans, err = plan.Compile(ctx, c.Conn(), file, server, nil)
		return err
	})
	return plans, err
}

// problems returns the texts of Compile's problems of one level.
func (b *bed) problems(level plan.Level) []string {
	b.t.Helper()
	texts := []string{}
	for _, p := range b.compile() {
		for _, x := range p.Problems {
			if x.Level == level {
				texts = append(texts, x.Text+" => "+x.Fix)
			}
		}
	}
	return texts
}

// refuses wants Compile to refuse the policy for a reason with these words.
func (b *bed) refuses(words ...string) {
	b.t.Helper()
	b.tells(plan.LevelError, words...)
}

func (b *bed) tells(level plan.Level, words ...string) {
	b.t.Helper()
	found := b.problems(level)
	if !slices.ContainsFunc(found, func(text string) bool { return containsAll(text, words...) }) {
		b.t.Errorf("no %s says %q; there are %q", level, words, found)
	}
}

func containsAll(text string, words ...string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// plans compiles and wants no errors.
func (b *bed) plans() []*plan.Plan {
	b.t.Helper()
	plans := b.compile()
	for _, p := range plans {
		for _, x := range p.Problems {
			if x.Level == plan.LevelError {
				b.t.Fatalf("policy %s: %s (%s)", p.Policy.Name, x.Text, x.Fix)
			}
		}
	}
	return plans
}

// purge runs the policy file once.
func (b *bed) purge() *outcome {
	b.t.Helper()
	return b.purgeWith(b.plans())
}

func (b *bed) purgeWith(plans []*plan.Plan) *outcome {
	b.t.Helper()
	if b.before == nil {
		b.mark()
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Minute)
	defer cancel()
	r, err := b.runner.Run(ctx, plans, b.opts)
	if err != nil {
		b.t.Fatalf("the run ended by an error: %v", err)
	}
	return &outcome{Report: r, bed: b}
}

// outcome is the result of a run.
type outcome struct {
	*purge.Report
	bed *bed
}

// one returns the report of the only policy.
func (o *outcome) one() *purge.PolicyReport { return o.Policies[0] }

// is wants the run to have this status, its reason to contain each word, and the ledger's
// closing row to agree.
func (o *outcome) is(want purge.Status, words ...string) *outcome {
	t := o.bed.t
	t.Helper()
	reasons := []string{}
	for _, p := range o.Policies {
		reasons = append(reasons, p.Reason)
		recorded := o.bed.Text(t, `SELECT status || ': ' || reason FROM reaper.runs WHERE run_id = $1::text::uuid AND policy = $2`, o.RunID, p.Name)
		if said := string(p.Status) + ": " + p.Reason; recorded != said {
			t.Errorf("the ledger recorded %q, the report says %q", recorded, said)
		}
	}
	reason := strings.Join(reasons, " | ")
	if o.Status != want || !containsAll(reason, words...) {
		t.Errorf("the run is %s (%s), want %s (%s)", o.Status, reason, want, strings.Join(words, ", "))
	}
	return o
}

// complete wants a run that deleted everything due, with a correct ledger.
func (o *outcome) complete() *outcome {
	o.bed.t.Helper()
	o.is(purge.Complete)
	o.bed.ledgerIsTrue()
	return o
}

// rows wants the report to count exactly these deleted rows; tables with none are omitted.
func (o *outcome) rows(want map[string]int64) *outcome {
	o.bed.t.Helper()
	got := map[string]int64{}
	for _, p := range o.Policies {
		for table, n := range p.Rows {
			got[table] += n
		}
	}
	maps.DeleteFunc(got, func(_ string, n int64) bool { return n == 0 })
	if diff := cmp.Diff(want, got); diff != "" {
		o.bed.t.Errorf("rows deleted (-want +got):\n%s", diff)
	}
	return o
}

// left wants a query to return these values, as text and in its order.
func (b *bed) left(query string, want ...string) {
	b.t.Helper()
	if want == nil {
		want = []string{}
	}
	got := b.Texts(b.t, `SELECT x::text FROM (`+query+`) q(x)`)
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("%s (-want +got):\n%s", query, diff)
	}
}

// count wants a query to return this number.
func (b *bed) count(query string, want int) {
	b.t.Helper()
	if got := b.Int(b.t, query); got != want {
		b.t.Errorf("%s: %d, want %d", query, got, want)
	}
}

func number(t testing.TB, text string) int {
	t.Helper()
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' {
			t.Fatalf("%q is not a number", text)
		}
		n = n*10 + int(c-'0')
	}
	return n
}

// Strings by which a hook recognizes the engine's statements.
const (
	atBatch  = "pg_try_advisory_xact_lock" // a batch's first statement, after the search
	atDelete = "DELETE FROM ONLY"          // not the ledger's
	atLock   = "SKIP LOCKED"               // locking the roots
	atRecord = ".batch (run_id"
)

// hook calls back before the purge's statements that contain given words.
type hook struct {
	mu    sync.Mutex
	words string
	call  func() // nil: already called
	every bool
}

// before is called with every statement before it is sent.
func (h *hook) before(sql string, _ []any) {
	h.mu.Lock()
	var call func()
	if h.call != nil && strings.Contains(sql, h.words) {
		call = h.call
		if !h.every {
			h.call = nil
		}
	}
	h.mu.Unlock()
	if call != nil {
		call()
	}
}

// TraceQueryEnd implements pgx.QueryTracer.
func (h *hook) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// argsHook is called with every statement and its values before it is sent, single or batched.
type argsHook func(sql string, args []any)

// TraceQueryStart implements pgx.QueryTracer.
func (h argsHook) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	h(q.SQL, q.Args)
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (argsHook) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements pgx.BatchTracer.
func (h argsHook) TraceBatchStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceBatchStartData) context.Context {
	for _, q := range data.Batch.QueuedQueries {
		h(q.SQL, q.Arguments)
	}
	return ctx
}

// TraceBatchQuery implements pgx.BatchTracer.
func (argsHook) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

// TraceBatchEnd implements pgx.BatchTracer.
func (argsHook) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// before calls back once, just before the first statement with these words. With atBatch,
// nothing else runs between it and the search.
func before(words string, call func()) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) { c.ConnConfig.Tracer = argsHook((&hook{words: words, call: call}).before) }
}

// beforeEvery calls back before each such statement.
func beforeEvery(words string, call func()) func(*pgxpool.Config) {
	return func(c *pgxpool.Config) {
		c.ConnConfig.Tracer = argsHook((&hook{words: words, call: call, every: true}).before)
	}
}

// session is another client's connection.
type session struct {
	*pgx.Conn
	t testing.TB
}

func (b *bed) session() *session {
	b.t.Helper()
	conn, err := pgx.Connect(b.t.Context(), b.DSN())
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(b.t.Context())) })
	return &session{Conn: conn, t: b.t}
}

// do runs SQL, one statement or several.
func (s *session) do(sql string, args ...any) {
	s.t.Helper()
	if _, err := s.Exec(context.WithoutCancel(s.t.Context()), sql, args...); err != nil {
		s.t.Errorf("%s: %v", sql, err)
	}
}

// awaitBlocked waits until a statement of the purge waits for a lock.
func (b *bed) awaitBlocked() {
	b.t.Helper()
	b.await(`SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reaper' AND wait_event_type = 'Lock')`)
}

// await polls until a query says true.
func (b *bed) await(query string) {
	b.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if b.Bool(b.t, query) {
			return
		}
	}
	b.t.Fatalf("never true: %s", query)
}

// watcher reports every batch to a test.
type watcher struct {
	purge.Silent
	batch func(purge.BatchEvent)
	retry func(reason string)
}

func (w watcher) Batch(e purge.BatchEvent) {
	if w.batch != nil {
		w.batch(e)
	}
}

func (w watcher) Retry(_, reason string) {
	if w.retry != nil {
		w.retry(reason)
	}
}

// childEnv names the task of a child process of the test binary.
const childEnv = "REAPER_TEST_CHILD"

// child is the main of a child process. It purges the database and policy file named in its
// environment once.
func child(dsn string) int {
	ctx := context.Background()
	config, err := pg.PoolConfig(dsn)
	if err != nil {
		return 2
	}
	if n, err := strconv.Atoi(os.Getenv(childEnv + "_DIES")); err == nil {
		config.ConnConfig.Tracer = diesAt(n)
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return 2
	}
	defer pool.Close()
	if os.Getenv(childEnv+"_RESTORES") != "" {
		return restores(ctx, pool)
	}
	plans, err := compilePlans(ctx, pool, os.Getenv(childEnv+"_POLICY"))
	if err != nil {
		return 2
	}
	runner := purge.Runner{Pool: pool, Ledger: ledger.New(ledger.DefaultSchema, 0)}
	if folder := os.Getenv(childEnv + "_ARCHIVE"); folder != "" {
		if runner.Archive, err = dyingArchive(folder); err != nil {
			return 2
		}
	}
	report, err := runner.Run(ctx, plans, purge.Options{Trigger: "child"})
	if err != nil {
		return 1
	}
	return report.Status.ExitCode()
}
