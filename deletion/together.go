package deletion

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// Where a batch locks and collects rows before it deletes them, each tenant would cost it some ten
// statements. Here all tenants share them: every row carries the ordinal of its tenant along. What
// is deleted is what the statements for one tenant would delete. Only an error names no tenant:
// then the batch is redone tenant by tenant (Options.Together).

// together is the rows of a batch of many tenants.
type together struct {
	*Tx
	known  collection
	owners *pg.Column // the key of each root's tenant
}

// deleteTogether deletes the candidates of all parts.
func (tx *Tx) deleteTogether(ctx context.Context) error {
	t := &together{Tx: tx}
	if err := t.collect(ctx); err != nil {
		return err
	}
	tx.WAL[1] = tx.WAL[0]
	if t.known[tx.plan.Root].Len() > 0 {
		if err := t.delete(ctx); err != nil {
			return err
		}
	}
	for _, p := range tx.Parts {
		var err error
		if tx.Opts.Method == Proven && time.Since(tx.began) > provenTime {
			return ErrSlow
		}
		tx.Share = p
		if p.Now, err = tx.stillDue(ctx, p.Now); err != nil {
			return tx.named(err)
		}
	}
	return nil
}

// collect locks the roots that are free, and collects the rows below them, parents first.
func (t *together) collect(ctx context.Context) error {
	tx := t.Tx
	roots := collected.NewOwned(tx.plan.Root)
	if err := tx.read(ctx, tx.lockOwnedSQL(), roots.Scan()); err != nil {
		return fmt.Errorf("locking rows of %s: %w", tx.plan.Root.Table.Name, err)
	}
	t.owners = &pg.Column{}
	for i := range roots.Len() {
		at, err := roots.Owner(i)
		if err != nil {
			return fmt.Errorf("locking rows of %s: %w", tx.plan.Root.Table.Name, err)
		}
		t.owners.Add(tx.Parts[at].Tenant.Key)
	}
	var err error
	t.known, err = tx.collect(ctx, t.Traversal(), collection{tx.plan.Root: roots}, tx.plan.Policy.Limits.TotalRows)
	return err
}

// lockOwnedSQL locks the roots of all parts.
func (tx *Tx) lockOwnedSQL() *pg.Statement {
	if r := tx.Parts[0].Range; r != nil { // then that of all
		return collected.LockOwnedRangeSQL(tx.plan, tx.scope, tx.tenants(), r)
	}
	return collected.LockOwnedRootsSQL(tx.plan, tx.scope, tx.tenants(), tx.candidates())
}

// candidates are those of all parts.
func (tx *Tx) candidates() collected.Candidates {
	c := collected.Candidates{Keys: pg.NewValues(len(tx.plan.Key)), Owners: &pg.Column{}, Tenants: &pg.Column{}}
	for i, p := range tx.Parts {
		c.Keys.AddAll(p.keys)
		ordinal := strconv.Itoa(i + 1)
		for range p.keys.Len() {
			c.Owners.Add(&ordinal)
			c.Tenants.Add(p.Tenant.Key)
		}
	}
	return c
}

// tenants are those of the parts, in their order.
func (tx *Tx) tenants() (tenants []*plan.TenantCutoff) {
	for _, p := range tx.Parts {
		tenants = append(tenants, p.Tenant)
	}
	return tenants
}

// delete deletes what was collected, and what stands behind it.
func (t *together) delete(ctx context.Context) error {
	batch := &pgx.Batch{}
	t.queueLeaves(batch)
	unchecked := t.Opts.Method == Proven
	if unchecked {
		if err := t.prove(ctx, batch, t.known); err != nil {
			return err
		}
		if err := t.withinProof(t.Touched(), t.known); err != nil {
			return err
		}
		batch = &pgx.Batch{}
		batch.Queue("SET LOCAL session_replication_role = replica")
	}
	t.queueCollected(batch)
	if unchecked {
		// Reset before COMMIT: deferred triggers fire there and need the ordinary role.
		batch.Queue("SET LOCAL session_replication_role = origin")
	}
	t.queueCounters(batch)
	if err := pg.Send(ctx, t.Conn, batch); err != nil {
		return fmt.Errorf("deleting from %s and its dependents: %w", t.plan.Root.Table.Name, err)
	}
	return t.settle()
}

// queueLeaves queues the statements that clear references, and delete the rows that were not
// collected.
func (t *together) queueLeaves(batch *pgx.Batch) {
	m := t.Traversal()
	for _, e := range m.Clears {
		if r := t.known[e.Parent]; r != nil && r.Len() > 0 {
			locked := t.queueCount(batch, collected.LockClearedSQL(e, m, t.known), func(p *Share, n int64) { p.countNullified(e.Child, n) })
			s := collected.ClearSQL(&pg.Statement{}, e, m, t.known, 0)
			batch.Queue(s.String(), s.Args...).Exec(func(tag pgconn.CommandTag) error {
				if tag.RowsAffected() != *locked {
					return ErrChanged
				}
				return nil
			})
		}
	}
	for _, e := range m.Deletes {
		if r := t.known[e.Parent]; r != nil && r.Len() > 0 {
			t.queueCount(batch, collected.DeleteOwnedSQL(e, r), func(p *Share, n int64) { p.countDeleted(e.Child, n) })
		}
	}
}

// queueCount queues a statement that counts rows by tenant. It returns where their number will be.
func (t *together) queueCount(batch *pgx.Batch, s *pg.Statement, count func(*Share, int64)) (total *int64) {
	total = new(int64)
	batch.Queue(s.String(), s.Args...).Query(func(rows pgx.Rows) error {
		var owners []int32
		var counts []int64
		if err := pg.ScanOne(&owners, &counts)(rows); err != nil {
			return err
		}
		for i, o := range owners {
			count(t.Parts[o-1], counts[i])
			*total += counts[i]
		}
		return nil
	})
	return total
}

// queueCollected queues the deletion of what was collected, the roots last. It must be exactly
// that.
func (t *together) queueCollected(batch *pgx.Batch) {
	m := *t.Traversal()
	m.Deletes = nil
	for _, group := range slices.Backward(m.Order) {
		n := group[0]
		r := t.known[n]
		if r.Len() == 0 {
			continue
		}
		s := collected.DeleteCollectedSQL(n, &m, t.known, t.Opts.LockDependents)
		if n == t.plan.Root {
			s = collected.DeleteOwnedRootsSQL(t.plan, t.scope, t.tenants(), r, t.owners)
		}
		batch.Queue(s.String(), s.Args...).Exec(func(tag pgconn.CommandTag) error {
			if tag.RowsAffected() != int64(r.Len()) {
				return ErrChanged
			}
			return t.countCollected(n, r)
		})
	}
}

// countCollected counts the rows of a node for their tenants.
func (t *together) countCollected(n *plan.Node, r *collected.Rows) error {
	of := make([]int64, len(t.Parts))
	for i := range r.Len() {
		at, err := r.Owner(i)
		if err != nil {
			return fmt.Errorf("counting rows of %s: %w", n.Table.Name, err)
		}
		of[at]++
	}
	for i, p := range t.Parts {
		if p.countDeleted(n, of[i]); n == t.plan.Root {
			p.Now.Roots = of[i]
		}
	}
	return nil
}

// settle compares what was counted with the counters. If ON DELETE has done more than that, because
// rows came in meanwhile, nobody could say whose they were.
func (t *together) settle() error {
	rows, nullified := t.Totals()
	deleted, emptied := t.counted()
	for table, n := range deleted {
		if n != rows[table] {
			return ErrChanged
		}
	}
	for table, n := range emptied {
		if n != nullified[table] {
			return ErrChanged
		}
	}
	t.passCounters()
	return nil
}
