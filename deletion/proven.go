package deletion

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// The proven method skips the foreign key checks that are redundant while reaper holds its
// locks. docs/PROVEN.md has the proof and the purpose of each step. Do not remove or reorder
// steps.

// provenTime bounds a proven batch well below PostgreSQL's default deadlock_timeout of 1 s, so
// that writers waiting for the batch never run a deadlock check.
const provenTime = 700 * time.Millisecond

// ErrUnproven is a batch whose foreign keys have to be checked: rows came to reference those
// that are deleted.
var ErrUnproven = errors.New("other rows now reference the rows to delete")

// ErrSlow is a batch that took too long, and is better tried smaller.
var ErrSlow = errors.New("batch took too long")

// provenDeleter first deletes the leaves under the ordinary role. The remaining rows reference
// nothing that stays, and nothing references them, so they are deleted without checks.
type provenDeleter struct{}

func (provenDeleter) traversal(p *plan.Plan) *plan.Traversal { return p.Full }

func (provenDeleter) checksLimits() bool { return true }

func (provenDeleter) statementTimeout(policy.Limits, bool) time.Duration { return provenTime }

func (provenDeleter) delete(ctx context.Context, tx *Tx) (Outcome, error) {
	free, o, err := tx.collectFree(ctx, tx.plan.Full, false) // counted as it is deleted
	if err != nil || o.Roots == 0 {
		return o, err
	}
	if err := tx.emptyProven(ctx, free.rows); err != nil {
		return o, err
	}
	if err := tx.withinProof(tx.Total(), free.rows); err != nil {
		return o, err
	}
	return o, tx.deleteUnchecked(ctx, free.rows, free.keys)
}

// withinProof refuses more rows than a batch may hold, of so many that are gone and those that are to
// be deleted unchecked, and more time than it may take.
func (tx *Tx) withinProof(gone int64, unchecked collection) error {
	switch {
	case gone+int64(rowsIn(unchecked)) > int64(tx.plan.Policy.Limits.TotalRows):
		return ErrOverflow
	case time.Since(tx.began) > provenTime:
		return ErrSlow
	}
	return nil
}

// deleteUnchecked deletes locked roots, and all rows collected below them, as a replica, where
// no foreign key is checked.
func (tx *Tx) deleteUnchecked(ctx context.Context, known collection, keys pg.Values) error {
	batch := &pgx.Batch{}
	batch.Queue("SET LOCAL session_replication_role = replica")
	var roots int64
	for _, n := range slices.Backward(tx.plan.Nodes) {
		r := known[n]
		if r == nil || r.Len() == 0 {
			continue
		}
		if n == tx.plan.Root {
			s := collected.DeleteLockedRootsSQL(tx.plan, tx.scope, tx.Tenant, r.Slice(0, keys.Len()))
			batch.Queue(s.String(), s.Args...).Exec(func(tag pgconn.CommandTag) error {
				roots = tag.RowsAffected()
				tx.countDeleted(n, roots)
				return nil
			})
			if r = r.Slice(keys.Len(), r.Len()); r.Len() == 0 {
				continue
			}
		}
		s := collected.DeleteAtSQL(r)
		batch.Queue(s.String(), s.Args...).Exec(func(tag pgconn.CommandTag) error {
			tx.countDeleted(n, tag.RowsAffected())
			if tag.RowsAffected() != int64(r.Len()) {
				return ErrChanged
			}
			return nil
		})
	}
	// Reset before COMMIT: deferred triggers fire there and need the ordinary role.
	batch.Queue("SET LOCAL session_replication_role = origin")
	if err := pg.Send(ctx, tx.Conn, batch); err != nil {
		return fmt.Errorf("deleting from %s and its dependents: %w", tx.plan.Root.Table.Name, err)
	}
	if roots != int64(keys.Len()) {
		return tx.explainKeptRoots(ctx, keys, int64(keys.Len())-roots)
	}
	return nil
}

func rowsIn(known collection) (n int) {
	for _, r := range known {
		n += r.Len()
	}
	return n
}

// emptyProven deletes the leaves and clears references under the ordinary role, and verifies
// that nothing else references the rows to delete.
func (tx *Tx) emptyProven(ctx context.Context, known collection) error {
	m := tx.plan.Full
	batch := &pgx.Batch{}
	counted := func(s *pg.Statement, count func(int64)) {
		batch.Queue(s.String(), s.Args...).Exec(func(tag pgconn.CommandTag) error {
			count(tag.RowsAffected())
			return nil
		})
	}
	for _, e := range m.Deletes {
		if r := known[e.Parent]; r != nil && r.Len() > 0 {
			counted(collected.DeleteAllBehindSQL(e, r), func(n int64) { tx.countDeleted(e.Child, n) })
		}
	}
	for _, e := range m.Clears {
		if r := known[e.Parent]; r != nil && r.Len() > 0 {
			counted(collected.ClearSQL(&pg.Statement{}, e, m, known, 0), func(n int64) { tx.countNullified(e.Child, n) })
		}
	}
	return tx.prove(ctx, batch, known)
}

// prove sends statements that delete and clear what references rows, and verifies that nothing else
// references them.
func (tx *Tx) prove(ctx context.Context, batch *pgx.Batch, known collection) error {
	batch.Queue("SET CONSTRAINTS ALL IMMEDIATE")
	referenced := false
	s := collected.ReferencedSQL(tx.plan, known)
	batch.Queue(s.String(), s.Args...).Query(pg.ScanOne(&referenced))
	if err := pg.Send(ctx, tx.Conn, batch); err != nil {
		return fmt.Errorf("deleting the dependents of %s: %w", tx.plan.Root.Table.Name, err)
	}
	if referenced {
		return ErrUnproven
	}
	return nil
}
