package guard

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
)

// walBacklog is the WAL that the server has to keep: the largest of what a slot
// retains, what waits for the archiver, and what pg_wal holds beyond max_wal_size or
// wal_keep_size.
type walBacklog struct {
	levels Levels
	wal    *walDirectory
}

// holder is something that WAL is kept for, with its bytes.
type holder struct {
	Kind  string // slot, lost, archiver, directory
	Name  string // of the slot, or the last archived segment
	Bytes int64
	// Note is a slot's state, or the segment that fails to archive.
	Note string
	// Segment is the size of a WAL segment.
	Segment int64
	Current int64 // current WAL position, in bytes
	// Redo is the redo point. The WAL from there on is kept in any case.
	Redo int64
}

// The holders. The archiver's progress is only known as a segment name; queued turns
// it into bytes.
const (
	holdersSQL = `WITH at AS (SELECT pg_current_wal_insert_lsn() AS lsn, pg_size_bytes(current_setting('wal_segment_size')) AS segment,
	(SELECT (redo_lsn - '0/0')::bigint FROM pg_control_checkpoint()) AS redo)
SELECT CASE WHEN wal_status = 'lost' THEN 'lost' ELSE 'slot' END, slot_name::text, CASE WHEN wal_status = 'lost' THEN 0 ELSE coalesce(lsn - restart_lsn, 0) END::bigint,
	CASE WHEN active THEN 'active' ELSE 'inactive' END, segment, (lsn - '0/0')::bigint, redo
FROM at, pg_replication_slots WHERE restart_lsn IS NOT NULL OR wal_status = 'lost'
UNION ALL
SELECT 'archiver', coalesce(last_archived_wal, ''), 0,
	CASE WHEN last_failed_time > coalesce(last_archived_time, '-infinity') THEN last_failed_wal ELSE '' END, segment, (lsn - '0/0')::bigint, redo
FROM at, pg_stat_archiver WHERE current_setting('archive_mode') <> 'off'`
	directorySQL = `
UNION ALL
SELECT 'directory', '', greatest((` + walSize + `) - greatest(pg_size_bytes(current_setting('max_wal_size')), pg_size_bytes(current_setting('wal_keep_size'))), 0), '', segment, (lsn - '0/0')::bigint, redo FROM at`
)

func (b *walBacklog) read(ctx context.Context, db session) ([]measure, error) {
	may, err := b.wal.listed(ctx, db)
	if err != nil {
		return nil, err
	}
	all, err := holders(ctx, db, may)
	if may && b.wal.refused(err) {
		all, err = holders(ctx, db, false)
	}
	if err != nil {
		return nil, err
	}
	worst, lost := measure{before: "the server keeps ", after: " of WAL"}, ""
	var most int64
	for _, h := range all {
		if h.Kind == "lost" {
			lost += "; the replication slot " + h.Name + " is lost and keeps nothing"
		}
		if h.Bytes > most {
			most = h.Bytes
			worst.before, worst.after = h.words()
			worst.external, worst.reclaimable = h.Kind != "directory", h.Kind == "directory"
		}
	}
	worst.value, worst.unit, worst.levels = float64(most), Bytes, b.levels
	worst.after += lost
	return []measure{worst}, nil
}

// holders reads what retains WAL; directory adds what nothing accounts for.
func holders(ctx context.Context, db session, directory bool) ([]holder, error) {
	sql := holdersSQL
	if directory {
		sql += directorySQL
	}
	all, err := queryAll[holder](ctx, db, sql)
	for i := range all {
		if all[i].Kind == "archiver" {
			all[i].Bytes = all[i].queued()
		}
	}
	return all, err
}

// queued returns the bytes of complete segments that wait for the archiver. If it has
// archived nothing yet, they count from the failing segment.
func (h holder) queued() int64 {
	next, ok := segmentStart(h.Name, h.Segment)
	next += h.Segment
	if !ok {
		if next, ok = segmentStart(h.Note, h.Segment); !ok {
			return 0
		}
	}
	return max(h.Current/h.Segment*h.Segment-next, 0)
}

// segmentStart returns the position at which a segment begins, from its file name:
// timeline, high and low part in hexadecimal. A backup history file is named after its
// segment; other archived files are not segments.
func segmentStart(name string, segment int64) (int64, bool) {
	if len(name) < 24 || segment <= 0 {
		return 0, false
	}
	high, err := strconv.ParseInt(name[8:16], 16, 64)
	low, err2 := strconv.ParseInt(name[16:24], 16, 64)
	if err != nil || err2 != nil {
		return 0, false
	}
	return high<<32 + low*segment, true
}

// words returns the text before and after the bytes.
func (h holder) words() (before, after string) {
	switch h.Kind {
	case "slot":
		if h.Note == "inactive" {
			return "the replication slot " + h.Name + ", which nothing reads, keeps ", " of WAL"
		}
		return "the replication slot " + h.Name + " keeps ", " of WAL"
	case "archiver":
		if h.Note != "" {
			return "the archiver, which fails at " + oneLine(h.Note) + ", is behind by ", " of WAL"
		}
		return "the archiver is behind by ", " of WAL"
	}
	return "pg_wal is ", " larger than max_wal_size and wal_keep_size allow"
}

// Holder is something that keeps WAL from being removed.
type Holder struct {
	// Name is fit to follow "kept by".
	Name  string
	Bytes int64 // that it keeps
}

// keepsUp reports whether the slot or archiver is active and not behind the last
// checkpoint. WAL is removed in whole segments, hence the margin.
func (h holder) keepsUp() bool {
	working := h.Kind == "slot" && h.Note == "active" || h.Kind == "archiver" && h.Note == ""
	return working && h.Current-h.Bytes+h.Segment >= h.Redo
}

// exported converts a holder for Room; false if it keeps no WAL that the next checkpoint
// needs anyway.
func (h holder) exported() (Holder, bool) {
	name := ""
	switch {
	case h.keepsUp():
	case h.Kind == "slot" && h.Bytes > 0:
		name = fmt.Sprintf("the replication slot %s (%s)", h.Name, h.Note)
	case h.Kind == "archiver" && h.Note != "":
		name = "the archiver, which fails at " + oneLine(h.Note)
	case h.Kind == "archiver" && h.Bytes > 0:
		name = "the archiver"
	}
	return Holder{Name: name, Bytes: h.Bytes}, name != ""
}

func largestFirst(all []Holder) {
	slices.SortStableFunc(all, func(a, b Holder) int { return cmp.Compare(b.Bytes, a.Bytes) })
}
