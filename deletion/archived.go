package deletion

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// archivedDeleter deletes what was copied, and only that. The rows and their versions are those of
// the copy; nothing is searched again. All rows are locked by location, level by level, parents
// first, so that nothing new can reference them, and the versions that were locked are compared: a row
// that has moved meanwhile is missing. Statements that begin later compare the rows behind every edge,
// and what the references hold that are emptied. Equal versions hold equal references, so a set in
// which no row is missing, and behind which no row is a stranger, is what collecting the rows again
// would find. The same version has the same content only on the same server, running on, in the
// same files, with the same columns and types; that is compared too.
type archivedDeleter struct{}

func (archivedDeleter) traversal(p *plan.Plan) *plan.Traversal { return p.Whole }

func (archivedDeleter) checksLimits() bool { return true } // the copy did

func (archivedDeleter) statementTimeout(l policy.Limits, singleRoot bool) time.Duration {
	return usualTimeout(l, singleRoot)
}

func (archivedDeleter) delete(ctx context.Context, tx *Tx) (o Outcome, err error) {
	if tx.Copied.piece != nil {
		return tx.deletePiece(ctx)
	}
	part := tx.Copied.parts[tx.Part]
	if o.Kept = int64(part.kept); part.keys.Len() == 0 {
		return o, nil
	}
	o.Roots = int64(part.keys.Len())
	if err := tx.deleteCollected(ctx, tx.plan.Whole, part.rows, part.keys); err != nil {
		return o, err
	}
	return o, tx.checkCounters(ctx)
}

// deleteArchived deletes the candidates of all parts, if everything is what was copied.
func (tx *Tx) deleteArchived(ctx context.Context) error {
	if tx.Copied.piece == nil { // of a piece, the root is locked first
		if err := tx.compare(ctx); err != nil {
			return err
		}
	}
	for _, p := range tx.Parts {
		tx.Share = p
		if err := tx.deletePart(ctx); err != nil {
			return tx.named(err)
		}
	}
	if tx.Touched() == 0 {
		return nil // the root of a piece is no longer expired
	}
	return tx.checkEmptied()
}

// compare locks the rows of the copy and compares them with it. Any difference is ErrChanged.
func (tx *Tx) compare(ctx context.Context) error {
	c := tx.Copied
	batch := &pgx.Batch{}
	var now shape
	facts := tx.plan.ShapeSQL()
	batch.Queue(facts.String(), facts.Args...).Query(now.scan())
	locked, later := c.prints(collected.Locked), c.prints(collected.Unlocked)
	locked.queueVersions(batch)
	locked.queueEmptied(batch)
	later.queueEmptied(batch)
	s, edges := collected.StrangersSQL(tx.plan.Whole, c.rows, tx.plan.Edges)
	strangers := make([]int64, len(edges))
	if s != nil {
		batch.Queue(s.String(), s.Args...).Query(pg.ScanOne(pg.Pointers(strangers)...))
	}
	if err := pg.Send(ctx, tx.Conn, batch); err != nil {
		return fmt.Errorf("locking and comparing rows of %s and its dependents: %w", tx.plan.Root.Table.Name, err)
	}
	locked.settle()
	later.settle()
	tx.deletedAt = time.UnixMicro(now.at).UTC()
	if now.at = c.shape.at; now != c.shape {
		return fmt.Errorf("%w: the server was started again or promoted, a table was rewritten, or a column or a type is another than when they were copied", ErrChanged)
	}
	for i, e := range edges {
		if strangers[i] != 0 {
			return fmt.Errorf("%w: rows of %s were not copied", ErrChanged, e.Child.Table.Name)
		}
	}
	later.versions = locked.versions
	if err := later.same(c); err != nil {
		return err
	}
	return tx.compareKept(ctx)
}

// compareKept makes sure that nothing has come to keep a root of the copy.
func (tx *Tx) compareKept(ctx context.Context) error {
	c := tx.Copied
	if !tx.plan.Keeps() || c.roots == 0 {
		return nil
	}
	free, err := tx.free(ctx, c.rows, c.roots)
	if err == nil && len(free) != c.roots {
		err = fmt.Errorf("%w: rows of %s are kept that were not when they were copied", ErrChanged, tx.plan.Root.Table.Name)
	}
	return err
}

// checkCounters makes sure that nothing went but what was copied: what ON DELETE, or a trigger, did
// to the tables besides shows in the counters.
func (tx *Tx) checkCounters(ctx context.Context) error {
	batch := &pgx.Batch{}
	tx.queueCounters(batch)
	if err := pg.Send(ctx, tx.Conn, batch); err != nil {
		return fmt.Errorf("reading counters: %w", err)
	}
	rows, nullified := tx.counted()
	for table, n := range rows {
		if n != tx.Rows[table] {
			return tx.uncopied("rows of " + table + " went that were not copied")
		}
	}
	for table, n := range nullified {
		if n != tx.Nullified[table] && !tx.plan.Watched() { // a trigger may update rows
			return tx.uncopied("rows of " + table + " were changed that were not copied")
		}
	}
	return nil
}

func (tx *Tx) uncopied(what string) error {
	if tx.plan.Watched() {
		return fmt.Errorf("%w: %s", ErrInterfered, what)
	}
	return fmt.Errorf("%w: %s", ErrChanged, what)
}

// checkEmptied makes sure that as many references were emptied as were copied.
func (tx *Tx) checkEmptied() error {
	want := map[string]int64{}
	for e, p := range tx.Copied.emptied {
		want[e.Child.Table.Name.String()] += p.rows
	}
	_, got := tx.Totals()
	for table, n := range want {
		if got[table] != n {
			return tx.uncopied("references of " + table + " were emptied that were not copied")
		}
	}
	return nil
}

// rowPrints are the prints of all rows of a copy, as some statements find them.
type rowPrints struct {
	of       *Copy
	locking  collected.Locking
	versions map[*plan.Node]rowPrint
	emptied  map[*plan.Edge]rowPrint
	read     []func()
}

func (c *Copy) prints(l collected.Locking) *rowPrints {
	return &rowPrints{of: c, locking: l, versions: map[*plan.Node]rowPrint{}, emptied: map[*plan.Edge]rowPrint{}}
}

// queueVersions queues the statements that print the rows, parents first. Roots that others have
// locked are not waited for.
func (p *rowPrints) queueVersions(batch *pgx.Batch) {
	c := p.of
	for _, group := range c.tx.plan.Whole.Order {
		for _, n := range group {
			if r := c.rows[n]; r != nil && r.Len() > 0 {
				locking := p.locking
				if n == c.tx.plan.Root && locking == collected.Locked {
					locking = collected.SkipLocked
				}
				found := p.print(batch, collected.VersionsSQL(r, locking))
				p.read = append(p.read, func() { p.versions[n] = *found })
			}
		}
	}
}

// queueEmptied queues those that print the references that are emptied.
func (p *rowPrints) queueEmptied(batch *pgx.Batch) {
	c, m := p.of, p.of.tx.plan.Whole
	for _, e := range m.Clears {
		if r := c.rows[e.Parent]; r != nil && r.Len() > 0 {
			found := p.print(batch, collected.EmptiedSQL(e, m, c.rows, p.locking))
			p.read = append(p.read, func() { p.emptied[e] = *found })
		}
	}
}

func (p *rowPrints) print(batch *pgx.Batch, s *pg.Statement) *rowPrint {
	found := &rowPrint{}
	batch.Queue(s.String(), s.Args...).Query(pg.ScanOne(&found.rows, &found.digest))
	return found
}

// settle takes what was read.
func (p *rowPrints) settle() {
	for _, read := range p.read {
		read()
	}
}

// same is ErrChanged where the rows are not those of the copy.
func (p *rowPrints) same(c *Copy) error {
	for n, want := range c.versions {
		if p.versions[n] != want {
			return fmt.Errorf("%w: rows of %s are not those that were copied", ErrChanged, n.Table.Name)
		}
	}
	for e, want := range c.emptied {
		if p.emptied[e] != want {
			return fmt.Errorf("%w: references of %s are not those that were copied", ErrChanged, e.Child.Table.Name)
		}
	}
	return nil
}
