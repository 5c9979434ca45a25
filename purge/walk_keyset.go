package purge

import (
	"context"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/search"
)

const (
	groupPage = 500 // groups of one tenant
	// readAhead is how many extra rows a search may read where `where` or a time zone may
	// reject some.
	readAhead     = 2000
	searchTimeout = 2 * time.Minute
	dueTimeout    = 10 * time.Minute
)

// keyset walks the due tenants in turn, most overdue first, one slice each.
type keyset struct {
	policy  *policyRun
	fresh   []*plan.TenantCutoff // read, and not yet begun
	cohorts []*cohort
	queue   []*tenantWalk   // tenants by themselves
	single  bool            // the next turn is of one of those, if there is any
	reading bool            // a page is being read
	after   int64           // the rank where the current page ends
	open    map[string]bool // tenants of which this pass left something
}

// tenantWalk is the position in one tenant's rows.
type tenantWalk struct {
	tenant    *plan.TenantCutoff
	groups    [][]*string
	after     []*string     // last group of the current page
	more      bool          // a further page of groups may follow
	start     search.Cursor // of each group: a cohort has been as far as that
	at        search.Cursor
	strict    bool // order rows of equal age by key: some of them were left
	started   bool
	remaining int64
}

func (k *keyset) next(worker int) *turn {
	switch {
	case len(k.queue) > 0 && (k.single || len(k.cohorts) == 0 && len(k.fresh) == 0):
		k.single = false
		return k.nextTenant(worker)
	case len(k.cohorts) > 0:
		c := k.cohorts[0]
		k.cohorts, k.single = k.cohorts[1:], true
		return k.nextCohort(worker, c)
	}
	switch tenants := k.takeFresh(); {
	case len(tenants) > 1:
		k.single = true
		return k.nextCohort(worker, &cohort{tenants: tenants})
	case len(k.queue) > 0:
		return k.nextTenant(worker)
	}
	return k.nextPage()
}

// takeFresh takes the next tenants that go in step. Those that go alone are queued.
func (k *keyset) takeFresh() (tenants []*plan.TenantCutoff) {
	most := k.policy.cohortSize()
	for len(k.fresh) > 0 && len(tenants) < most {
		t := k.fresh[0]
		k.fresh = k.fresh[1:]
		if most == 1 || k.policy.state.goesAlone(deletion.TenantName(t.Key)) {
			k.queue = append(k.queue, &tenantWalk{tenant: t})
			if most == 1 {
				break
			}
			continue
		}
		tenants = append(tenants, t)
	}
	if len(tenants) == 1 {
		k.queue = append(k.queue, &tenantWalk{tenant: tenants[0]})
		return nil
	}
	return tenants
}

// nextTenant is a slice of one tenant.
func (k *keyset) nextTenant(worker int) *turn {
	t := k.queue[0]
	k.queue = k.queue[1:]
	more := false
	return &turn{
		do: func(ctx context.Context) (err error) {
			more, err = k.slice(ctx, k.policy.batchers[worker], t)
			return err
		},
		done: func() {
			if more {
				k.queue = append(k.queue, t)
			} else if t.remaining > 0 {
				k.open[deletion.TenantName(t.tenant.Key)] = true
			}
		},
	}
}

// nextCohort is a slice of many tenants.
func (k *keyset) nextCohort(worker int, c *cohort) *turn {
	more := false
	c.open = map[string]bool{}
	return &turn{
		do: func(ctx context.Context) (err error) {
			more, err = c.slice(ctx, k.policy, k.policy.batchers[worker])
			return err
		},
		done: func() {
			maps.Copy(k.open, c.open)
			k.queue, c.aside = append(k.queue, c.aside...), nil
			k.cohorts, c.apart = append(k.cohorts, c.apart...), nil
			if more {
				k.cohorts = append(k.cohorts, c)
			}
		},
	}
}

// nextPage reads the next page of tenants; nil: there is none.
func (k *keyset) nextPage() *turn {
	if k.reading || k.after >= k.policy.cutoffCount {
		return nil
	}
	k.reading = true
	var page []*plan.TenantCutoff
	return &turn{
		do: func(ctx context.Context) (err error) {
			return k.policy.search("searching for tenants with something due", func(p *plan.Plan) error {
				page, err = k.page(ctx, p)
				return err
			})
		},
		done: func() {
			k.reading = false
			k.after += search.TenantPage
			k.fresh = append(k.fresh, page...)
		},
	}
}

func (k *keyset) unfinished() map[string]bool {
	names := maps.Clone(k.open)
	for _, t := range k.queue {
		names[deletion.TenantName(t.tenant.Key)] = true
	}
	for _, t := range k.fresh {
		names[deletion.TenantName(t.Key)] = true
	}
	for _, c := range k.cohorts {
		for _, t := range c.tenants {
			names[deletion.TenantName(t.Key)] = true
		}
	}
	return names
}

// page reads which of the run's next tenants have something due still.
func (k *keyset) page(ctx context.Context, p *plan.Plan) (page []*plan.TenantCutoff, err error) {
	w := k.policy
	err = w.run.withServer(ctx, func() error {
		page = nil
		return w.run.query(ctx, w.plan.ReadingPath(), dueTimeout, w.dueSQL(p, k.after), func(rows pgx.Rows) error {
			var x plan.TenantCutoff
			_, err := pgx.ForEachRow(rows, []any{&x.Key, &x.Cutoff}, func() error {
				if !w.tenantFailed(x.Key) {
					page = append(page, &plan.TenantCutoff{Key: x.Key, Cutoff: x.Cutoff, ReadAt: time.Now()})
				}
				return nil
			})
			return err
		})
	})
	return page, err
}

// slice works on one tenant for a while; false: the tenant is done.
func (k *keyset) slice(ctx context.Context, b *batcher, t *tenantWalk) (bool, error) {
	w := k.policy
	ends := time.Now().Add(sliceTime)
	for !w.stopping() && ctx.Err() == nil && time.Now().Before(ends) {
		if active, err := w.refresh(ctx, []*plan.TenantCutoff{t.tenant}); err != nil || !active[t.tenant] {
			return false, err
		}
		if len(t.groups) == 0 {
			if t.started && !t.more {
				return false, nil
			}
			if err := w.searchRows(func(p *plan.Plan) error { return k.groups(ctx, p, t) }); err != nil {
				return false, err
			}
			continue
		}
		if err := k.batch(ctx, b, t); err != nil {
			return false, err
		}
		if w.tenantFailed(t.tenant.Key) {
			return false, nil
		}
	}
	return true, nil
}

// groups reads the next page of groups. A tenant whose key is a column of the root is one
// group.
func (k *keyset) groups(ctx context.Context, p *plan.Plan, t *tenantWalk) error {
	t.started, t.more = true, false
	t.at, t.strict = t.start, t.start.Key != nil
	switch {
	case p.NoTenant:
		t.groups = [][]*string{nil}
		return nil
	case len(p.Hops) == 0:
		t.groups = [][]*string{{t.tenant.Key}}
		return nil
	}
	s := search.GroupsSQL(p, t.tenant, t.after, groupPage)
	return k.policy.run.withServer(ctx, func() error {
		t.groups = nil
		return k.policy.run.query(ctx, k.policy.plan.ReadingPath(), searchTimeout, s, func(rows pgx.Rows) error {
			group := make([]*string, len(p.Hops[0].To))
			_, err := pgx.ForEachRow(rows, pg.Pointers(group), func() error {
				t.groups = append(t.groups, append([]*string(nil), group...))
				return nil
			})
			if n := len(t.groups); n == groupPage {
				t.more, t.after = true, t.groups[n-1]
			}
			return err
		})
	})
}

// batch collects candidates from as many groups as fill a batch, deletes them and advances the
// cursor.
func (k *keyset) batch(ctx context.Context, b *batcher, t *tenantWalk) error {
	w := k.policy
	want := b.nextSize()
	var cands []deletion.Candidate
	room := w.plan.Policy.Limits.Bytes
	for full := false; len(t.groups) > 0 && !full; {
		var found []deletion.Candidate
		var ended bool
		err := w.searchRows(func(p *plan.Plan) (err error) {
			found, ended, err = k.search(ctx, p, t, want-len(cands), room)
			return err
		})
		if err != nil {
			return err
		}
		for _, c := range found {
			room -= c.Bytes
		}
		cands = append(cands, found...)
		if !ended {
			break // the batch is full, or all rows were rejected so far: continue next time
		}
		t.groups = t.groups[1:]
		t.at, t.strict = t.start, t.start.Key != nil
		full = len(cands) >= want || room <= 0
	}
	if len(cands) == 0 {
		return nil
	}
	o, err := w.delete(ctx, b, t.tenant, cands)
	t.remaining += o.Remaining
	if o.Roots < int64(len(cands)) {
		t.strict = true
	}
	return err
}

// search reads candidates of the first group and advances the cursor; ended: the group has no
// more.
func (k *keyset) search(ctx context.Context, p *plan.Plan, t *tenantWalk, want int, room int64) (cands []deletion.Candidate, ended bool, err error) {
	limit := want
	if p.Policy.Where.IsSet() || p.Age.Skewed() {
		limit += readAhead
	}
	// Kept rows stay, so only the key leads past those of equal age.
	byKey := p.KeyInIndex || t.strict || p.Keeps()
	s := search.WalkSQL(p, t.tenant, t.groups[0], t.at, byKey, limit)
	var found reading
	err = k.policy.run.withServer(ctx, func() error {
		found = reading{want: want, room: room, columns: len(p.Key)}
		return k.policy.run.query(ctx, k.policy.plan.ReadingPath(), searchTimeout, s, found.scan)
	})
	if err != nil {
		return nil, false, err
	}
	if !found.full && found.read < limit {
		return found.cands, true, nil
	}
	if !byKey && len(found.cands) == 0 {
		// Every row read was rejected. From here on order by key too, or rows of equal age
		// would be read again.
		t.strict = true
	}
	t.move(found.last, search.KeyAfterAge(p, found.lastKey), byKey)
	return found.cands, false, nil
}

// reading is the result of one search in a group.
type reading struct {
	want    int   // number of candidates
	room    int64 // their bytes; the first may exceed it
	columns int   // of the key

	cands   []deletion.Candidate
	read    int // rows, including rejected ones
	full    bool
	last    string // age and key of the last row
	lastKey []*string
}

func (r *reading) scan(rows pgx.Rows) error {
	for rows.Next() {
		var matches bool
		c := deletion.Candidate{Key: make([]*string, r.columns)}
		var at string
		if err := rows.Scan(append([]any{&at, &matches, &c.Bytes}, pg.Pointers(c.Key)...)...); err != nil {
			return err
		}
		if len(r.cands) >= r.want || len(r.cands) > 0 && r.room < c.Bytes {
			// Leave the row for the next batch.
			r.full = true
			rows.Close()
			break
		}
		r.read++
		r.last, r.lastKey = at, c.Key
		if matches {
			r.room -= c.Bytes
			r.cands = append(r.cands, c)
		}
	}
	return rows.Err()
}

// move puts the cursor behind a row. Without the key in the order, rows of its age are read
// again.
func (t *tenantWalk) move(age string, rest []*string, byKey bool) {
	if !byKey {
		rest = nil
	} else if rest == nil {
		rest = []*string{}
	}
	t.at = search.Cursor{Set: true, Age: age, Key: rest}
}
