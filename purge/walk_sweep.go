package purge

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// sweepRows is how many rows of the root one reading of a sweep goes over.
const sweepRows = 10_000

// sweep walks the root's key from its start to its end, all tenants together.
type sweep struct {
	work  *work
	after []*string

	open map[string]bool // tenants of which this pass left something
}

// step reads one stretch of the key and deletes what is expired in it, tenant
// by tenant.
func (s *sweep) step(ctx context.Context) (bool, error) {
	w := s.work
	found, end, read, err := s.read(ctx)
	if err != nil {
		return false, fmt.Errorf("looking for expired rows of %s: %w", w.plan.Root.Table.Name, err)
	}
	readAt := time.Now()
	if len(found) > 0 && !w.counted {
		w.counted = true
		w.run.observer.Due(w.plan.Policy.Name, w.countDue(ctx))
	}
	for _, t := range found {
		t.who.readAt = readAt
		for len(t.cands) > 0 && !w.gaveUp(t.who.Key) {
			if w.run.stopping() || ctx.Err() != nil {
				return false, nil
			}
			if ok, err := w.refresh(ctx, t.who); err != nil {
				return false, err
			} else if !ok {
				break
			}
			n := fitting(t.cands, w.run.quota(w.batcher.size), w.plan.Policy.Limits.Bytes)
			o, err := w.delete(ctx, t.who, t.cands[:n])
			if err != nil {
				return false, err
			}
			if o.left > 0 {
				s.open[tenantName(t.who.Key)] = true
			}
			t.cands = t.cands[n:]
		}
	}
	s.after = end
	return read == sweepRows, nil
}

// fitting is how many candidates make a batch.
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

// tenantCandidates are the candidates of one tenant within a stretch.
type tenantCandidates struct {
	who   *who
	cands []candidate
}

func (s *sweep) read(ctx context.Context) (found []*tenantCandidates, end []*string, read int, err error) {
	w := s.work
	sc := w.batcher.scope()
	sc.only = w.run.only()
	stmt := w.plan.sweepSQL(sc, s.after, sweepRows)
	err = w.run.withServer(ctx, func() error {
		found, end, read = nil, s.after, 0
		return w.run.read(ctx, dueTimeout, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, stmt.String(), stmt.args...)
			if err != nil {
				return err
			}
			defer rows.Close()
			for rows.Next() {
				var kind int
				var number int64
				var key, cutoff *string
				c := candidate{key: make([]*string, len(w.plan.key))}
				into := []any{&kind, &number, &key, &cutoff}
				for i := range c.key {
					into = append(into, &c.key[i])
				}
				if err := rows.Scan(into...); err != nil {
					return err
				}
				if kind == 1 {
					read, end = int(number), c.key
					continue
				}
				c.bytes = number
				i := slices.IndexFunc(found, func(t *tenantCandidates) bool { return tenantName(t.who.Key) == tenantName(key) })
				if i < 0 {
					found = append(found, &tenantCandidates{who: &who{Key: key, Cutoff: *cutoff}})
					i = len(found) - 1
				}
				found[i].cands = append(found[i].cands, c)
			}
			return rows.Err()
		})
	})
	return found, end, read, err
}
