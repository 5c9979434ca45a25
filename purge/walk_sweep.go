package purge

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/plan"
)

// sweep walks the root by key or age from start to end, all tenants together.
type sweep struct {
	policy  *policyRun
	after   []*string
	ended   bool
	reading bool // a read is in progress
	queue   []*tenantCandidates
	busy    map[string]bool // tenants being worked on
	open    map[string]bool // tenants with rows left by this pass
}

func (s *sweep) next(worker int) *turn {
	if i := slices.IndexFunc(s.queue, func(t *tenantCandidates) bool { return !s.busy[tenantName(t.tenant.Key)] }); i >= 0 {
		t := s.queue[i]
		s.queue = slices.Delete(s.queue, i, i+1)
		name := tenantName(t.tenant.Key)
		s.busy[name] = true
		left := false
		return &turn{
			do: func(ctx context.Context) (err error) {
				left, err = s.delete(ctx, s.policy.batchers[worker], t)
				return err
			},
			done: func() {
				delete(s.busy, name)
				if left {
					s.open[name] = true
				}
			},
		}
	}
	if s.reading || s.ended || len(s.queue) > 0 {
		return nil
	}
	if s.policy.plan.Strategy == plan.AgeSweep && s.policy.latest == "" {
		return nil // no tenant has a cutoff
	}
	s.reading = true
	var st stretch
	return &turn{
		do: func(ctx context.Context) (err error) {
			return s.policy.searchRows(func(p *plan.Plan) error {
				st, err = s.read(ctx, p)
				return err
			})
		},
		done: func() {
			s.reading = false
			s.after, s.ended = st.end, st.read < plan.SweepRows
			s.queue = append(s.queue, st.found...)
		},
	}
}

func (s *sweep) unfinished() map[string]bool {
	names := maps.Clone(s.open)
	for _, t := range s.queue {
		names[tenantName(t.tenant.Key)] = true
	}
	return names
}

// delete deletes one tenant's candidates of a stretch; left: some remain.
func (s *sweep) delete(ctx context.Context, b *batcher, t *tenantCandidates) (left bool, err error) {
	w := s.policy
	for len(t.cands) > 0 && !w.tenantFailed(t.tenant.Key) {
		if w.stopping() || ctx.Err() != nil {
			return true, nil
		}
		if ok, err := w.refresh(ctx, t.tenant); err != nil || !ok {
			return left, err
		}
		n := fitting(t.cands, b.nextSize(), w.plan.Policy.Limits.Bytes)
		o, err := w.delete(ctx, b, t.tenant, t.cands[:n])
		if err != nil {
			return left, err
		}
		left = left || o.remaining > 0
		t.cands = t.cands[n:]
	}
	return left, nil
}

// fitting is how many candidates fit in a batch.
func fitting(cands []candidate, size int, bytes int64) int {
	n := 0
	for n < len(cands) && n < size {
		if bytes -= cands[n].bytes; bytes < 0 && n > 0 {
			break
		}
		n++
	}
	return n
}

// tenantCandidates are one tenant's candidates of a stretch.
type tenantCandidates struct {
	tenant *plan.TenantCutoff
	cands  []candidate
}

// stretch is the result of one read.
type stretch struct {
	found []*tenantCandidates
	end   []*string // key of the last row; in an age sweep its age precedes it
	read  int       // rows of the root
}

func (s *sweep) read(ctx context.Context, p *plan.Plan) (st stretch, err error) {
	w := s.policy
	stmt := p.SweepSQL(w.scope(), s.after, w.latest, plan.SweepRows)
	err = w.run.withServer(ctx, func() error {
		st = stretch{end: s.after}
		return w.run.query(ctx, w.plan.ReadingPath(), dueTimeout, stmt, func(rows pgx.Rows) error {
			byTenant := map[string]*tenantCandidates{}
			for rows.Next() {
				var kind int
				var number int64
				var key, cutoff *string
				var age *string
				c := candidate{key: make([]*string, len(w.plan.Key))}
				into := []any{&kind, &number, &key, &cutoff, &age}
				for i := range c.key {
					into = append(into, &c.key[i])
				}
				if err := rows.Scan(into...); err != nil {
					return err
				}
				if kind == 1 {
					st.read, st.end = int(number), c.key
					if w.plan.Strategy == plan.AgeSweep {
						st.end = append([]*string{age}, c.key...)
					}
					continue
				}
				c.bytes = number
				t := byTenant[tenantName(key)]
				if t == nil {
					t = &tenantCandidates{tenant: &plan.TenantCutoff{Key: key, Cutoff: *cutoff, ReadAt: time.Now()}}
					byTenant[tenantName(key)] = t
					st.found = append(st.found, t)
				}
				t.cands = append(t.cands, c)
			}
			return rows.Err()
		})
	})
	return st, err
}
