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

// Watch reads the signals and remembers what they say. Its methods may be called
// from anywhere at any time.
type Watch struct {
	c     Config
	pool  *pgxpool.Pool
	log   *slog.Logger
	since time.Time // when it was made
	all   []*watched
	more  *more
	wal   *walDirectory
	web   *prometheus

	// unidentified is when a server last refused to say which it is; zero: none has. It
	// belongs to the goroutine that reads.
	unidentified time.Time

	turn  chan struct{} // of whoever uses the pool's connection
	wrote atomic.Int64  // bytes of WAL that reaper has written

	// mu guards what follows.
	mu       sync.Mutex
	before   *Watch // whose place it has taken, until it is run
	touched  map[uint32]bool
	readings []Reading // one for each of all, in its order
	stored   int64     // what was written when the storage was last read
	raised   State     // of the storage, by ahead, that no reading has taken in yet
	ask      asking    // of the last checkpoint
	others   []Reading
	finished time.Time // the last round; zero: none yet
	last     time.Time // when a signal was last read, or a round finished
	changed  chan struct{}
	ended    bool // changed is closed for good
}

// New makes a Watch that reads over connections of pool, one at a time. The pool
// must not be that of the batches: what holds them up would hold up the guards.
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

// Run reads all signals at once, and again every Config.Every, until ctx is done.
// It is to be called once.
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

// End wakes whoever waits for another round: there is none, or another Watch has taken
// the place of this one. It ends no Run.
func (w *Watch) End() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.ended {
		w.ended = true
		close(w.changed)
	}
}

// Succeed makes the Watch take the place of another, which the same runs have obeyed:
// what that one remembers of guards and checkpoints is its own. It is to be run when
// the Run of the other has ended; one that was never run stands for the one before.
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
	w.ask.wrote -= before.wrote.Load() // it counts anew
}

// inherit takes over what the Watch before remembers of guards that there still are: a
// pause is left as it would have been, and what was missed is missed. Thresholds may be
// others: a state is then left by these.
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

// connectionTime bounds the wait for a connection that others of the process use too,
// for questions of their own, and the making of one: it counts for no reading's time.
const connectionTime = 5 * time.Second

func (w *Watch) connection(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectionTime)
	defer cancel()
	return w.pool.Acquire(ctx)
}

// round reads every signal once, one after the other: each has its own time, and
// what one says counts from the moment it has said it.
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
			w.stored = wrote
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

// inTurn does something with the connection once nobody else of the Watch uses it:
// the time that it may take begins then, and a reading is not late for what a
// checkpoint takes. False: ctx was done before.
func (w *Watch) inTurn(ctx context.Context, do func()) bool {
	select {
	case w.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	defer func() { <-w.turn }()
	do()
	return true
}

// Advice is the worst of the readings that count for a policy, from memory; of equals
// the first, but that the storage gives way to what names why WAL is kept. Before the
// first round, and when no signal was read for three intervals and the time that
// one may take, it says pause: guards that hang are unknown.
// Guards named in but are left out.
func (w *Watch) Advice(policy string, but ...string) Advice {
	w.mu.Lock()
	defer w.mu.Unlock()
	worst := Advice{Share: 1}
	forbid, gives, somebody := 0, 0, false
	if why := w.stale(); why != "" {
		forbid++
		worst = Advice{State: Pause, Guard: "guards", Reason: why, Since: w.lastRead(), Share: slowest}
	}
	for _, readings := range [][]Reading{w.readings, w.others} {
		for _, r := range readings {
			if r.Policy != "" && r.Policy != policy || r.At.IsZero() || slices.Contains(but, r.Guard) {
				continue // it is another's, off, not read yet, which stale tells, or left out
			}
			if r.Guard == storageGuard {
				r = w.ahead(r)
			}
			if r.State >= Pause {
				forbid++
				somebody = somebody || r.somebody
				if r.returns {
					gives++
				}
			}
			if r.speaksBefore(worst) {
				worst = Advice{State: r.State, Guard: r.Guard, Reason: r.Reason, Since: r.Since, Share: r.Share}
			}
		}
	}
	worst.Checkpoint = forbid > 0 && forbid == gives
	// What a checkpoint gave back while somebody kept WAL was not all of it.
	w.ask.again = w.ask.again || gives > 0 && somebody
	return worst
}

// speaksBefore tells that a reading is what a policy hears, and not the advice of the
// readings before it. A storage that is full of WAL which is kept for somebody is told
// by who that is: no checkpoint gives it back, and he is to be seen to.
func (r Reading) speaksBefore(a Advice) bool {
	if r.State != a.State || r.Share != a.Share {
		return r.State > a.State || r.State == a.State && r.Share < a.Share
	}
	return a.Guard == storageGuard && r.somebody
}

// lastRead is when a signal was last read, or when the watch was made.
func (w *Watch) lastRead() time.Time {
	if w.last.IsZero() {
		return w.since
	}
	return w.last
}

// silence is the longest time between two signals' readings of a Watch that is well:
// the pause between two rounds, with room to spare, the wait for the connection, the
// time of the slowest signal, and of a look at what there is for a run. A round of many slow signals takes longer.
func (w *Watch) silence() time.Duration {
	slowest := w.c.Timeout
	for _, g := range w.all {
		slowest = max(slowest, g.timeout)
	}
	return 3*w.c.Every + connectionTime + slowest + roomTimeouts*w.c.Timeout
}

// stale says why what is remembered does not count; empty: it does.
func (w *Watch) stale() string {
	if w.finished.IsZero() {
		return "the guards were not read yet"
	}
	if age := time.Since(w.last); age > w.silence() {
		return fmt.Sprintf("the guards were last read %s ago, and are to be read every %s", length(age.Seconds()), length(w.c.Every.Seconds()))
	}
	return ""
}

// Readings are all of them, in the order of the policy file's reference, custom
// ones, windows and those made elsewhere last.
func (w *Watch) Readings() []Reading {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append(slices.Clone(w.readings), w.others...)
}

// Changed is closed when the round that is under way, or the next, is finished, and
// when Run ends; from then on it gives a channel that is closed. Take it before
// asking for advice.
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

// touching are the tables of Touch, in order.
func (w *Watch) touching() []uint32 {
	w.mu.Lock()
	defer w.mu.Unlock()
	oids := make([]uint32, 0, len(w.touched))
	for oid := range w.touched {
		oids = append(oids, oid)
	}
	slices.Sort(oids)
	return oids
}

// Wrote adds to the bytes of WAL that reaper's own batches have written.
func (w *Watch) Wrote(walBytes int64) { w.wrote.Add(walBytes) }
