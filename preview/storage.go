package preview

import (
	"context"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/plan"
)

// Storage is the storage that a purge needs, in the format of `plan -o json`. Deleting only needs
// space for WAL: dead rows stay in place until vacuum makes their space reusable.
type Storage struct {
	WALBytes int64 `json:"wal_bytes"` // total
	// PeakBytes is how much of it is on disk at a time: all of it, if something retains WAL.
	PeakBytes   int64   `json:"peak_bytes"`
	DeadBytes   int64   `json:"dead_bytes"`
	BytesPerRow float64 `json:"wal_bytes_per_row"`
	Measured    bool    `json:"measured"` // from earlier runs; otherwise from the planner's estimates
	// FreeBytes is what may be used before the storage guard pauses; null if no guard knows.
	FreeBytes *int64   `json:"free_bytes"`
	Holders   []string `json:"wal_held_by"`
	// Runs is how many runs the backlog takes; 0: a purge would be refused. Null: unknown.
	Runs *int64 `json:"runs"`
}

const (
	// deleteRecord is the approximate WAL of deleting a row without page images, in bytes: the heap
	// record with its headers.
	deleteRecord = 64
	// pageSize is PostgreSQL's default page size in bytes, the maximum size of a row without its
	// TOASTed values.
	pageSize = 8192
	// leastShare is the share of a backlog that must fit in free space for a run to start.
	leastShare = 0.01
	// mostImages caps a measured estimate at this multiple of the planner's.
	mostImages = 2
	// EnoughRows is how many rows earlier runs must have deleted for a prediction from their WAL.
	EnoughRows = 1000
)

// StorageOf estimates the storage for deleting these rows, by table name. perRow is the WAL per row
// of earlier runs; 0 if unknown.
func StorageOf(p *plan.Plan, rows map[string]int64, perRow float64, room guard.Room) Storage {
	s := Storage{Measured: perRow > 0, FreeBytes: room.Free, Holders: append([]string{}, room.HeldBy()...)}
	var total int64
	for _, n := range p.Nodes {
		k := rows[n.Table.Name.String()]
		if k == 0 {
			continue
		}
		total += k
		s.DeadBytes += int64(float64(k) * MeanBytes(n))
		// The first change of a page after a checkpoint writes its full image.
		s.WALBytes += k*deleteRecord + min(k*pageSize, n.Table.Bytes)
	}
	if total == 0 {
		return s
	}
	if s.Measured {
		// Small runs soon after a checkpoint write more page images per row than a large run, which
		// writes each page of a table and its indexes once.
		s.WALBytes = min(int64(perRow*float64(total)), mostImages*s.WALBytes)
	}
	s.BytesPerRow = float64(s.WALBytes) / float64(total)
	s.PeakBytes = s.WALBytes
	if len(room.Holders) == 0 {
		// A checkpoint recycles or removes WAL that is no longer needed.
		most := room.MaxWAL + room.MaxWAL/10
		if room.WAL != nil {
			most = max(most-*room.WAL, 0)
		}
		s.PeakBytes = min(s.WALBytes, most)
	}
	s.Runs = s.runs()
	return s
}

// runs is how many runs it takes. If checkpoints free WAL, a single run suffices, with pauses.
func (s Storage) runs() *int64 {
	n := int64(1)
	switch {
	case s.FreeBytes == nil || *s.FreeBytes == 0: // unknown until there is free space
		return nil
	case s.PeakBytes <= *s.FreeBytes || len(s.Holders) == 0:
	case float64(*s.FreeBytes) < leastShare*float64(s.WALBytes):
		n = 0
	default:
		n = (s.WALBytes + *s.FreeBytes - 1) / *s.FreeBytes
	}
	return &n
}

// String describes the storage in a sentence.
func (s Storage) String() string {
	bytes := func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }
	how := "estimated"
	if s.Measured {
		how = "by earlier runs"
	}
	text := fmt.Sprintf("%s of WAL (%s, %.0f bytes a row)", bytes(s.WALBytes), how, s.BytesPerRow)
	if s.PeakBytes > 0 && s.PeakBytes < s.WALBytes {
		text += fmt.Sprintf(", at most %s of it at a time", bytes(s.PeakBytes))
	}
	if s.DeadBytes > 0 {
		text += fmt.Sprintf("; %s of rows become free in the tables", bytes(s.DeadBytes))
	}
	if len(s.Holders) > 0 {
		text += "; WAL is kept by " + strings.Join(s.Holders, ", ")
	}
	if s.FreeBytes == nil {
		return text
	}
	if *s.FreeBytes == 0 {
		return text + "; nothing is free: the storage guard pauses the run"
	}
	text += fmt.Sprintf("; %s are free until the storage guard pauses", bytes(*s.FreeBytes))
	switch {
	case *s.Runs == 0:
		text += ": too little to start"
	case *s.Runs > 1:
		text += fmt.Sprintf(": %d runs, each limited by the free space", *s.Runs)
	}
	return text
}

// History is what earlier runs cost.
type History interface {
	// Written sums the policy's latest runs: rows deleted from all tables, and bytes of WAL.
	Written(ctx context.Context, db *pgxpool.Pool, policy string) (rows, wal int64, err error)
}

// StorageNeeded estimates the storage of the previewed purge.
func StorageNeeded(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan, l History, v *Preview, room guard.Room) (Storage, error) {
	perRow, err := WalPerRow(ctx, pool, l, p.Policy.Name)
	if err != nil {
		return Storage{}, err
	}
	rows := map[string]int64{}
	for i, t := range v.Tables {
		switch {
		case i == 0:
			rows[t.Table] += v.ExpiredRows
		case t.ExpiredRows != nil && (t.Action == string(plan.ByCascade) || t.Action == string(plan.ByDelete)):
			rows[t.Table] = max(rows[t.Table], *t.ExpiredRows)
		}
	}
	return StorageOf(p, rows, perRow, room), nil
}

// WalPerRow is the mean WAL per row of the policy's earlier runs; 0 if they deleted too few rows.
func WalPerRow(ctx context.Context, pool *pgxpool.Pool, l History, policy string) (float64, error) {
	rows, wal, err := l.Written(ctx, pool, policy)
	if err != nil {
		return 0, fmt.Errorf("reading the WAL of earlier runs: %w", err)
	}
	if rows < EnoughRows {
		return 0, nil
	}
	return float64(wal) / float64(rows), nil
}
