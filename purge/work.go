package purge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// sliceTime is about how long one tenant is worked on before the next one's
// turn. It stays below the 5 s after which a query of tenants is read again.
const sliceTime = 2 * time.Second

// namedTenants is how many skipped or failed tenants a reason names.
const namedTenants = 10

// pass is what one walk from the start has found.
type pass struct {
	kept, left int64
	busy       bool
	moved      bool // some were no longer expired, or gone, when their batch came to them
}

// work is one policy of a run: its batches, its walk, its report.
type work struct {
	run      *Run
	plan     *Plan
	report   *PolicyReport
	batchers []*batcher // one a worker
	seq      atomic.Int64
	unproven atomic.Bool          // the proven way was refused in the middle of the run
	stepwise atomic.Bool          // tables are deleted from one after the other
	blind    atomic.Pointer[Plan] // the plan without `where`, once that has failed on a row
	times    durations            // of batches
	started  time.Time
	opened   bool
	walk     walk
	pass     pass
	failed   map[string]string // tenants given up, and why; they are not visited again
	skipped  []string          // names of skipped tenants
	latest   string            // of those cutoffs, as text
	behind   int64             // tenants with something due at the end
	fixed    int64             // tenants whose cutoffs were settled at the start
	err      error             // ends the policy as failed
	counted  bool
	parts    partitionsWork
	flying   int // its turns under way
	drops    drops
	telling  sync.Mutex // of what the guards say
	guarded  guarded
	leaping  sync.Mutex
	leapt    leapt // leaping guards it
	sized    int64 // how many roots fit on the disk with their WAL; 0: all
	resized  bool  // by the run's own WAL
	due      int64 // how many roots were due when it was sized; 0: not known
	reserved int64 // bytes of WAL that it was sized for, written ones among them
	refused  bool  // not even the least fits
}

func newWork(r *Run, p *Plan) *work {
	strategy, _ := p.shown(r.opts)
	w := &work{run: r, plan: p, err: p.unplanned, failed: map[string]string{}, started: time.Now(), report: &PolicyReport{
		Name: p.Policy.Name, Status: Complete, Strategy: strategy, Rows: map[string]int64{}, Partitions: []string{},
	}}
	for _, n := range p.Nodes {
		if n.Deleted {
			w.report.Rows[n.Table.Name.String()] = 0
		}
	}
	for i := range r.workers {
		if p.unplanned != nil {
			break
		}
		w.batchers = append(w.batchers, &batcher{worker: i, run: r, work: w, plan: p, size: p.firstSize()})
	}
	return w
}

// firstRoots is how many roots the first batch takes at most: nothing is known
// yet of how long they take, and caches are cold. It grows from there.
const firstRoots = 100

// firstSize is the size of the first batch, by what the planner knows of the
// dependents of one root.
func (p *Plan) firstSize() int {
	limits := p.Policy.Limits
	perRoot := p.rowsPerRoot()
	return max(1, min(limits.Rows, limits.TotalRows, int(float64(limits.TotalRows)/perRoot*0.8), firstRoots))
}

func (w *work) ended() bool { return w.err != nil }

func (w *work) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

// open records the run in the ledger before anything is deleted.
func (w *work) open(ctx context.Context) {
	err := w.run.withServer(ctx, func() error {
		return w.run.ledger.OpenRun(ctx, w.run.pool, w.run.id, w.plan.Policy.Name, w.run.opts.Trigger, w.run.base)
	})
	if err != nil {
		w.fail(fmt.Errorf("opening the run in the ledger: %w", err))
		return
	}
	w.opened = true
}

// countTenants looks at all tenants once: how many are held, forever and
// skipped, and whether the list of them can be trusted at all.
func (w *work) countTenants(ctx context.Context) {
	t := w.plan.tenants
	s := &statement{}
	sc := w.scope()
	sc.whole = true
	s.add("SELECT count(*), ", t.countKeys(), ", ", longestSQL, ", count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'forever'), count(*) FILTER (WHERE state = 'skipped') FROM ", t.write(s, sc), " s")
	var all, distinct, longest int64
	c := &w.report.Tenants
	err := w.run.withServer(ctx, func() error {
		if err := w.run.query(ctx, w.plan.readingPath(), listTimeout, s, scanOne(&all, &distinct, &longest, &c.Held, &c.Forever, &c.Skipped)); err != nil || c.Skipped == 0 || w.plan.noTenant {
			return err
		}
		return w.nameSkipped(ctx, sc)
	})
	switch {
	case errors.Is(err, errHalted):
	case err != nil:
		w.fail(fmt.Errorf("reading tenants: %w", err))
	case w.plan.noTenant:
		if c.Skipped > 0 {
			w.skipped = []string{"all rows (retention " + w.noTenantRetention() + ")"}
		}
	default:
		if err := w.plan.trust(all, distinct, longest); err != nil {
			w.fail(err)
		}
	}
}

// nameSkipped reads some of the tenants that are skipped, and what makes them so.
func (w *work) nameSkipped(ctx context.Context, sc scope) error {
	s := &statement{}
	s.add("SELECT array_agg(x) FROM (SELECT key::text || coalesce(' (' || CASE retention WHEN '00:00:00' THEN 'zero or absurd' ELSE retention END || ')', ' (no retention)') AS x FROM ",
		w.plan.tenants.write(s, sc), " s WHERE state = 'skipped' ORDER BY key LIMIT ", strconv.Itoa(namedTenants), ") x")
	return w.run.query(ctx, w.plan.readingPath(), listTimeout, s, scanOne(&w.skipped))
}

func (w *work) noTenantRetention() string {
	if len(w.plan.tenants.sources) == 0 {
		return "missing"
	}
	return w.plan.tenants.sources[0].constant.String()
}

// scope is what the run reads of the tenants: all, or those of --tenant.
func (w *work) scope() scope {
	return scope{base: w.run.base, only: w.run.opts.Tenants, olderThan: w.run.opts.OlderThan, run: w.run.id, cutoffs: w.run.ledger.Cutoffs(), whereFailed: w.blind.Load() != nil}
}

func (w *work) startPass() {
	w.pass = pass{}
	if w.plan.sweeps() {
		w.walk = &sweep{work: w, open: map[string]bool{}, busy: map[string]bool{}}
	} else {
		w.walk = &keyset{work: w, open: map[string]bool{}}
	}
}

// countAfter is how long a run has to last until what is due is counted: who
// watches a shorter one learns nothing from it.
const countAfter = 2 * time.Second

// countOnce counts what was due at the start, once that is worth it. The worker
// does it between two turns: the connection beside the batches is for the guards.
func (w *work) countOnce(ctx context.Context) {
	w.run.mu.Lock()
	now := !w.counted && time.Since(w.started) > countAfter && w.guarded.since.IsZero()
	w.counted = w.counted || now
	done := w.report.Roots
	w.run.mu.Unlock()
	if !now {
		return
	}
	due := w.countDue(ctx)
	if due >= 0 {
		due += done
	}
	w.run.tell(func(o Observer) { o.Due(w.plan.Policy.Name, due) })
}

// delete hands candidates to a batcher, keeps the count, and gives up a tenant
// whose rows cannot be deleted. An error is the database's.
func (w *work) delete(ctx context.Context, b *batcher, t *who, cands []candidate) (outcome, error) {
	o, err := b.delete(ctx, t, cands)
	w.run.mu.Lock()
	w.pass.kept += o.kept
	w.pass.left += o.left
	w.pass.busy = w.pass.busy || o.busy
	lost := err == nil && o.roots+o.kept+o.left < int64(len(cands))
	w.pass.moved = w.pass.moved || lost && w.blind.Load() == nil
	w.run.mu.Unlock()
	if lost && !w.plan.noTenant {
		// Some are no longer expired. If that is because the tenant's key has come
		// to be there twice, it must be said.
		_, err = w.reread(ctx, t)
	}
	if err == nil {
		return o, nil
	}
	if errors.Is(err, errFacts) {
		w.stopFor(err.Error())
		return o, nil
	}
	if kind := classify(err); kind == faultDatabase || kind == faultPolicy || ctx.Err() != nil {
		return o, err
	}
	name := tenantName(t.Key)
	why := plain(err)
	if names := w.plan.firing(); len(names) > 0 && !errors.Is(err, errInterfered) {
		why += "; what can have a part in it: " + strings.Join(names, ", ")
	}
	w.run.mu.Lock()
	w.failed[name] = why
	w.report.Tenants.Failed = int64(len(w.failed))
	w.run.mu.Unlock()
	w.run.log.Warn("tenant failed", "policy", w.plan.Policy.Name, "tenant", name, "error", why)
	return o, nil
}

func tenantName(key *string) string {
	if key == nil {
		return "null"
	}
	return *key
}

func (w *work) gaveUp(key *string) bool {
	w.run.mu.Lock()
	defer w.run.mu.Unlock()
	_, failed := w.failed[tenantName(key)]
	return failed
}

// refresh reads a tenant's hold and retention again: at the start of every
// slice, and between the batches of a long one, so that a query of tenants is
// never older than 5 s. false: nothing of the tenant may go any more.
func (w *work) refresh(ctx context.Context, t *who) (bool, error) {
	if w.plan.noTenant || time.Since(t.readAt) < sliceTime {
		return true, nil
	}
	return w.reread(ctx, t)
}

func (w *work) reread(ctx context.Context, t *who) (bool, error) {
	sc := w.scope()
	sc.only = []string{*t.Key}
	s := &statement{}
	s.add("SELECT count(*), coalesce(bool_and(state = 'active'), false), min(least(cutoff, ", s.cast(t.Cutoff, "timestamptz"), "))::text FROM ", w.plan.tenants.write(s, sc), " s")
	var n int
	var active bool
	var cutoff *string
	err := w.run.withServer(ctx, func() error {
		return w.run.query(ctx, w.plan.readingPath(), searchTimeout, s, scanOne(&n, &active, &cutoff))
	})
	if err != nil {
		return false, fmt.Errorf("reading tenants: %w", err)
	}
	if n > 1 {
		return false, errKeyTwice
	}
	if !active {
		return false, nil
	}
	t.Cutoff, t.readAt = *cutoff, time.Now()
	return true, nil
}

// close settles how the policy ended and records it.
func (w *work) close(ctx context.Context) {
	rep := w.report
	rep.Seconds = time.Since(w.started).Seconds()
	rep.PausedSeconds = w.pausedFor().Seconds()
	rep.BatchSeconds = w.times.quantiles()
	rep.KeptRows = w.pass.kept
	// The end is recorded even when the run was interrupted.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if !w.opened {
		w.settle()
		return
	}
	w.attachAtLast(ctx)
	if w.run.losses > 0 {
		w.recount(ctx)
	}
	if w.err == nil {
		w.measure(ctx)
		w.tally(ctx)
		w.sampleUnowned(ctx)
	}
	w.settle()
	if len(w.skipped) > 0 {
		w.run.log.Warn("tenants skipped: no usable retention", "policy", rep.Name, "count", rep.Tenants.Skipped, "tenants", strings.Join(w.skipped, ", "))
	}
	success := rep.Status == Complete && !w.run.opts.narrowed()
	var ours bool
	closing := func() (err error) {
		ours, err = w.run.ledger.CloseRun(ctx, w.run.pool, w.run.id, rep.Name, string(rep.Status), rep.Reason, rep.WALBytes, success)
		return err
	}
	err := w.run.withServer(ctx, closing)
	if err == nil && !ours {
		// What that process took down with it, the cutoffs among it, this run may have
		// missed: its own end says nothing.
		err = errors.New("another process has closed the run, which took this one for dead")
	}
	if err != nil {
		// Without this row the next run will record that the process ended.
		w.run.log.Error("cannot record the end of the run", "policy", rep.Name, "error", plain(err))
		rep.Status = Failed
		rep.Reason = strings.TrimPrefix(rep.Reason+"; the end of the run could not be recorded: "+plain(err), "; ")
	}
	w.run.log.Info("policy done", "policy", rep.Name, "status", rep.Status, "reason", rep.Reason, "roots", rep.Roots, "rows", rep.RowsTotal,
		"batches", rep.Batches, "duration", time.Since(w.started).Round(time.Millisecond))
}

// recount takes the ledger's word for what was deleted: a crash of the server may
// have undone batches whose commit was answered.
func (w *work) recount(ctx context.Context) {
	rep := w.report
	var rows map[string]int64
	err := w.run.withServer(ctx, func() (err error) {
		rows, rep.RowsNullified, rep.Batches, err = w.run.ledger.Totals(ctx, w.run.pool, w.run.id, rep.Name)
		return err
	})
	if err != nil {
		w.run.log.Warn("cannot compare the report with the ledger", "policy", rep.Name, "error", plain(err))
		return
	}
	rep.RowsTotal = 0
	for table := range rep.Rows {
		rep.Rows[table] = rows[table]
		rep.RowsTotal += rows[table]
	}
}

// tally counts the tenants that were due and those that are done.
func (w *work) tally(ctx context.Context) {
	unfinished := w.unfinished()
	c := &w.report.Tenants
	if w.report.Batches > 0 {
		var err error
		if c.Done, err = w.run.ledger.DoneTenants(ctx, w.run.pool, w.run.id, w.report.Name, sorted(unfinished)); err != nil {
			w.run.log.Warn("cannot count tenants", "policy", w.report.Name, "error", plain(err))
		}
	}
	c.Due = c.Done + max(int64(len(unfinished)), w.behind)
	if w.stopReason() != "" && !w.plan.noTenant && !w.plan.sweeps() {
		c.Due = max(c.Due, w.fixed) // who had something due at the start, visited or not
	}
}

// unfinished are the tenants that the last pass has left with something due, as
// far as it came.
func (w *work) unfinished() map[string]bool {
	names := map[string]bool{}
	for name := range w.failed {
		names[name] = true
	}
	if w.walk == nil || w.stopReason() != "" && w.report.BacklogRows != nil && *w.report.BacklogRows == 0 {
		return names // cut off, but not before the end
	}
	maps.Copy(names, w.walk.unfinished())
	return names
}

// settle derives status and reason.
func (w *work) settle() {
	rep := w.report
	var reasons []string
	if len(w.skipped) > 0 {
		reasons = append(reasons, fmt.Sprintf("%s skipped, without a usable retention: %s", many(max(rep.Tenants.Skipped, 1), "tenant", "tenants"), strings.Join(w.skipped, ", ")))
	}
	if len(w.failed) > 0 {
		var names []string
		for name, why := range w.failed {
			if len(names) < namedTenants {
				names = append(names, name+": "+why)
			}
		}
		reasons = append(reasons, fmt.Sprintf("%s failed: %s", many(int64(len(w.failed)), "tenant", "tenants"), strings.Join(names, "; ")))
	}
	reasons = append(reasons, w.parts.reasons()...)
	stop := w.stopReason()
	switch {
	case stop != "":
		if w.unfinishedWork() {
			stop += w.heldAtLast()
			reasons = append(reasons, stop)
		}
	case w.pass.busy && w.pass.left == 0:
		reasons = append(reasons, "a table was locked by others")
	case w.pass.busy:
		reasons = append(reasons, many(w.pass.left, "expired row was", "expired rows were")+" locked by others")
	case w.pass.moved && w.report.BacklogRows != nil && *w.report.BacklogRows > 0:
		reasons = append(reasons, many(*w.report.BacklogRows, "expired row was", "expired rows were")+" changed by others while being deleted")
	case w.pass.left > 0:
		by := "a trigger or a rule"
		if names := w.plan.firing(); len(names) > 0 {
			by = strings.Join(names, " or ")
		}
		reasons = append(reasons, many(w.pass.left, "expired row", "expired rows")+" did not go: kept by "+by)
	}
	rep.Reason = strings.Join(reasons, "; ")
	switch {
	case w.err != nil:
		rep.Status = Failed
		reasons = append([]string{plainChain(w.err)}, reasons...)
		rep.Reason = strings.Join(reasons, "; ")
	case w.refused:
		rep.Status = Refused
	case len(reasons) > 0:
		rep.Status = Incomplete
	}
	if w.err == nil && rep.Unowned.Most() {
		rep.Reason = strings.TrimPrefix(rep.Reason+"; "+rep.Unowned.Text(), "; ")
	}
}

// many is "1 tenant", "2 tenants".
func many(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, more)
}

// plainChain is an error's text without row data.
func plainChain(err error) string {
	if errors.Is(err, ErrTenants) {
		return err.Error()
	}
	text := err.Error()
	if i := strings.Index(text, ": ERROR:"); i > 0 {
		return text[:i] + ": " + plain(err)
	}
	return plain(err)
}

// unfinishedWork tells whether a run that was told to stop has left anything:
// in doubt it has.
func (w *work) unfinishedWork() bool {
	if w.run.halt.Err() != nil {
		return true
	}
	return w.report.BacklogRows == nil || *w.report.BacklogRows > 0
}
