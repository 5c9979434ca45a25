// Package restore puts back what package archive holds copies of: only what a list says was
// deleted, parents first, each root with its dependents in one transaction.
//
// What comes back is what went. A row that is there and the same is left alone; one that is there
// and different, or whose place is taken by another, or whose parent is gone, keeps its whole root
// from coming back. Triggers and rules of the user's never run unless that is asked for, and the
// replica role is never used.
package restore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/archive"
)

// Options say what to restore, and how.
type Options struct {
	Selection
	// Into is a schema for fresh tables; empty: rows go into the tables that they came from.
	Into string
	// Fire lets triggers and rules run, and lets them change the rows.
	Fire bool
	// Conditions are those of references without a foreign key that may be evaluated. They are the
	// policy file's: a segment that has another one does not come back, since whoever can write to
	// the store could have written it.
	Conditions []Condition
	// Tables are those that rows may come back to: the ones of the policies of the file, since whoever
	// can write to the store could have named any other. Nothing comes back to other tables, but into
	// Into.
	Tables []archive.Name
	// Holds are called for what comes back; nil: nothing is held.
	Holds []Holds
	// Wait is called before each transaction, with the segment's policy, and returns when it may
	// begin; nil: at once. Its error ends the restore.
	Wait func(ctx context.Context, policy string) error
	// Progress is called after each segment; nil: nobody wants to know.
	Progress func(*Report)
}

// Condition is SQL over the rows of a table alone.
type Condition struct {
	Table archive.Name
	SQL   string
	Path  string // the search_path that it is read under
}

// Holds makes holds for rows of a table, within the transaction that they come back in.
type Holds struct {
	Policy  string
	Table   archive.Name
	Columns []string // of the key that the holds are by; nil: not known, so nothing of the table may come back
	Hold    func(ctx context.Context, tx pgx.Tx, keys [][]string) error
}

// Report says what came back.
type Report struct {
	Segments int64 `json:"segments"`
	// Restored roots came back, in whole or in the part that was missing; Present ones were there,
	// and the same, with all that belongs to them.
	Restored int64 `json:"roots_restored"`
	Present  int64 `json:"roots_present"`
	// LeftCount is the number of roots that did not come back; Left has the first hundred.
	LeftCount int64            `json:"roots_left"`
	Left      []Left           `json:"left"`
	Rows      map[string]int64 `json:"rows"`
	RowsTotal int64            `json:"rows_total"`
	// References are those that were set again; Changed ones had been set to something else, and
	// stay so.
	References int64 `json:"references"`
	Changed    int64 `json:"references_changed"`
	// Failed are segments that could not be read, and what of them could not be.
	Failed []string `json:"failed"`
}

// Left is a root that did not come back.
type Left struct {
	Segment string   `json:"segment"`
	Root    []string `json:"root"`
	Reason  string   `json:"reason"`
}

const mostLeft = 100

func (r *Report) leave(l ...Left) {
	r.LeftCount += int64(len(l))
	r.Left = append(r.Left, l[:min(len(l), max(0, mostLeft-len(r.Left)))]...)
}

// Complete reports whether everything that was selected is there now.
func (r *Report) Complete() bool { return r.LeftCount == 0 && len(r.Failed) == 0 }

// Run restores what was selected, newest first: so parents come before what was deleted before
// them. Segments that cannot be read are named, and the others go on. An error ends it; what was
// committed stays.
func Run(ctx context.Context, a *archive.Archive, pool *pgxpool.Pool, chosen []*Chosen, o Options) (*Report, error) {
	r := &run{archive: a, pool: pool, Options: o, Report: &Report{Left: []Left{}, Failed: []string{}, Rows: map[string]int64{}}, into: map[string]string{}}
	slices.SortFunc(chosen, func(x, y *Chosen) int {
		return cmp.Or(y.last().Compare(x.last()), cmp.Compare(y.Entry.Segment.Name, x.Entry.Segment.Name))
	})
	waiting, err := r.all(ctx, chosen)
	// What waits for a parent may find it now. Each round but the last brings something back.
	for err == nil && len(waiting) > 0 {
		before := r.RowsTotal + r.References
		again := waiting
		for _, c := range again {
			c.narrow()
		}
		if waiting, err = r.all(ctx, again); err == nil && r.RowsTotal+r.References == before {
			break
		}
	}
	for _, c := range waiting {
		r.leave(c.orphans...)
	}
	return r.Report, err
}

type run struct {
	Options
	*Report
	archive *archive.Archive
	pool    *pgxpool.Pool
	into    map[string]string // tables of Into that were made, by the name of the archive's
	trial   bool              // nothing comes back to any table
}

// all restores segments, and returns those of which roots wait for a parent.
func (r *run) all(ctx context.Context, chosen []*Chosen) (waiting []*Chosen, err error) {
	for len(chosen) > 0 && err == nil {
		var n int
		n, err = r.next(ctx, chosen)
		for _, c := range chosen[:n] {
			if len(c.orphans) > 0 {
				waiting = append(waiting, c)
			}
		}
		chosen = chosen[n:]
		if r.Progress != nil {
			r.Progress(r.Report)
		}
	}
	return waiting, err
}

// next restores the first segments, as many as can come back together, and returns their number.
func (r *run) next(ctx context.Context, chosen []*Chosen) (n int, err error) {
	var copies []*archive.Copy
	defer func() {
		for _, c := range copies {
			err = errors.Join(err, c.Close())
		}
	}()
	var rows, bytes int64
	for _, c := range chosen {
		if bytes += c.Entry.Segment.Bytes; n > 0 && bytes > bytesTogether {
			break
		}
		copied, fetched := r.archive.Fetch(ctx, c.object())
		if fetched != nil && (n > 0 || ctx.Err() != nil) {
			break // it is its own turn next
		}
		if fetched != nil {
			r.begin(c)
			r.Failed = append(r.Failed, (&segmentError{c.Entry.Segment.Name, fetched}).Error())
			return 1, nil
		}
		copies = append(copies, copied)
		rows += rowsOf(copied)
		if n > 0 && (rows > mostTogether || !alike(copies[0], copied)) {
			break
		}
		n++
	}
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	if n > 1 {
		whole, err := r.together(ctx, chosen[:n], copies[:n])
		if whole || err != nil {
			return n, err
		}
	}
	for i, c := range chosen[:n] {
		if err := r.one(ctx, c, copies[i]); err != nil {
			return i, err
		}
	}
	return n, nil
}

// Bounds of the segments that come back in one transaction: rows, and bytes in the store.
const (
	mostTogether  = 50_000
	bytesTogether = 1 << 20
)

func rowsOf(c *archive.Copy) (n int64) {
	for i := range c.Tables {
		n += c.Tables[i].Rows
	}
	return n
}

// begin counts a segment, the first time.
func (r *run) begin(c *Chosen) {
	if c.tried == 0 {
		r.Segments++
	}
	c.tried++
	c.orphans = nil
}

// together restores several segments in one transaction. If anything stands against that, nothing
// of it was done, and each must be restored by itself, which tells what it is.
func (r *run) together(ctx context.Context, chosen []*Chosen, copies []*archive.Copy) (whole bool, err error) {
	all := &Chosen{Entry: chosen[0].Entry}
	for i, c := range chosen {
		if copies[i].Run != c.Entry.Run || copies[i].Policy != c.Entry.Policy {
			return false, nil
		}
		all.Lists = append(all.Lists, c.Lists...)
		if c.all() != chosen[0].all() {
			return false, nil
		}
	}
	s := &segment{run: r, Chosen: all, from: together(copies), lockTimeout: lockTimeout}
	if err := s.prepare(ctx); err != nil {
		return false, ended(ctx, err)
	}
	if err := s.attempt(ctx, nil); err != nil {
		return false, ended(ctx, err)
	}
	for _, c := range chosen {
		r.begin(c)
	}
	return true, nil
}

// ended is an error that ends the whole restore; nil: it is one of a segment.
func ended(ctx context.Context, err error) error {
	end, is := errors.AsType[*endError](err)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case is:
		return fmt.Errorf("restoring: %w", end.err)
	}
	return nil
}

// segmentError is what keeps one segment from coming back, and no other.
type segmentError struct {
	name string
	err  error
}

func (e *segmentError) Error() string { return fmt.Sprintf("segment %s: %v", e.name, e.err) }
func (e *segmentError) Unwrap() error { return e.err }

// one restores what was chosen of a segment.
func (r *run) one(ctx context.Context, c *Chosen, copied *archive.Copy) error {
	r.begin(c)
	s := &segment{run: r, Chosen: c, from: sourceOf(copied), lockTimeout: lockTimeout}
	err := s.restore(ctx)
	if failed, is := errors.AsType[*segmentError](err); is {
		r.Failed = append(r.Failed, failed.Error())
		return nil
	}
	return err
}
