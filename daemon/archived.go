package daemon

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/metrics"
)

// counted is an archive that tells the metrics what it is given.
type counted struct {
	deletion.Archive
	metrics *metrics.Metrics
}

// countArchive counts what an archive is given; nil stays nil.
func countArchive(a deletion.Archive, m *metrics.Metrics) deletion.Archive {
	if a == nil {
		return nil
	}
	return counted{a, m}
}

// Begin is deletion.Archive's.
func (a counted) Begin(m archive.Manifest) (deletion.Segment, error) {
	s, err := a.Archive.Begin(m)
	if err != nil {
		a.metrics.ArchiveFailed(m.Policy, metrics.ArchiveSpool)
		return nil, err
	}
	return &countedSegment{s, a.metrics, m.Policy}, nil
}

// WriteList is deletion.Archive's.
func (a counted) WriteList(ctx context.Context, o archive.Object, l archive.List) error {
	began := time.Now()
	err := a.Archive.WriteList(ctx, o, l)
	tellSent(ctx, a.metrics, l.Policy, metrics.ArchiveList, 0, began, err)
	return err
}

type countedSegment struct {
	deletion.Segment
	metrics *metrics.Metrics
	policy  string
}

// Table is deletion.Segment's.
func (s *countedSegment) Table(t archive.Table) (io.Writer, error) {
	w, err := s.Segment.Table(t)
	if err != nil {
		s.metrics.ArchiveFailed(s.policy, metrics.ArchiveSpool)
	}
	return w, err
}

// Send is deletion.Segment's.
func (s *countedSegment) Send(ctx context.Context) (archive.Object, error) {
	began := time.Now()
	o, err := s.Segment.Send(ctx)
	tellSent(ctx, s.metrics, s.policy, metrics.ArchiveSegment, o.Bytes, began, err)
	return o, err
}

// tellSent counts what became of an object. A run that is stopping gives up: that is no failure.
func tellSent(ctx context.Context, m *metrics.Metrics, policy, object string, bytes int64, began time.Time, err error) {
	switch {
	case err == nil:
		m.ArchiveSent(policy, object, bytes, time.Since(began))
	case !errors.Is(context.Cause(ctx), context.Canceled):
		m.ArchiveFailed(policy, object)
	}
}
