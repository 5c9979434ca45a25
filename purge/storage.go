package purge

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/guard"
)

// Storage is what a purge will need of it, as `plan -o json` prints it. Deleting
// needs room for WAL alone: dead rows stay where they were until a vacuum, and
// their room is then the table's to fill again.
type Storage struct {
	WALBytes int64 `json:"wal_bytes"` // written over all
	// PeakBytes is how much of it lies on the disk at a time: all of it, where
	// something keeps it there.
	PeakBytes   int64   `json:"peak_bytes"`
	DeadBytes   int64   `json:"dead_bytes"`
	BytesPerRow float64 `json:"wal_bytes_per_row"`
	Measured    bool    `json:"measured"` // in earlier runs; else estimated from the planner's numbers
	// FreeBytes is until a guard of the storage pauses; null: no guard knows.
	FreeBytes *int64   `json:"free_bytes"`
	Holders   []string `json:"wal_held_by"`
	// Runs is in how many runs the backlog fits; 0: a purge would be refused. Null:
	// not known.
	Runs *int64 `json:"runs"`
}

const (
	// deleteRecord is about how many bytes of WAL the deletion of a row is, without
	// page images: the heap's record with its headers.
	deleteRecord = 64
	// leastShare is the share of a backlog that has to fit for a run to begin.
	leastShare = 0.01
	// mostImages is how many times the planner's number a measured one is believed.
	mostImages = 2
	// enoughRows is how many rows earlier runs must have deleted for their WAL to
	// tell that of the next.
	enoughRows = 1000
)

// storageOf estimates what it takes to delete rows, by table name. perRow is the
// WAL a row of earlier runs, 0: not known.
func (p *Plan) storageOf(rows map[string]int64, perRow float64, room guard.Room) Storage {
	s := Storage{Measured: perRow > 0, FreeBytes: room.Free, Holders: append([]string{}, room.HeldBy()...)}
	var total int64
	for _, n := range p.Nodes {
		k := rows[n.Table.Name.String()]
		if k == 0 {
			continue
		}
		total += k
		s.DeadBytes += int64(float64(k) * n.meanBytes())
		// Each page is written whole at its first change after a checkpoint.
		s.WALBytes += k*deleteRecord + min(k*page, n.Table.Bytes)
	}
	if total == 0 {
		return s
	}
	if s.Measured {
		// Small runs, each soon after a checkpoint, wrote more pages a row than a large one
		// can: of every table and its indexes each page once.
		s.WALBytes = min(int64(perRow*float64(total)), mostImages*s.WALBytes)
	}
	s.BytesPerRow = float64(s.WALBytes) / float64(total)
	s.PeakBytes = s.WALBytes
	if len(room.Holders) == 0 {
		// What a checkpoint no longer needs is used again, or removed.
		most := room.MaxWAL + room.MaxWAL/10
		if room.WAL != nil {
			most = max(most-*room.WAL, 0)
		}
		s.PeakBytes = min(s.WALBytes, most)
	}
	s.Runs = s.runs()
	return s
}

// runs is in how many runs it fits. Where a checkpoint gives WAL back, one run does
// it with a pause for each.
func (s Storage) runs() *int64 {
	n := int64(1)
	switch {
	case s.FreeBytes == nil || *s.FreeBytes == 0: // then there is none before it is free
		return nil
	case s.PeakBytes <= *s.FreeBytes || len(s.Holders) == 0:
	case float64(*s.FreeBytes) < leastShare*float64(s.WALBytes):
		n = 0
	default:
		n = (s.WALBytes + *s.FreeBytes - 1) / *s.FreeBytes
	}
	return &n
}

// String says it to people.
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
		return text + "; nothing is free: the guard storage pauses it"
	}
	text += fmt.Sprintf("; %s are free until the guard storage pauses", bytes(*s.FreeBytes))
	switch {
	case *s.Runs == 0:
		text += ": that is too little to begin"
	case *s.Runs > 1:
		text += fmt.Sprintf(": %d runs, each as large as fits", *s.Runs)
	}
	return text
}

// Storage estimates what a purge of what was previewed needs.
func (p *Plan) Storage(ctx context.Context, pool *pgxpool.Pool, l Ledger, v *Preview, room guard.Room) (Storage, error) {
	perRow, err := walPerRow(ctx, pool, l, p.Policy.Name)
	if err != nil {
		return Storage{}, err
	}
	rows := map[string]int64{}
	for i, t := range v.Tables {
		switch {
		case i == 0:
			rows[t.Table] += v.ExpiredRows
		case t.ExpiredRows != nil && (t.Action == string(ByCascade) || t.Action == string(ByDelete)):
			rows[t.Table] = max(rows[t.Table], *t.ExpiredRows)
		}
	}
	return p.storageOf(rows, perRow, room), nil
}

// sizing is the look before the first batch, which one worker takes at a time: it reads
// the database, and the others wait for what comes of it.
type sizing struct {
	mu      sync.Mutex
	decided bool
	failed  int             // looks
	again   <-chan struct{} // closed when there is something else to see; nil: look
}

// mostLooks is how often a look is tried that fails.
const mostLooks = 3

// look takes a look, unless one has decided, or there is nothing else to see than at
// the last one.
func (s *sizing) look(changed func() <-chan struct{}, size func() (decided, failed bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.decided {
		return
	}
	select {
	case <-s.again:
	default:
		if s.again != nil {
			return
		}
	}
	s.again = changed()
	decided, failed := size()
	if failed {
		s.failed++
	}
	s.decided = decided || s.failed == mostLooks
}

// sizeRun looks, before the first batch, whether what is due fits on the disk with the
// WAL that its deletion writes: the run is made as large as fits, or refused. While
// a guard pauses the policy, or is about to, it does not look yet, for what keeps WAL
// now may be gone when that ends.
func (w *work) sizeRun(ctx context.Context) {
	if w.run.guard == nil {
		return
	}
	w.sizing.look(w.run.guard.Changed, func() (decided, failed bool) {
		decided, err := w.size(ctx)
		if err != nil {
			w.run.log.Warn("the run is not sized: the guards tell how it goes", "policy", w.plan.Policy.Name, "error", plain(err))
		}
		return decided, err != nil
	})
}

// size is sizeRun's look. Where nothing keeps WAL there is nothing to size: a checkpoint
// gives it back, and the guards pause for that. Where nothing is free, they are about to
// pause.
func (w *work) size(ctx context.Context) (decided bool, err error) {
	room, err := w.run.guard.Room(ctx)
	if err != nil {
		return false, err
	}
	if len(room.Holders) == 0 || room.Free == nil { // or no guard knows
		return true, nil
	}
	if *room.Free == 0 {
		return false, nil
	}
	perRow, err := walPerRow(ctx, w.run.pool, w.run.ledger, w.plan.Policy.Name)
	if err != nil {
		w.run.log.Warn("the run is sized by the planner's numbers alone", "policy", w.plan.Policy.Name, "error", plain(err))
	}
	roots := w.countDue(ctx)
	if most := w.run.opts.MaxRows; most > 0 && roots > most {
		roots = most
	}
	if roots == 0 {
		return true, nil
	}
	w.settleSize(roots, perRow, room)
	return true, nil
}

// settleSize makes the run as large as fits, where so many roots are due; below 0: a
// number that is not known.
func (w *work) settleSize(roots int64, perRow float64, room guard.Room) {
	all := w.need(roots, perRow, room)
	written, free := *room.Free+w.state.writtenByOthers(), w.state.unreserved(*room.Free)
	room.Free = &written
	alone := w.need(roots, perRow, room)
	room.Free = &free
	s := w.need(roots, perRow, room)
	z := runSize{reserved: min(s.WALBytes, free), due: max(roots, 0)}
	switch {
	case *all.Runs == 0 && *alone.Runs == 0:
		z.refused = fmt.Sprintf("%s due need %s", many(roots, "row", "rows"), all)
		if roots < 0 {
			z.refused = fmt.Sprintf("how much is due could not be counted in time; %d rows and what goes with them need %s", example, all)
		}
	case free == 0 || *s.Runs == 0:
		z.crowded = true
	case roots < 0: // as many as fit
		z.fitting, z.reserved = max(int64(float64(free)/s.BytesPerRow/w.plan.rowsPerRoot()), 1), free
	case *s.Runs > 1:
		z.fitting = max(int64(float64(roots)*float64(free)/float64(s.WALBytes)), 1)
	}
	w.state.setSize(z)
	switch {
	case z.fitting == 0:
	case roots < 0:
		w.run.log.Warn("the run is as large as fits: how much is due could not be counted in time", "policy", w.plan.Policy.Name, "roots", z.fitting, "free", humanize.IBytes(uint64(free)))
	default:
		w.run.log.Warn("the run is as large as fits", "policy", w.plan.Policy.Name, "roots", z.fitting, "due", roots, "needs", s.String())
	}
}

// example is how many roots stand for a number that is not known.
const example = 10_000

// need estimates what it takes to delete so many roots; below 0: a number that is
// not known, of which some are taken for an example.
func (w *work) need(roots int64, perRow float64, room guard.Room) Storage {
	if roots < 0 {
		roots = example
	}
	rows := map[string]int64{}
	for _, n := range w.plan.Nodes {
		if n.Deleted {
			rows[n.Table.Name.String()] = int64(float64(roots) * w.plan.perRoot(n))
		}
	}
	return w.plan.storageOf(rows, perRow, room)
}

// rowsPerRoot is how many rows over all tables go with a root, itself among them, by
// the planner's numbers.
func (p *Plan) rowsPerRoot() (rows float64) {
	for _, n := range p.Nodes {
		if n.Deleted {
			rows += p.perRoot(n)
		}
	}
	return rows
}

// perRoot is how many rows of a node go with a root, by the planner's numbers.
func (p *Plan) perRoot(n *Node) float64 {
	if n == p.Root {
		return 1
	}
	if p.Root.Table.EstimatedRows <= 0 {
		return 0
	}
	return max(n.Table.EstimatedRows, 0) / p.Root.Table.EstimatedRows
}

// fits tells whether a sized run may go on. Once it has deleted enough for its own
// WAL to tell, and again when it has come to its end, it is sized anew by what it
// has written and what is free now; or not at all any more, when nothing keeps WAL:
// then a checkpoint gives it back, and the guards pause for that.
func (w *work) fits(ctx context.Context) bool {
	if w.sizeRun(ctx); w.stopping() {
		return false
	}
	x, again := w.state.sizeAgain()
	if !again {
		return true
	}
	fitting := x.fitting
	room, err := w.run.guard.Room(ctx)
	switch {
	case err == nil && len(room.Holders) == 0:
		fitting = 0
	case err == nil && room.Free != nil && x.wal > 0 && x.roots > 0:
		fitting = x.roots + int64(float64(w.state.unreserved(*room.Free))/(float64(x.wal)/float64(x.roots)))
	}
	w.state.resize(x, fitting)
	if fitting == 0 || fitting > x.roots {
		return true
	}
	reason := fmt.Sprintf("the run was as large as fits: %s went", many(x.roots, "row", "rows"))
	if len(room.Holders) > 0 {
		reason += "; WAL is kept by " + strings.Join(room.HeldBy(), ", ")
	}
	w.state.stop(reason)
	return false
}

// walPerRow is what a row of the policy's earlier runs has cost; 0: too little is
// known.
func walPerRow(ctx context.Context, pool *pgxpool.Pool, l Ledger, policy string) (float64, error) {
	rows, wal, err := l.Written(ctx, pool, policy)
	if err != nil {
		return 0, fmt.Errorf("reading what earlier runs have written: %w", err)
	}
	if rows < enoughRows {
		return 0, nil
	}
	return float64(wal) / float64(rows), nil
}
