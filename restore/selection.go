package restore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/archive"
)

// Selection says what to restore: a run, or a policy's runs since a time.
type Selection struct {
	Run    string
	Policy string // with Run: only this policy's; else required
	// Since and Until are of the deletion, by the database's clock; zero: no bound.
	Since, Until time.Time
	Tenants      []string // by key; nil: all
	// Root is a key: its columns' text, joined by commas; empty: all.
	Root string
}

// Chosen is a segment of which something is to come back.
type Chosen struct {
	Entry *archive.Entry
	Lists []archive.List // with the roots that were selected only
	Roots int64          // how many these are; of a list of all it is not known

	tried   int
	orphans []Left // roots whose parent is gone
}

// last is when something of it was deleted last.
func (c *Chosen) last() (at time.Time) {
	for _, l := range c.Lists {
		if l.At.After(at) {
			at = l.At
		}
	}
	return at
}

// narrow leaves of what was chosen what waits for a parent: the rest is counted already.
func (c *Chosen) narrow() {
	l := archive.List{Run: c.Lists[0].Run, Policy: c.Lists[0].Policy, Seq: c.Lists[0].Seq, Segment: c.Lists[0].Segment, At: c.last()}
	for _, o := range c.orphans {
		if o.Root == nil {
			return // rows that are known by no root
		}
		l.Roots = append(l.Roots, archive.Root{Key: o.Root})
	}
	c.Lists = []archive.List{l}
}

func (c *Chosen) object() archive.Object {
	o := c.Entry.Segment
	o.SHA256 = c.Lists[0].Segment.SHA256
	return o
}

func (c *Chosen) all() bool {
	return slices.ContainsFunc(c.Lists, func(l archive.List) bool { return l.All })
}

// Found is what a selection found.
type Found struct {
	Chosen []*Chosen
	// Unlisted are segments without a list: nothing of them was deleted, or the list was lost.
	Unlisted []string
	// Unread are lists that could not be read, and why.
	Unread []string
	// Segments is how many the runs have, whatever was selected of them.
	Segments int
}

// Select reads the lists of what was selected. More has what a ledger knows of lists: they count
// as those of the store do; nil: nobody knows more.
func Select(ctx context.Context, a *archive.Archive, s Selection, more func(ctx context.Context, run string) ([]archive.List, error)) (*Found, error) {
	known := map[string][]archive.List{}
	if more != nil {
		lists, err := more(ctx, s.Run)
		if err != nil {
			return nil, err
		}
		for _, l := range lists {
			known[l.Segment.Name] = append(known[l.Segment.Name], l)
		}
	}
	f := &Found{}
	for e, err := range a.Entries(ctx, s.Run) {
		if err != nil {
			return nil, err
		}
		if s.Policy != "" && e.Policy != s.Policy {
			continue
		}
		if err := f.add(ctx, a, e, s, known[e.Segment.Name]); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *Found) add(ctx context.Context, a *archive.Archive, e *archive.Entry, s Selection, known []archive.List) error {
	if e.Segment.Name == "" {
		return nil
	}
	f.Segments++
	lists := known
	for _, o := range e.Lists {
		l, err := a.ReadList(ctx, o)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, locked := errors.AsType[*archive.LockedError](err); locked {
			return err
		}
		if err == nil && (l.Run != e.Run || l.Policy != e.Policy || l.Segment.Name != e.Segment.Name) {
			err = &archive.DamagedError{Name: o.Name, Err: errors.New("it is the list of another segment")}
		}
		if err != nil {
			f.Unread = append(f.Unread, err.Error())
			continue
		}
		if !slices.ContainsFunc(lists, func(x archive.List) bool { return x.Seq == l.Seq }) {
			lists = append(lists, l)
		}
	}
	if len(lists) == 0 {
		if len(e.Lists) == 0 {
			f.Unlisted = append(f.Unlisted, e.Segment.Name)
		}
		return nil
	}
	c := &Chosen{Entry: e}
	for _, l := range lists {
		if l, ok := s.of(l); ok {
			c.Lists = append(c.Lists, l)
			c.Roots += int64(len(l.Roots))
		}
	}
	if len(c.Lists) > 0 {
		f.Chosen = append(f.Chosen, c)
	}
	return nil
}

// of is what was selected of a list; false: nothing.
func (s Selection) of(l archive.List) (archive.List, bool) {
	if !s.Since.IsZero() && l.At.Before(s.Since) || !s.Until.IsZero() && l.At.After(s.Until) {
		return l, false
	}
	if s.Tenants == nil && s.Root == "" {
		return l, l.All || len(l.Roots) > 0
	}
	l.All = false
	l.Roots = slices.DeleteFunc(slices.Clone(l.Roots), func(r archive.Root) bool {
		return s.Tenants != nil && (r.Tenant == nil || !slices.Contains(s.Tenants, *r.Tenant)) || s.Root != "" && strings.Join(r.Key, ",") != s.Root
	})
	return l, len(l.Roots) > 0
}

// ErrNothing means that the archive holds nothing of what was asked for.
var ErrNothing = errors.New("the archive holds nothing of it")

// Check refuses a selection of which nothing was found.
func (f *Found) Check(s Selection) error {
	what := "policy " + s.Policy
	if s.Run != "" {
		what = "run " + s.Run
	}
	switch {
	case len(f.Chosen) > 0:
		return nil
	case f.Segments == 0:
		return fmt.Errorf("%s: %w; reaper archive list shows what it holds", what, ErrNothing)
	case len(f.Unread) > 0:
		return fmt.Errorf("%s: no list of what was deleted can be read: %s", what, f.Unread[0])
	case len(f.Unlisted) == f.Segments:
		return fmt.Errorf("%s: no segment has a list of what was deleted, so nothing of it may come back", what)
	}
	return fmt.Errorf("%s: %w that is asked for; reaper archive list shows what it holds", what, ErrNothing)
}
