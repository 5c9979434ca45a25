package deletion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// Archive takes copies of rows before they are deleted.
type Archive interface {
	Begin(m archive.Manifest) (Segment, error)
	WriteList(ctx context.Context, o archive.Object, l archive.List) error
}

// Segment is a segment that is being written.
type Segment interface {
	// Table returns what takes rows of a table, until the next call.
	Table(t archive.Table) (io.Writer, error)
	// Size is how many compressed bytes it has taken.
	Size() int64
	// Send gives it to the store, which has confirmed it when there is no error. After an error it may
	// be called again.
	Send(ctx context.Context) (archive.Object, error)
	// Discard frees what it needs on this machine.
	Discard()
}

// ArchiveIn is the archive in a store.
func ArchiveIn(a *archive.Archive) Archive { return stored{a} }

type stored struct{ *archive.Archive }

// Begin begins a segment.
func (s stored) Begin(m archive.Manifest) (Segment, error) { return s.Archive.Begin(m) }

// ArchiveOf opens the archive of a policy file; nil: it has none. The store is not asked for
// anything.
func ArchiveOf(f *policy.File) (Archive, error) {
	a, err := f.OpenArchive(nil)
	if a == nil || err != nil {
		return nil, err
	}
	return ArchiveIn(a), nil
}

// MakeCopy writes what a batch deletes of the candidates into a segment, in a snapshot of its own, and
// gives the connection back. More rows than a batch may delete, or a segment may hold, are
// ErrOverflow; what takes too long is ErrSlow. After an error there is no segment. A limit above 0 is of
// the rows of a piece of the one candidate's root; 0: roots are copied whole.
func MakeCopy(ctx context.Context, conn *pgxpool.Conn, p *plan.Plan, scope expiry.Scope, parts []*Part, tables *Tables, run string, into Archive, limit int) (Segment, *Copy, error) {
	// Each statement has its timeout, but there are many.
	inTime, cancel := context.WithTimeout(ctx, copyTime)
	defer cancel()
	s, c, err := makeCopy(inTime, conn, p, scope, parts, tables, run, into, limit)
	if err != nil && ctx.Err() == nil && inTime.Err() != nil && !errors.Is(err, ErrSpool) && !errors.Is(err, ErrOverflow) {
		err = errSlowCopy
	}
	return s, c, err
}

func makeCopy(ctx context.Context, conn *pgxpool.Conn, p *plan.Plan, scope expiry.Scope, parts []*Part, tables *Tables, run string, into Archive, limit int) (Segment, *Copy, error) {
	c, err := readCopy(ctx, conn, p, scope, parts, tables, limit)
	if err != nil {
		return nil, nil, err
	}
	defer c.Close()
	m, err := c.manifest(ctx, run)
	if err != nil {
		return nil, nil, err
	}
	s, err := into.Begin(m)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrSpool, err)
	}
	if err := c.writeRows(ctx, s); err != nil {
		s.Discard()
		return nil, nil, err
	}
	return s, c, nil
}

// List is the list, as JSON, of the roots that the batch deletes of a segment.
func (tx *Tx) List(run string, seq int64, o archive.Object) ([]byte, error) {
	l := archive.List{Run: run, Policy: tx.plan.Policy.Name, Seq: seq, Segment: o, At: tx.deletedAt, Roots: tx.Copied.list(tx.Parts)}
	text, err := json.Marshal(l)
	if err != nil {
		return nil, fmt.Errorf("listing deleted rows: %w", err)
	}
	return text, nil
}

// RootName is the key of the first candidate, as messages have it.
func (p *Part) RootName() string {
	var key []string
	for _, v := range p.Candidates[0].Key {
		key = append(key, *v)
	}
	return strings.Join(key, ", ")
}

// list names the roots, by their keys.
func (c *Copy) list(parts []*Share) (roots []archive.Root) {
	for _, p := range parts {
		if c.piece != nil {
			return []archive.Root{{Key: c.piece, Tenant: p.Tenant.Key}}
		}
		found := c.parts[p.Part]
		for i := range found.keys.Len() {
			key := make([]string, len(found.keys))
			for k := range key {
				key[k] = *found.keys[k].All()[i]
			}
			roots = append(roots, archive.Root{Key: key, Tenant: p.Tenant.Key})
		}
	}
	return roots
}
