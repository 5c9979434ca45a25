package restore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/archive"
)

// Verified is what a verification of an archive has found.
type Verified struct {
	Segments int64 `json:"segments"` // that were read back
	Rows     int64 `json:"rows"`     // in them
	Bytes    int64 `json:"bytes"`    // of them, in the store
	Loaded   int64 `json:"loaded"`   // segments that were loaded, too
	// Failures are segments and lists that are damaged or cannot be loaded.
	Failures []Failure `json:"failures"`
	// Held and HeldBytes are all segments that the store holds.
	Held      int64 `json:"segments_held"`
	HeldBytes int64 `json:"bytes_held"`
}

// Failure is a segment that is damaged, or cannot be loaded.
type Failure struct {
	Segment string `json:"segment"`
	Reason  string `json:"reason"`
}

// Verification is what to verify.
type Verification struct {
	// Share of the segments, drawn at random, and at least one if there is any: above 0, up to 1.
	Share float64
	// Also names segments that are verified in any case, if they are there.
	Also []string
	// Pool is where segments are loaded into temporary tables, too; nil: they are not.
	Pool *pgxpool.Pool
}

// Verify reads segments back with their lists, and compares checksums and counts with what was
// written. An error is not of a segment, and ends it; a segment that needs an identity that the
// archive does not have is an *archive.LockedError.
func Verify(ctx context.Context, a *archive.Archive, o Verification) (*Verified, error) {
	v := &Verified{Failures: []Failure{}}
	drawn, err := v.draw(ctx, a, o)
	if err != nil {
		return nil, err
	}
	for _, e := range drawn {
		if err := v.verify(ctx, a, o.Pool, e); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// draw draws a share of the segments.
func (v *Verified) draw(ctx context.Context, a *archive.Archive, o Verification) (drawn []*archive.Entry, err error) {
	var others []*archive.Entry
	for e, err := range a.Entries(ctx, "") {
		if err != nil {
			return nil, err
		}
		if e.Segment.Name == "" {
			continue
		}
		v.Held++
		v.HeldBytes += e.Segment.Bytes
		if slices.Contains(o.Also, e.Segment.Name) {
			drawn = append(drawn, e)
		} else {
			others = append(others, e)
		}
	}
	if o.Share < 1 {
		rand.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
		others = others[:min(len(others), max(1, int(o.Share*float64(len(others)))))]
	}
	return append(drawn, others...), nil
}

// verify verifies a segment and its lists.
func (v *Verified) verify(ctx context.Context, a *archive.Archive, pool *pgxpool.Pool, e *archive.Entry) error {
	o := e.Segment
	for _, l := range e.Lists {
		list, err := a.ReadList(ctx, l)
		if err != nil {
			if err := v.judge(o, err); err != nil {
				return err
			}
			continue
		}
		o.SHA256 = list.Segment.SHA256
	}
	c, err := a.Fetch(ctx, o)
	if !errors.Is(err, fs.ErrNotExist) {
		v.Segments++
	}
	if err != nil {
		return v.judge(o, err)
	}
	v.Bytes += c.Object.Bytes
	v.Rows += rowsOf(c)
	if pool == nil {
		return c.Close()
	}
	err = Load(ctx, pool, c)
	_, ends := errors.AsType[*endError](err)
	switch {
	case ends:
		return errors.Join(fmt.Errorf("loading %s: %w", o.Name, err), c.Close())
	case err != nil:
		v.fail(o, fmt.Errorf("it cannot be loaded: %w", err))
	default:
		v.Loaded++
	}
	return c.Close()
}

// judge counts a segment that is damaged. One that was pruned meanwhile is none; any other error is
// that of the store, or of an identity.
func (v *Verified) judge(o archive.Object, err error) error {
	if _, damaged := errors.AsType[*archive.DamagedError](err); damaged {
		v.fail(o, err)
		return nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func (v *Verified) fail(o archive.Object, err error) {
	v.Failures = append(v.Failures, Failure{o.Name, err.Error()})
}
