package purge

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/search"
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
	if parts := s.take(); len(parts) > 0 {
		return &turn{
			do: func(ctx context.Context) error { return s.delete(ctx, s.policy.batchers[worker], parts) },
			done: func() {
				for _, t := range parts {
					name := deletion.TenantName(t.tenant.Key)
					delete(s.busy, name)
					if t.remaining || len(t.cands) > 0 {
						s.open[name] = true
					}
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
			s.after, s.ended = st.end, st.read < search.SweepRows
			s.queue = append(s.queue, st.found...)
		},
	}
}

// take takes tenants of the queue that nobody works on: as many as go in step, but one that
// stood in the way of others by itself.
func (s *sweep) take() (taken []*tenantCandidates) {
	most := s.policy.cohortSize()
	s.queue = slices.DeleteFunc(s.queue, func(t *tenantCandidates) bool {
		name := deletion.TenantName(t.tenant.Key)
		if len(taken) == most || s.busy[name] || s.policy.state.goesAlone(name) && len(taken) > 0 {
			return false
		}
		if s.policy.state.goesAlone(name) {
			most = 1
		}
		s.busy[name] = true
		taken = append(taken, t)
		return true
	})
	return taken
}

func (s *sweep) unfinished() map[string]bool {
	names := maps.Clone(s.open)
	for _, t := range s.queue {
		names[deletion.TenantName(t.tenant.Key)] = true
	}
	return names
}

// delete deletes the candidates of tenants within a stretch. What is left of those that are
// given up, or of which nothing may go any more, is for the next pass.
func (s *sweep) delete(ctx context.Context, b *batcher, all []*tenantCandidates) error {
	w := s.policy
	for {
		parts, of := s.batch(b, all)
		if len(parts) == 0 {
			return nil
		}
		if w.stopping() || ctx.Err() != nil {
			return nil
		}
		if err := w.deleteParts(ctx, b, parts); err != nil {
			return err
		}
		for i, p := range parts {
			of[i].remaining = of[i].remaining || p.Outcome.Remaining > 0
			if !p.Alone {
				of[i].cands = of[i].cands[len(p.Candidates):]
			}
		}
	}
}

// batch is the next batch of a stretch, and whose candidates its parts have. A tenant that
// stood in the way of others comes last, and alone.
func (s *sweep) batch(b *batcher, all []*tenantCandidates) (parts []*deletion.Part, of []*tenantCandidates) {
	want, room := b.nextSize(), s.policy.plan.Policy.Limits.Bytes
	for _, alone := range []bool{false, true} {
		for _, t := range all {
			if len(t.cands) == 0 || s.policy.state.goesAlone(deletion.TenantName(t.tenant.Key)) != alone || s.policy.tenantFailed(t.tenant.Key) || want <= 0 || room <= 0 {
				continue
			}
			n := fitting(t.cands, want, room)
			for _, c := range t.cands[:n] {
				room -= c.Bytes
			}
			want -= n
			parts, of = append(parts, deletion.NewPart(t.tenant, t.cands[:n])), append(of, t)
			if alone {
				return parts, of
			}
		}
		if len(parts) > 0 {
			return parts, of
		}
	}
	return nil, nil
}

// fitting is how many candidates fit in a batch.
func fitting(cands []deletion.Candidate, size int, bytes int64) int {
	n := 0
	for n < len(cands) && n < size {
		if bytes -= cands[n].Bytes; bytes < 0 && n > 0 {
			break
		}
		n++
	}
	return n
}

// tenantCandidates are one tenant's candidates of a stretch.
type tenantCandidates struct {
	tenant    *plan.TenantCutoff
	cands     []deletion.Candidate
	remaining bool // some of those that were tried stay
}

// stretch is the result of one read.
type stretch struct {
	found []*tenantCandidates
	end   []*string // key of the last row; in an age sweep its age precedes it
	read  int       // rows of the root
}

func (s *sweep) read(ctx context.Context, p *plan.Plan) (st stretch, err error) {
	w := s.policy
	stmt := search.SweepSQL(p, w.scope(), s.after, w.latest, search.SweepRows)
	err = w.run.withServer(ctx, func() error {
		st = stretch{end: s.after}
		return w.run.query(ctx, w.plan.ReadingPath(), dueTimeout, stmt, func(rows pgx.Rows) error {
			byTenant := map[string]*tenantCandidates{}
			for rows.Next() {
				var kind int
				var number int64
				var key, cutoff *string
				var age *string
				c := deletion.Candidate{Key: make([]*string, len(w.plan.Key))}
				if err := rows.Scan(append([]any{&kind, &number, &key, &cutoff, &age}, pg.Pointers(c.Key)...)...); err != nil {
					return err
				}
				if kind == 1 {
					st.read, st.end = int(number), c.Key
					if w.plan.Strategy == plan.AgeSweep {
						st.end = append([]*string{age}, c.Key...)
					}
					continue
				}
				c.Bytes = number
				t := byTenant[deletion.TenantName(key)]
				if t == nil {
					t = &tenantCandidates{tenant: &plan.TenantCutoff{Key: key, Cutoff: *cutoff, ReadAt: time.Now()}}
					byTenant[deletion.TenantName(key)] = t
					st.found = append(st.found, t)
				}
				t.cands = append(t.cands, c)
			}
			return rows.Err()
		})
	})
	return st, err
}
