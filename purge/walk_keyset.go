package purge

import (
	"context"
	"maps"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/plan"
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
	queue   []*tenantWalk
	reading bool            // a page read is in progress
	after   int64           // rank of the last tenant read
	open    map[string]bool // tenants with rows left by this pass
}

// tenantWalk is the position in one tenant's rows.
type tenantWalk struct {
	tenant    *plan.TenantCutoff
	groups    [][]*string
	after     []*string // last group of the current page
	more      bool      // another page of groups may follow
	at        plan.Cursor
	strict    bool // order rows of equal age by key: some of them were left
	started   bool
	remaining int64
}

func (k *keyset) next(worker int) *turn {
	if len(k.queue) > 0 {
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
					k.open[tenantName(t.tenant.Key)] = true
				}
			},
		}
	}
	if k.reading || k.after >= k.policy.cutoffCount {
		return nil
	}
	k.reading = true
	var page []*tenantWalk
	return &turn{
		do: func(ctx context.Context) (err error) {
			return k.policy.search("searching for tenants with something due", func(p *plan.Plan) error {
				page, err = k.page(ctx, p)
				return err
			})
		},
		done: func() {
			k.reading = false
			k.after += plan.TenantPage
			k.queue = append(k.queue, page...)
		},
	}
}

func (k *keyset) unfinished() map[string]bool {
	names := maps.Clone(k.open)
	for _, t := range k.queue {
		names[tenantName(t.tenant.Key)] = true
	}
	return names
}

// page reads which of the run's next tenants still have something due.
func (k *keyset) page(ctx context.Context, p *plan.Plan) (page []*tenantWalk, err error) {
	w := k.policy
	err = w.run.withServer(ctx, func() error {
		page = nil
		return w.run.query(ctx, w.plan.ReadingPath(), dueTimeout, w.dueSQL(p, k.after), func(rows pgx.Rows) error {
			var x plan.TenantCutoff
			_, err := pgx.ForEachRow(rows, []any{&x.Key, &x.Cutoff}, func() error {
				if !w.tenantFailed(x.Key) {
					page = append(page, &tenantWalk{tenant: &plan.TenantCutoff{Key: x.Key, Cutoff: x.Cutoff, ReadAt: time.Now()}})
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
		if ok, err := w.refresh(ctx, t.tenant); err != nil || !ok {
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
	t.at, t.strict = plan.Cursor{}, false
	switch {
	case p.NoTenant:
		t.groups = [][]*string{nil}
		return nil
	case len(p.Hops) == 0:
		t.groups = [][]*string{{t.tenant.Key}}
		return nil
	}
	s := p.GroupsSQL(t.tenant, t.after, groupPage)
	return k.policy.run.withServer(ctx, func() error {
		t.groups = nil
		return k.policy.run.query(ctx, k.policy.plan.ReadingPath(), searchTimeout, s, func(rows pgx.Rows) error {
			group := make([]*string, len(p.Hops[0].To))
			into := make([]any, len(group))
			for i := range group {
				into[i] = &group[i]
			}
			_, err := pgx.ForEachRow(rows, into, func() error {
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
	var cands []candidate
	room := w.plan.Policy.Limits.Bytes
	for full := false; len(t.groups) > 0 && !full; {
		var found []candidate
		var ended bool
		err := w.searchRows(func(p *plan.Plan) (err error) {
			found, ended, err = k.search(ctx, p, t, want-len(cands), room)
			return err
		})
		if err != nil {
			return err
		}
		for _, c := range found {
			room -= c.bytes
		}
		cands = append(cands, found...)
		if !ended {
			break // the batch is full, or all rows were rejected so far: continue next time
		}
		t.groups = t.groups[1:]
		t.at, t.strict = plan.Cursor{}, false
		full = len(cands) >= want || room <= 0
	}
	if len(cands) == 0 {
		return nil
	}
	o, err := w.delete(ctx, b, t.tenant, cands)
	t.remaining += o.remaining
	if o.roots < int64(len(cands)) {
		t.strict = true
	}
	return err
}

// search reads candidates of the first group and advances the cursor; ended: the group has no
// more.
func (k *keyset) search(ctx context.Context, p *plan.Plan, t *tenantWalk, want int, room int64) (cands []candidate, ended bool, err error) {
	limit := want
	if p.Policy.Where.IsSet() || p.Age.Skewed() {
		limit += readAhead
	}
	// Kept rows stay, so only the key leads past those of equal age.
	byKey := p.KeyInIndex || t.strict || p.Keeps()
	s := p.WalkSQL(t.tenant, t.groups[0], t.at, byKey, limit)
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
	t.move(found.last, p.KeyAfterAge(found.lastKey), byKey)
	return found.cands, false, nil
}

// reading is the result of one search in a group.
type reading struct {
	want    int   // number of candidates
	room    int64 // their bytes; the first may exceed it
	columns int   // of the key

	cands   []candidate
	read    int // rows, including rejected ones
	full    bool
	last    string // age and key of the last row
	lastKey []*string
}

func (r *reading) scan(rows pgx.Rows) error {
	for rows.Next() {
		var matches bool
		c := candidate{key: make([]*string, r.columns)}
		var at string
		into := []any{&at, &matches, &c.bytes}
		for i := range c.key {
			into = append(into, &c.key[i])
		}
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if len(r.cands) >= r.want || len(r.cands) > 0 && r.room < c.bytes {
			// Leave the row for the next batch.
			r.full = true
			rows.Close()
			break
		}
		r.read++
		r.last, r.lastKey = at, c.key
		if matches {
			r.room -= c.bytes
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
	t.at = plan.Cursor{Set: true, Age: age, Key: rest}
}
