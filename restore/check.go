package restore

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
)

// Load loads a segment into temporary tables like today's, and rolls back. Its error names the
// column that does not fit any more.
func Load(ctx context.Context, pool *pgxpool.Pool, c *archive.Copy) error {
	s := &segment{run: &run{Options: Options{Fire: true}, pool: pool, trial: true}, Chosen: &Chosen{Entry: &archive.Entry{Policy: c.Policy}}, from: sourceOf(c), lockTimeout: lockTimeout}
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer pg.Rollback(tx)
	l, err := s.load(ctx, tx, nil)
	if err == nil {
		s.groups = &groups{of: make([]int32, l.count())} // for the check of values; they are not written
		err = l.refuseLossy(ctx)
	}
	switch {
	case err == nil:
		return nil
	case tx.Conn().IsClosed() || ctx.Err() != nil:
		return &endError{err}
	}
	if unloadable, is := errors.AsType[*segmentError](s.unloadable(err)); is {
		return unloadable.err
	}
	return err
}

const lockTimeout = 10 * time.Second

// Check looks, with the newest segment of each policy, for what would prevent restoring it. Its error
// is the first such thing. Nothing is written.
func Check(ctx context.Context, a *archive.Archive, pool *pgxpool.Pool, chosen []*Chosen, o Options) error {
	newest := map[string]*Chosen{}
	for _, c := range chosen {
		if n := newest[c.Entry.Policy]; n == nil || c.last().After(n.last()) {
			newest[c.Entry.Policy] = c
		}
	}
	for _, c := range newest {
		if err := checkOne(ctx, a, pool, c, o); err != nil {
			return err
		}
	}
	return nil
}

func checkOne(ctx context.Context, a *archive.Archive, pool *pgxpool.Pool, c *Chosen, o Options) error {
	copied, err := a.Fetch(ctx, c.object())
	if err != nil {
		if _, damaged := errors.AsType[*archive.DamagedError](err); damaged {
			return nil // named later; the others go on
		}
		return err
	}
	o.Wait = nil
	s := &segment{run: &run{Options: o, pool: pool}, Chosen: c, from: sourceOf(copied), lockTimeout: lockTimeout}
	return errors.Join(s.checkTables(ctx), copied.Close())
}

// checkTables looks at the tables of a segment.
func (s *segment) checkTables(ctx context.Context) error {
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer pg.Rollback(tx)
	for i := range s.from.Edges {
		if e := &s.from.Edges[i]; e.Where != "" {
			if _, err := s.condition(e); err != nil {
				return err
			}
		}
	}
	for i := range s.from.Tables {
		f := &s.from.Tables[i]
		if p := s.from.Partition; p != nil && f.Table.Name == p.Name {
			continue // it will be made again
		}
		if _, err := s.target(ctx, tx, i, f); err != nil {
			return err
		}
	}
	return nil
}
