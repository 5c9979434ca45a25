package guard

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Watch reads the signals and remembers the results. Its methods are safe for
// concurrent use.
type Watch struct {
	c     Config
	pool  *pgxpool.Pool
	log   *slog.Logger
	since time.Time // when it was created
	all   []*watched
	more  *more
	wal   *walDirectory
	web   *prometheus

	// unidentified is when a server last refused to identify itself; zero means never.
	// Only the reading goroutine uses it.
	unidentified time.Time

	turn  chan struct{} // held while the pool's connection is in use
	wrote atomic.Int64  // bytes of WAL that reaper has written

	// mu guards the fields below.
	mu             sync.Mutex
	before         *Watch // the Watch that this one replaces; nil once Run has started
	touched        map[uint32]bool
	readings       []Reading         // parallel to all
	wroteAtReading int64             // wrote as of the last storage reading
	projected      State             // state of the storage estimated by project, until the next reading applies it
	ask            checkpointRequest // the last checkpoint request
	others         []Reading
	finished       time.Time // end of the last round; zero if none yet
	last           time.Time // when a signal was last read or a round finished
	changed        chan struct{}
	ended          bool // changed is closed permanently
}

// New returns a Watch that reads over connections of pool, one at a time. The pool
// must not be the one the batches use: whatever stalls them would stall the guards.
func New(c Config, pool *pgxpool.Pool, log *slog.Logger) *Watch {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	w := &Watch{
		c: c.complete(), pool: pool, log: log, since: time.Now(), touched: map[uint32]bool{}, changed: make(chan struct{}),
		turn: make(chan struct{}, 1), wal: &walDirectory{}, web: newPrometheus(),
	}
	w.all = w.signals()
	w.more = &more{sources: c.More}
	for _, g := range w.all {
		w.readings = append(w.readings, g.first(w.since))
	}
	return w
}

// Run reads all signals at once and then every Config.Every until ctx is done. Call
// it once.
func (w *Watch) Run(ctx context.Context) {
	defer w.End()
	defer w.web.close()
	w.inherit()
	t := time.NewTicker(w.c.Every)
	defer t.Stop()
	for ctx.Err() == nil {
		w.round(ctx)
		select {
		case <-ctx.Done():
		case <-t.C:
		}
	}
}

// End wakes everyone waiting for another round, because there will be none or because
// another Watch has replaced this one. It does not end Run.
func (w *Watch) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.ended = true
		close(w.changed)
	}
}

// Succeed makes w replace another Watch that the same runs have obeyed, taking over
// what it remembers of guards and checkpoints. Start w.Run after the other's Run has
// ended. If the other never ran, its own predecessor counts.
func (w *Watch) Succeed(other *Watch) {
	other.mu.Lock()
	ask, before := other.ask, other
	if other.before != nil {
		before = other.before
	}
	other.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ask, w.before = ask, before
	w.ask.wrote -= before.wrote.Load() // w counts from zero
}

// inherit takes over the predecessor's state for guards that still exist: a pause
// ends as it would have, and a missing replica stays missing. Thresholds may have
// changed; the new ones then decide when a state is left.
func (w *Watch) inherit() {
	w.mu.Lock()
	before := w.before
	w.before = nil
	w.mu.Unlock()
	if before == nil {
		return
	}
	for _, g := range w.all {
		i := slices.IndexFunc(before.all, func(o *watched) bool { return o.name == g.name && o.seen })
		if i < 0 || g.Off != "" {
			continue
		}
		o := before.all[i]
		g.gauges, g.seen, g.known, g.server = o.gauges, o.seen, o.known, o.server
		if heir, ok := g.signal.(interface{ succeed(signal) }); ok {
			heir.succeed(o.signal)
		}
	}
}

// connectionTime bounds the wait for a connection that the rest of the process also
// uses, including the time to dial. It does not count against a reading's timeout.
const connectionTime = 5 * time.Second

func (w *Watch) connection(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectionTime)
	defer cancel()
	return w.pool.Acquire(ctx)
}

// round reads every signal once, in turn. Each has its own timeout, and its result
// counts immediately.
func (w *Watch) round(ctx context.Context) {
	for i, g := range w.all {
		if g.Off != "" {
			continue
		}
		wrote := w.wrote.Load()
		r := g.read(ctx, w)
		if ctx.Err() != nil {
			return
		}
		w.mu.Lock()
		w.readings[i] = r
		w.last = time.Now()
		if r.Guard == storageGuard {
			w.wroteAtReading = wrote
		}
		w.mu.Unlock()
	}
	others := w.more.read(ctx, w)
	if ctx.Err() != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.others = others
	w.finished = time.Now()
	w.last = w.finished
	if !w.ended {
		close(w.changed)
		w.changed = make(chan struct{})
	}
}

// exclusively runs do while holding the connection. Timeouts start only then, so a slow
// checkpoint does not make a reading late. It returns false if ctx ended first.
func (w *Watch) exclusively(ctx context.Context, do func()) bool {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-w.turn }()
	do()
	return true
}

// Advice returns the worst reading that applies to a policy, from memory, leaving
// out the guards named in but. The first of equals wins, except that storage gives way
// to a guard that names why WAL is kept. Before the first round, and when no signal
// was read for three intervals plus the longest timeout, it says pause: hanging
// guards are unknown.
func (w *Watch) Advice(policy string, but ...string) Advice {
	w.mu.Lock()
	defer w.mu.Unlock()
	worst := Advice{Share: 1}
	forbid, gives, external := 0, 0, false
	if reasonOf := w.stale(); reasonOf != "" {
		forbid++
		worst = Advice{State: Pause, Guard: "guards", Reason: reasonOf, Since: w.lastRead(), Share: minShare}
	}
	for _, readings := range [][]Reading{w.readings, w.others} {
		for _, r := range readings {
			if r.Policy != "" && r.Policy != policy || r.At.IsZero() || slices.Contains(but, r.Guard) {
				continue // another policy's, off, not read yet (see stale), or left out
			}
			if r.Guard == storageGuard {
				r = w.project(r)
			}
			if r.State >= Pause {
				forbid++
				external = external || r.external
				if r.reclaimable {
					gives++
				}
			}
			if r.outranks(worst) {
				worst = Advice{State: r.State, Guard: r.Guard, Reason: r.Reason, Since: r.Since, Share: r.Share}
			}
		}
	}
	worst.Checkpoint = forbid > 0 && forbid == gives
	// While a slot or replica kept WAL, a checkpoint cannot have freed all of it.
	w.ask.again = w.ask.again || gives > 0 && external
	return worst
}

// outranks reports whether r replaces the advice of the readings before it. When
// storage is full of retained WAL, the guard that names what retains it wins: a
// checkpoint frees nothing then, and someone has to act.
func (r Reading) outranks(a Advice) bool {
	if r.State != a.State || r.Share != a.Share {
		return r.State > a.State || r.State == a.State && r.Share < a.Share
	}
	return a.Guard == storageGuard && r.external
}

// lastRead is when a signal was last read, or else when the watch was created.
func (w *Watch) lastRead() time.Time {
	if w.last.IsZero() {
		return w.since
	}
	return w.last
}

// maxSilence is the longest gap between two readings of a healthy Watch: the interval
// with a margin, the wait for a connection, the slowest signal's timeout, and a call
// of Room. A round of many slow signals may take longer than that.
func (w *Watch) maxSilence() time.Duration {
	longest := w.c.Timeout
	for _, g := range w.all {
		longest = max(longest, g.timeout)
	}
	return 3*w.c.Every + connectionTime + longest + roomTimeouts*w.c.Timeout
}

// stale says why the remembered readings do not count; empty means they do.
func (w *Watch) stale() string {
	if w.finished.IsZero() {
		return "the guards have not been read yet"
	}
	if age := time.Since(w.last); age > w.maxSilence() {
		return fmt.Sprintf("the guards were last read %s ago; the interval is %s", length(age.Seconds()), length(w.c.Every.Seconds()))
	}
	return ""
}

// Readings returns all readings in the order of the policy file's reference, followed
// by custom guards, windows and external sources.
func (w *Watch) Readings() []Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(slices.Clone(w.readings), w.others...)
}

// Changed returns a channel that is closed when the current or next round finishes.
// After Run ends it returns a closed channel. Take the channel before asking for
// advice.
func (w *Watch) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

// Touch adds tables, by oid, that purges delete from.
func (w *Watch) Touch(tables []uint32) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, oid := range tables {
		w.touched[oid] = true
	}
}

// touchedTables returns the tables passed to Touch, in order.
func (w *Watch) touchedTables() []uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	oids := make([]uint32, 0, len(w.touched))
	for oid := range w.touched {
		oids = append(oids, oid)
	}
	slices.Sort(oids)
	return oids
}

// Wrote adds to the bytes of WAL written by reaper's own batches.
func (w *Watch) Wrote(walBytes int64) { w.wrote.Add(walBytes) }
