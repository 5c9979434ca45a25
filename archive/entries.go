package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
)

// Entry is a segment of the store with its lists, by what the names say.
type Entry struct {
	// Segment is without SHA-256. Its name is empty if only lists are left.
	Segment Object   `json:"segment"`
	Lists   []Object `json:"lists"`
	Run     string   `json:"run"`
	Policy  string   `json:"policy"`
	// TenantHash is set if the segment is of one tenant only.
	TenantHash string    `json:"tenant_hash,omitempty"`
	At         time.Time `json:"at"` // when it was sealed, by the clock of who did
	base       string
}

// Encrypted reports whether an identity is needed to read it.
func (e *Entry) Encrypted() bool { return strings.HasSuffix(e.Segment.Name, encryptedEnd) }

// Entries yields what the store holds of a run, by name; "": of all. Objects of other names are
// left alone.
func (a *Archive) Entries(ctx context.Context, run string) iter.Seq2[*Entry, error] {
	if run != "" {
		run += "/"
	}
	return func(yield func(*Entry, error) bool) {
		var now *Entry
		for o, err := range a.store.list(ctx, run) {
			if err != nil {
				yield(nil, fmt.Errorf("listing the archive: %w", err))
				return
			}
			e, list := parseName(o.Name)
			if e == nil {
				continue
			}
			if now == nil || now.base != e.base { // names with the same beginning follow each other
				if now != nil && !yield(now, nil) {
					return
				}
				now = e
			}
			if list {
				now.Lists = append(now.Lists, o)
			} else {
				now.Segment = o
			}
		}
		if now != nil {
			yield(now, nil)
		}
	}
}

// parseName reads the name of a segment or of a list; nil: it is neither.
func parseName(name string) (e *Entry, list bool) {
	parts := strings.Split(name, "/")
	if len(parts) != 4 || !plainName.MatchString(parts[0]) {
		return nil, false
	}
	id, rest, _ := strings.Cut(parts[3], ".")
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return nil, false
	}
	sec, nsec := u.Time().UnixTime()
	e = &Entry{Run: parts[0], Policy: parts[1], At: time.Unix(sec, nsec).UTC(), base: strings.Join(parts[:3], "/") + "/" + id}
	if parts[2] != shared {
		e.TenantHash = parts[2]
	}
	rest = "." + strings.TrimSuffix(rest, encryptedEnd)
	if rest == segmentEnd {
		return e, false
	}
	seq, ok := strings.CutSuffix(rest[1:], listEnd)
	if _, err := strconv.ParseInt(seq, 10, 64); !ok || err != nil {
		return nil, false
	}
	return e, true
}

// Prune removes the segments that were sealed before a time, with their lists. An entry whose
// removal fails stays for the next time, and the others go on; removed are those that are gone.
func (a *Archive) Prune(ctx context.Context, before time.Time) (removed []*Entry, err error) {
	var old []*Entry
	for e, err := range a.Entries(ctx, "") {
		if err != nil {
			return nil, err
		}
		if e.At.Before(before) {
			old = append(old, e)
		}
	}
	for _, e := range old {
		if failed := a.Remove(ctx, e); failed != nil {
			err = errors.Join(err, failed)
			if ctx.Err() != nil {
				return removed, err
			}
			continue
		}
		removed = append(removed, e)
	}
	return removed, err
}

// Remove removes an entry: the lists first, so that what is left of it after a failure cannot come
// back by mistake.
func (a *Archive) Remove(ctx context.Context, e *Entry) error {
	names := make([]string, 0, len(e.Lists)+1)
	for _, l := range e.Lists {
		names = append(names, l.Name)
	}
	if e.Segment.Name != "" {
		names = append(names, e.Segment.Name)
	}
	for _, name := range names {
		if err := a.store.remove(ctx, name); err != nil {
			return fmt.Errorf("removing %s: %w", name, err)
		}
	}
	return nil
}

// Try writes a small object, asks for it, finds it, and removes it: what an archive must be able to
// do. Its error says which of these does not work.
func (a *Archive) Try(ctx context.Context) error {
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	const text = "reaper check\n"
	o := objectOf("probe-"+id.String(), []byte(text))
	if err := a.putConfirmed(ctx, o, strings.NewReader(text)); err != nil {
		return fmt.Errorf("writing a probe and asking for it: %w", err)
	}
	found := false
	for x, err := range a.store.list(ctx, o.Name) {
		if err != nil {
			return errors.Join(fmt.Errorf("listing the probe: %w", err), a.store.remove(ctx, o.Name))
		}
		found = found || x.Name == o.Name
	}
	if !found {
		return errors.Join(errors.New("listing the probe: the store does not list what it holds"), a.store.remove(ctx, o.Name))
	}
	if err := a.store.remove(ctx, o.Name); err != nil {
		return fmt.Errorf("removing the probe %s: %w", o.Name, err)
	}
	_, err = a.store.ask(ctx, o.Name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("looking for the removed probe %s: %w", o.Name, err)
	}
	return fmt.Errorf("removing the probe %s: it is still there", o.Name)
}
