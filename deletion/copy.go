package deletion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/collected"
	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
)

// copyTime bounds the snapshot that a copy is read in.
const copyTime = 2 * time.Second

// SegmentBytes is how many compressed bytes of rows a segment takes.
const SegmentBytes = 8 << 20

// ErrSpool is a segment that could not be written down on this machine.
var ErrSpool = errors.New("writing a copy of rows")

// Copy is what a batch deletes and empties, as one snapshot has it: which rows, and which versions of
// them.
type Copy struct {
	tx       *Tx // reads the snapshot; its connection is given back by Close
	tables   *Tables
	parts    map[*Part]*copiedPart
	rows     collection // of all parts, their roots first
	roots    int
	versions map[*plan.Node]rowPrint
	emptied  map[*plan.Edge]rowPrint
	leaving  map[*plan.Edge]*collected.Rows // rows whose reference is emptied
	shape    shape
	closed   bool
	// piece is the key of the one root of which this is a piece, without the root itself; nil: roots are
	// whole.
	piece []string
	// atOnce is how many rows may go although a batch may hold less: they are of one root; 0: as many as a
	// batch may hold.
	atOnce int
}

// copiedPart is what is copied for one tenant.
type copiedPart struct {
	rows collection
	keys pg.Values // of the roots, in the order of the rows
	kept int
}

// rowPrint is the number of rows and a digest of them.
type rowPrint struct {
	rows   int64
	digest string
}

// shape is what, besides the rows, decides what a copy says.
type shape struct {
	started, timeline string
	at                int64 // microseconds since 1970
	digest            string
}

// readCopy begins a copy of the candidates that are expired, in a snapshot of its own, and reads
// which rows go with them. Close must follow. More rows than a batch may delete are ErrOverflow, and
// one that takes too long is ErrSlow. A limit above 0 reads a piece of the only root, of so many rows at
// most.
func readCopy(ctx context.Context, conn *pgxpool.Conn, p *plan.Plan, scope expiry.Scope, parts []*Part, tables *Tables, limit int) (*Copy, error) {
	c := &Copy{
		tx:     &Tx{Conn: conn, began: time.Now(), plan: p, scope: scope, snapshot: true},
		tables: tables, parts: map[*Part]*copiedPart{}, rows: collection{}, versions: map[*plan.Node]rowPrint{},
		emptied: map[*plan.Edge]rowPrint{}, leaving: map[*plan.Edge]*collected.Rows{},
	}
	err := c.begin(ctx)
	for _, part := range parts {
		switch {
		case err != nil:
		case limit > 0:
			err = c.readPiece(ctx, part, limit)
		default:
			err = c.readPart(ctx, part)
		}
	}
	if err == nil {
		err = c.unite(parts)
	}
	if err == nil {
		err = c.readPrints(ctx)
	}
	if err != nil {
		c.Close()
		return nil, c.tx.inTime(err)
	}
	return c, nil
}

// Close ends the snapshot. It may be called twice.
func (c *Copy) Close() {
	if !c.closed {
		c.closed = true
		c.tx.Close()
	}
}

// Empty reports whether it has nothing: no candidate is expired, or all are kept.
func (c *Copy) Empty() bool { return rowsIn(c.rows) == 0 }

// begin begins the snapshot, and reads the shape of the tables in it.
func (c *Copy) begin(ctx context.Context) error {
	settings, facts := c.tx.plan.CopySettingsSQL(copyTime), c.tx.plan.ShapeSQL()
	batch := &pgx.Batch{}
	batch.Queue("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
	batch.Queue(settings.String(), settings.Args...)
	batch.Queue(facts.String(), facts.Args...).Query(c.shape.scan())
	if err := pg.Send(ctx, c.tx.Conn, batch); err != nil {
		return fmt.Errorf("beginning a copy: %w", err)
	}
	return nil
}

func (s *shape) scan() func(pgx.Rows) error {
	return pg.ScanOne(&s.started, &s.timeline, &s.at, &s.digest)
}

// errSlowCopy is a copy that takes too long.
var errSlowCopy = fmt.Errorf("%w: a copy may take %s", ErrSlow, copyTime)

// inTime is ErrSlow instead of an error after the time of a copy.
func (tx *Tx) inTime(err error) error {
	if pg.HasCode(err, "57014") || err == nil && time.Since(tx.began) > copyTime {
		return errSlowCopy
	}
	return err
}

// readRoots reads the expired roots of a part.
func (c *Copy) readRoots(ctx context.Context, part *Part) (*copiedPart, *collected.Rows, error) {
	tx, p := c.tx, c.tx.plan
	tx.Share = &Share{Part: part, keys: keysOf(part.Candidates, len(p.Key))}
	roots, keys := collected.NewRows(p.Root), pg.NewValues(len(p.Key))
	if err := tx.read(ctx, p.FindRootsSQL(tx.scope, part.Tenant, tx.keys), roots.Scan(keys...)); err != nil {
		return nil, nil, fmt.Errorf("reading rows of %s: %w", p.Root.Table.Name, err)
	}
	found := &copiedPart{rows: collection{p.Root: roots}, keys: keys}
	c.parts[part] = found
	return found, roots, nil
}

// readPart reads the expired roots of a tenant and what goes with them, without those that are kept.
func (c *Copy) readPart(ctx context.Context, part *Part) error {
	tx, p := c.tx, c.tx.plan
	found, roots, err := c.readRoots(ctx, part)
	if err != nil || roots.Len() == 0 {
		return err
	}
	if found.rows, err = tx.collectRoots(ctx, p.Whole, roots, false); err != nil {
		return err
	}
	if p.Keeps() {
		free, err := tx.free(ctx, found.rows, roots.Len())
		if err != nil {
			return err
		}
		if found.kept = roots.Len() - len(free); found.kept > 0 {
			found.keys = found.keys.Some(free)
			if found.rows, err = tx.collectRoots(ctx, p.Whole, roots.Some(free), false); err != nil {
				return err
			}
		}
	}
	return tx.inTime(nil)
}

// unite adds up the rows of all parts, the roots first. A row may go with the roots of two. A single
// root has but the bound of a segment: it cannot be divided.
func (c *Copy) unite(parts []*Part) error {
	root := c.tx.plan.Root
	c.rows[root] = collected.NewRows(root)
	for _, part := range parts {
		found := c.parts[part]
		c.take(found.rows[root], 0, found.keys.Len())
	}
	c.roots = c.rows[root].Len()
	for _, part := range parts {
		found := c.parts[part]
		for n, r := range found.rows {
			first := 0
			if n == root {
				first = found.keys.Len()
			}
			c.take(r, first, r.Len())
		}
	}
	limits := c.tx.plan.Policy.Limits
	if c.roots > limits.Rows || rowsIn(c.rows) > c.limit() && rowsIn(c.rows) > 1 || c.roots > 1 && dependentBytes(c.tx.plan, c.count) > limits.Bytes {
		return ErrOverflow
	}
	return nil
}

// take adds the rows of a node from one index up to before another.
func (c *Copy) take(r *collected.Rows, from, to int) {
	if c.rows[r.Node] == nil {
		c.rows[r.Node] = collected.NewRows(r.Node)
	}
	for i := from; i < to; i++ {
		c.rows[r.Node].Take(r, i)
	}
}

// limit is how many rows it may have.
func (c *Copy) limit() int { return max(c.atOnce, c.tx.plan.Policy.Limits.TotalRows) }

// count is how many rows of a node it has.
func (c *Copy) count(n *plan.Node) int64 {
	if c.rows[n] == nil {
		return 0
	}
	return int64(c.rows[n].Len())
}

// readPrints reads the versions of the rows, and the rows whose references are emptied.
func (c *Copy) readPrints(ctx context.Context) error {
	tx, m := c.tx, c.tx.plan.Whole
	total := rowsIn(c.rows)
	for _, e := range m.Clears {
		if r := c.rows[e.Parent]; r == nil || r.Len() == 0 {
			continue
		}
		limit := c.limit()
		found := collected.NewRows(e.Child)
		if err := tx.read(ctx, collected.ReadEmptiedSQL(e, m, c.rows, remaining(limit, total)), found.Scan()); err != nil {
			return fmt.Errorf("reading rows of %s: %w", e.Child.Table.Name, err)
		}
		if total += found.Len(); total > limit {
			return ErrOverflow
		}
		c.leaving[e] = found
	}
	prints := c.prints(collected.Unlocked)
	batch := &pgx.Batch{}
	prints.queueVersions(batch)
	prints.queueEmptied(batch)
	c.versions, c.emptied = prints.versions, prints.emptied
	if err := pg.Send(ctx, tx.Conn, batch); err != nil {
		return fmt.Errorf("reading versions of rows: %w", err)
	}
	prints.settle()
	return tx.inTime(nil)
}

// manifest is what the segment says of itself.
func (c *Copy) manifest(ctx context.Context, run string) (archive.Manifest, error) {
	p := c.tx.plan
	batch := &pgx.Batch{}
	for _, s := range archive.Settings {
		batch.Queue("SELECT pg_catalog.set_config($1::pg_catalog.text, $2::pg_catalog.text, true)", s.Name, s.Value)
	}
	if err := pg.Send(ctx, c.tx.Conn, batch); err != nil {
		return archive.Manifest{}, fmt.Errorf("preparing a copy: %w", err)
	}
	if err := c.tables.read(ctx, c.tx.Conn.Conn(), p, c.shape.digest); err != nil {
		return archive.Manifest{}, c.tx.inTime(err)
	}
	return archive.Manifest{
		Run: run, Policy: p.Policy.Name, Root: nameOf(p.Root), RootKey: plan.ColumnNames(p.Key), Started: time.UnixMicro(c.shape.at).UTC(),
		Database: c.tables.database, ServerVersion: c.tables.serverVersion, Edges: edges(p), Piece: c.piece,
	}, nil
}

// writeRows writes the rows into a segment, after manifest, and ends the snapshot. A larger segment than
// may be is ErrOverflow.
func (c *Copy) writeRows(ctx context.Context, s Segment) error {
	defer c.Close()
	first := true
	for _, n := range c.tx.plan.Nodes {
		r := c.rows[n]
		if r == nil || r.Len() == 0 {
			continue
		}
		t := c.tables.deleted(n, first)
		first = false
		if err := c.write(ctx, s, t, r); err != nil {
			return err
		}
	}
	for _, e := range c.tx.plan.Whole.Clears {
		r := c.leaving[e]
		if r == nil || r.Len() == 0 {
			continue
		}
		t, err := c.tables.emptied(e)
		if err == nil {
			err = c.write(ctx, s, t, r)
		}
		if err != nil {
			return err
		}
	}
	c.leaving = nil
	return nil
}

// write writes the rows of one file.
func (c *Copy) write(ctx context.Context, s Segment, t archive.Table, r *collected.Rows) error {
	into, err := s.Table(t)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSpool, err)
	}
	columns := make([]string, len(t.Columns))
	for i, x := range t.Columns {
		columns[i] = x.Name
	}
	w := &spool{Writer: into, segment: s}
	tag, err := c.tx.Conn.Conn().PgConn().CopyTo(ctx, w, collected.CopySQL(r, columns))
	switch {
	case w.err != nil:
		return w.err
	case err != nil:
		return c.tx.inTime(fmt.Errorf("copying rows of %s: %w", r.Node.Table.Name, err))
	case tag.RowsAffected() != int64(r.Len()):
		return fmt.Errorf("copying rows of %s: %w", r.Node.Table.Name, ErrChanged)
	}
	return c.tx.inTime(nil)
}

// spool remembers the error of a segment: that of the server tells nothing of it.
type spool struct {
	io.Writer
	segment Segment
	err     error
}

func (s *spool) Write(b []byte) (n int, err error) {
	if n, err = s.Writer.Write(b); err != nil {
		s.err = fmt.Errorf("%w: %w", ErrSpool, err)
	} else if s.segment.Size() > SegmentBytes {
		s.err, err = ErrOverflow, ErrOverflow
	}
	return n, err
}
