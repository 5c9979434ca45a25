package purge

import (
	"context"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/search"
)

// Rows lie on disk in the order in which they came, whoever owns them. Tenant by tenant,
// each page of each table and index would be visited once for every tenant. So tenants are
// worked on in cohorts: a batch has the oldest rows of all of them, up to one age, and the
// next one begins there.

// cohort is some tenants that are worked on in step.
type cohort struct {
	tenants []*plan.TenantCutoff
	from    search.Cursor // where the next window begins
	at      int64         // its age in microseconds since 1970
	width   int64         // of the next window, in microseconds; 0: not known
	groups  int           // rows read of each group
	busy    int           // how often in a row another process had all of the tenants
	open    map[string]bool
	aside   []*tenantWalk
	apart   []*cohort // smaller ones, made of its tenants
	shallow bool      // most of its tenants have few rows
	counts  bool      // its rows may be counted instead of read
	counted bool      // that has been tried for all of them at once
}

// leastGroup is how many rows of each group the first window of a cohort has at least.
const leastGroup = 10

// leastPart is how many roots of each tenant a batch has on average, where it locks before it
// deletes and a backlog is longer than one batch: each tenant costs some ten statements there.
const leastPart = 500

// sampleTenants is of how many tenants a cohort looks at the backlog, to know about all.
const sampleTenants = 10

// cohortSize is how many tenants go in step. All processes together may hold an eighth of
// the server's lock table for the locks of tenants; two processes are reckoned with. Small
// numbers of tenants are divided among the workers.
func (w *policyRun) cohortSize() int {
	if w.plan.NoTenant || w.state.planWithoutWhere() != nil || w.state.deletesStepwise() {
		return 1
	}
	most := w.plan.MaxLocks() / 8 / 2 / w.run.workers
	return max(min(most, int(w.cutoffCount+int64(w.run.workers)-1)/w.run.workers), 1)
}

// slice works on a cohort for a moment; false: nothing more is found of it.
func (c *cohort) slice(ctx context.Context, w *policyRun, b *batcher) (bool, error) {
	ends := time.Now().Add(sliceTime)
	for !w.stopping() && ctx.Err() == nil && time.Now().Before(ends) {
		active, err := w.refresh(ctx, c.tenants)
		if err != nil {
			return false, err
		}
		c.tenants = slices.DeleteFunc(c.tenants, func(t *plan.TenantCutoff) bool { return !active[t] || w.tenantFailed(t.Key) })
		if len(c.tenants) < 2 || w.cohortSize() < 2 {
			c.disband(w.plan)
			return false, nil
		}
		start, at, width := c.from, c.at, c.width
		c.counts = b.takesRanges()
		parts, more, err := c.step(ctx, w, b.nextSize())
		if err != nil {
			return false, err
		}
		if b.paysPerTenant() && more && deletion.CountRoots(parts) < leastPart*len(parts) {
			most := max(deletion.CountRoots(parts)/leastPart, 1)
			if divided, err := c.divide(ctx, w, start, at, most); divided || err != nil {
				return divided, err
			}
		}
		err = b.delete(ctx, parts)
		if err == nil && c.busy < idleRounds && busy(parts) {
			// Another process is at all of them: it may be done with them in a moment.
			c.from, c.at, c.width = start, at, width
			c.busy++
			w.run.shared.yieldSlot(func() { w.run.sleep(ctx, w.run.backoff(c.busy)) })
			return true, nil
		}
		if err := w.settleParts(ctx, parts, err); err != nil {
			return false, err
		}
		c.busy = 0
		c.settle(w.plan, parts, start)
		if !more {
			return false, nil
		}
		if w.run.currentRound.wanted(w) {
			c.halve()
			return true, nil
		}
	}
	return true, nil
}

// halve leaves every second tenant to a worker that has nothing else to do.
func (c *cohort) halve() {
	var halves [2][]*plan.TenantCutoff
	for i, t := range c.tenants {
		halves[i%2] = append(halves[i%2], t)
	}
	c.tenants = halves[0]
	if len(halves[1]) > 0 {
		c.apart = append(c.apart, &cohort{tenants: halves[1], from: c.from, at: c.at, width: c.width, groups: c.groups, shallow: c.shallow})
	}
}

// divide makes smaller cohorts of one whose tenants have long backlogs: it keeps no more than
// so many of them, and all begin at a place. A sample tells how long the backlogs are; false:
// they are short.
func (c *cohort) divide(ctx context.Context, w *policyRun, from search.Cursor, at int64, most int) (bool, error) {
	if c.shallow {
		return false, nil
	}
	sample := &cohort{from: from, at: at, groups: leastPart}
	for i := 0; i < len(c.tenants); i += (len(c.tenants) + sampleTenants - 1) / sampleTenants {
		sample.tenants = append(sample.tenants, c.tenants[i])
	}
	parts, more, err := sample.step(ctx, w, leastPart*len(sample.tenants))
	if err != nil {
		return false, err
	}
	if c.shallow = !more || deletion.CountRoots(parts) < leastPart/2*len(sample.tenants); c.shallow {
		return false, nil
	}
	for tenants := range slices.Chunk(c.tenants[most:], most) {
		c.apart = append(c.apart, &cohort{tenants: tenants, from: from, at: at})
	}
	*c = cohort{tenants: slices.Clone(c.tenants[:most]), from: from, at: at, open: c.open, aside: c.aside, apart: c.apart}
	return true, nil
}

// busy reports whether another process had the locks of all tenants of a batch.
func busy(parts []*deletion.Part) bool {
	return len(parts) > 0 && !slices.ContainsFunc(parts, func(p *deletion.Part) bool { return !p.Elsewhere })
}

// settle notes what a batch has left, and leaves tenants to themselves that stood in the way
// of others. start is where the window began.
func (c *cohort) settle(p *plan.Plan, parts []*deletion.Part, start search.Cursor) {
	for _, x := range parts {
		if x.Outcome.Remaining > 0 {
			c.open[deletion.TenantName(x.Tenant.Key)] = true
		}
		if x.Alone {
			c.tenants = slices.DeleteFunc(c.tenants, func(t *plan.TenantCutoff) bool { return t == x.Tenant })
			c.aside = append(c.aside, from(p, x.Tenant, start))
		}
	}
}

// from walks the rows of a tenant that come behind a place.
func from(p *plan.Plan, t *plan.TenantCutoff, start search.Cursor) *tenantWalk {
	return &tenantWalk{tenant: t, start: search.Behind(p, start)}
}

// disband leaves each tenant to itself.
func (c *cohort) disband(p *plan.Plan) {
	for _, t := range c.tenants {
		c.aside = append(c.aside, from(p, t, c.from))
	}
	c.tenants = nil
}

// step finds the candidates of the next window; false: there is none after it.
func (c *cohort) step(ctx context.Context, w *policyRun, want int) (parts []*deletion.Part, more bool, err error) {
	if c.counts {
		if parts, more, done, err := c.count(ctx, w, want); done || err != nil {
			return parts, more, err
		}
	}
	if c.groups == 0 {
		c.groups = max(2*want/len(c.tenants), leastGroup)
	}
	win := search.Window{From: c.from, PerGroup: c.groups, Roots: want, Bytes: w.plan.Policy.Limits.Bytes}
	if c.width > 0 {
		win.Until, win.PerGroup = c.until(), want
	}
	found, err := w.readWindow(ctx, c.tenants, win)
	if err != nil {
		return nil, false, err
	}
	for i, t := range c.tenants {
		if cands := found.byTenant[i+1]; len(cands) > 0 {
			parts = append(parts, deletion.NewPart(t, cands))
		}
	}
	if found.age == nil {
		return parts, false, nil
	}
	return parts, true, c.advance(found, want)
}

// until is where a window of the cohort's width ends.
func (c *cohort) until() string {
	return time.UnixMicro(c.at + c.width).UTC().Format("2006-01-02 15:04:05.999999Z07:00")
}

// count finds the candidates of the next window without reading them: a DELETE of all within a
// range of ages finds them again by the same index. The first window takes all that is due, if
// that is little; done: the window was not too large.
func (c *cohort) count(ctx context.Context, w *policyRun, want int) (parts []*deletion.Part, more, done bool, err error) {
	want -= want / 8 // so that one that is denser than the last seldom is too large
	for range countTries {
		win := search.Window{From: c.from, PerGroup: 2*want + 1}
		switch {
		case c.width > 0:
			win.Until = c.until()
		case c.counted:
			return nil, false, false, nil
		default:
			c.counted, win.PerGroup = true, 2*leastGroup
		}
		found, err := w.countWindow(ctx, c.tenants, win)
		if err != nil {
			return nil, false, false, err
		}
		fits := !found.cut && found.candidates <= min(want+want/4, w.plan.Policy.Limits.Rows) && found.bytes <= w.plan.Policy.Limits.Bytes
		switch {
		case fits:
			r := &search.Range{From: c.from, Until: win.Until, PerGroup: win.PerGroup}
			for i, t := range c.tenants {
				if n := found.roots[i+1]; n > 0 {
					parts = append(parts, deletion.NewRange(t, r, n))
				}
			}
			if !found.more {
				return parts, false, true, nil
			}
			return parts, true, true, c.advance(found.window, want)
		case c.width <= leastWidth:
			return nil, false, false, nil
		}
		c.width = max(c.width/4, c.width*int64(want)/int64(max(found.candidates, 1))*3/4, leastWidth)
	}
	return nil, false, false, nil
}

// countTries is how often a window is made narrower before it is read.
const countTries = 3

// countWindow counts the expired rows of a window.
func (w *policyRun) countWindow(ctx context.Context, tenants []*plan.TenantCutoff, win search.Window) (found counts, err error) {
	err = w.searchRows(func(p *plan.Plan) error {
		s := search.CountStepSQL(p, tenants, win)
		return w.run.withServer(ctx, func() error {
			found = counts{roots: map[int]int{}, window: window{key: make([]*string, len(w.plan.Key))}}
			return w.run.query(ctx, w.plan.ReadingPath(), searchTimeout, s, func(rows pgx.Rows) error { return found.scan(rows, win.PerGroup) })
		})
	})
	return found, err
}

// counts is what one step has counted.
type counts struct {
	window
	roots map[int]int
	bytes int64
	cut   bool // there were more rows of some group
	more  bool // younger rows may be due
}

func (x *counts) scan(rows pgx.Rows, perGroup int) error {
	var tenant, n int
	var size, read *int64
	var age, micros *string
	_, err := pgx.ForEachRow(rows, []any{&tenant, &n, &size, &read, &age, &micros}, func() error {
		if tenant == 0 {
			x.more, x.age, x.micros = n > 0, age, micros
			return nil
		}
		x.roots[tenant] = n
		x.candidates += n
		x.bytes += *size
		x.cut = x.cut || *read >= int64(perGroup)
		return nil
	})
	return err
}

// readWindow reads the candidates of a window.
func (w *policyRun) readWindow(ctx context.Context, tenants []*plan.TenantCutoff, win search.Window) (found window, err error) {
	err = w.searchRows(func(p *plan.Plan) error {
		s := search.StepSQL(p, tenants, win)
		return w.run.withServer(ctx, func() error {
			found = window{columns: len(w.plan.Key), byTenant: map[int][]deletion.Candidate{}}
			return w.run.query(ctx, w.plan.ReadingPath(), searchTimeout, s, found.scan)
		})
	})
	return found, err
}

// readKeys reads the keys of candidates that were only counted, which are all of one window, and
// returns the parts that have any. It reads no more rows than were read to count them: what has
// come in since may be left, and then counts as changed by others.
func (w *policyRun) readKeys(ctx context.Context, parts []*deletion.Part) ([]*deletion.Part, error) {
	var tenants []*plan.TenantCutoff
	var counted []*deletion.Part
	for _, p := range parts {
		if p.Range != nil {
			tenants, counted = append(tenants, p.Tenant), append(counted, p)
		}
	}
	if len(tenants) == 0 {
		return parts, nil
	}
	r := counted[0].Range
	found, err := w.readWindow(ctx, tenants, search.Window{From: r.From, Until: r.Until, PerGroup: r.PerGroup, Roots: r.PerGroup * len(tenants), Bytes: math.MaxInt64})
	if err != nil {
		return nil, err
	}
	for i, p := range counted {
		p.Candidates, p.Range = found.byTenant[i+1], nil
	}
	return slices.DeleteFunc(slices.Clone(parts), func(p *deletion.Part) bool { return len(p.Candidates) == 0 }), nil
}

// advance moves the cohort to where a window ended, and aims the next one at as many rows
// as a batch takes.
func (c *cohort) advance(found window, want int) error {
	end, err := strconv.ParseInt(*found.micros, 10, 64)
	if err != nil {
		return err
	}
	begin := c.at
	if !c.from.Set && found.first != nil {
		if begin, err = strconv.ParseInt(*found.first, 10, 64); err != nil {
			return err
		}
	}
	if found.candidates == 0 {
		c.width = max(4*(end-begin), leastWidth)
	} else {
		ratio := min(max(float64(want)/float64(found.candidates), 0.25), 4)
		c.width = max(int64(float64(end-begin)*ratio), leastWidth)
	}
	c.from, c.at = search.Cursor{Set: true, Age: *found.age}, end
	if !slices.Contains(found.key, nil) {
		c.from.Key = found.key
	}
	return nil
}

// leastWidth is how wide a window is at least, in microseconds: rows of one age are read in
// the order of their keys.
const leastWidth = int64(time.Second / time.Microsecond)

// window is what one step has read.
type window struct {
	columns       int
	age           *string // where it stopped; nil: every expired row was read
	key           []*string
	micros, first *string // that age and the oldest that was read, in microseconds since 1970
	byTenant      map[int][]deletion.Candidate
	candidates    int
}

func (x *window) scan(rows pgx.Rows) error {
	for rows.Next() {
		var tenant int
		var text, micros, first *string
		key := make([]*string, x.columns)
		into := append([]any{&tenant, &text, &micros, &first}, pg.Pointers(key)...)
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if tenant == 0 {
			x.age, x.micros, x.first, x.key = text, micros, first, key
			continue
		}
		size, err := strconv.ParseInt(*text, 10, 64)
		if err != nil {
			return err
		}
		x.byTenant[tenant] = append(x.byTenant[tenant], deletion.Candidate{Key: key, Bytes: size})
		x.candidates++
	}
	return rows.Err()
}
