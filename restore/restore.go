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
	// Holds are called for what comes back; nil: nothing is held.
	Holds []Holds
	// Wait is called before each transaction, with the segment's policy, and returns when it may
	// begin; nil: at once. Its error ends the restore.
	Wait func(ctx context.Context, policy string) error
	// Progress is called after each segment; nil: nobody wants to know.
	Progress func(*Report)
}

// Holds makes holds for rows of a table, within the transaction that they come back in.
type Holds struct {
	Table   archive.Name
	Columns []string // of the key that the holds are by
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
}

// all restores segments, and returns those of which roots wait for a parent.
func (r *run) all(ctx context.Context, chosen []*Chosen) (waiting []*Chosen, err error) {
	for _, c := range chosen {
		first := c.tried == 0
		c.tried++
		c.orphans = nil
		err := r.one(ctx, c)
		if first {
			r.Segments++
		}
		if failed, is := errors.AsType[*segmentError](err); is {
			r.Failed = append(r.Failed, failed.Error())
			err = nil
		}
		if err != nil {
			return nil, err
		}
		if len(c.orphans) > 0 {
			waiting = append(waiting, c)
		}
		if r.Progress != nil {
			r.Progress(r.Report)
		}
	}
	return waiting, nil
}

// segmentError is what keeps one segment from coming back, and no other.
type segmentError struct {
	name string
	err  error
}

func (e *segmentError) Error() string { return fmt.Sprintf("segment %s: %v", e.name, e.err) }
func (e *segmentError) Unwrap() error { return e.err }

// one restores what was chosen of a segment.
func (r *run) one(ctx context.Context, c *Chosen) error {
	copied, err := r.archive.Fetch(ctx, c.object())
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return &segmentError{c.Entry.Segment.Name, err}
	}
	s := &segment{run: r, Chosen: c, copy: copied, lockTimeout: lockTimeout}
	return errors.Join(s.restore(ctx), copied.Close())
}
