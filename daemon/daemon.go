// Package daemon keeps every policy on time: it runs them by their schedules,
// shares the work with the other processes on the database, pings the monitors,
// and keeps the picture that metrics and the status page show.
package daemon

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

// Config is what a daemon needs.
type Config struct {
	// Pool has the connections that delete, as many as Connections says. Control
	// has one, for questions that must be answered at once, the guards' among them, and
	// Guards one for guards that may take longer by the policy file: else it is unused.
	Pool, Control, Guards *pgxpool.Pool

	Ledger  *ledger.Ledger
	Metrics *metrics.Metrics
	Pings   *heartbeat.Client
	Log     *slog.Logger
	Version string
	// Instance names this process among those on the database; no two may have
	// the same.
	Instance string

	// Observe: this process measures, reads the ledger and shows it all, and never
	// runs anything or pings anybody. Other processes run every policy by Schedule
	// (a CronJob does), so the policies' own schedules mean nothing here.
	Observe bool

	// FileName names the policy file, and Read reads it as it is now.
	FileName string
	Read     func() ([]byte, error)

	// Schedule is that of policies without one of their own; its time zone is
	// theirs too.
	Schedule string
	Zone     *time.Location
	// Jitter bounds by how much a policy's runs begin later than its schedule says,
	// the same each time; a tenth of the time between two at most. 0: not at all.
	Jitter time.Duration
	// Monitor is pinged for policies without a heartbeat of their own; the zero
	// Monitor: nobody is.
	Monitor heartbeat.Monitor

	Connections int           // that delete at a time
	Deadline    time.Duration // of a run; 0: none
	MaxRate     int64         // rows a second of each run; 0: no limit
	Patience    time.Duration // how long a run waits for a server that went away
	VacuumTime  time.Duration // bounds the vacuum of one table; 0: as purge has it
	ScanEvery   time.Duration // how often the lag is measured
	Grace       time.Duration // how long the end of the process may take
}

// How often the daemon looks at what.
const (
	tickEvery    = 500 * time.Millisecond              // clock, and what it shows
	pingEvery    = time.Second                         // the database, which has pingTimeout to answer
	pingTimeout  = quickGuards + 1500*time.Millisecond // a guard may be at it
	controlEvery = 5 * time.Second                     // the ledger, its lease, and the policy file
	sizeEvery    = ledger.SizeEvery                    // the sizes of tables
	leaseLength  = 20 * time.Second
	// askTimeout bounds everything that is read for the picture.
	askTimeout = 4 * time.Second
)

// leaseName is that of the one process that measures.
const leaseName = "scan"

// Daemon is one process.
type Daemon struct {
	Config
	started time.Time
	shared  *purge.Shared
	picture atomic.Pointer[web.Status]
	runs    sync.WaitGroup
	// stopping ends runs after the batch at hand, alive at once.
	stopping, alive context.Context
	loading         sync.Mutex // one reading of the policy file at a time
	// What was measured or read is old: a run has ended, or more is known of what
	// there is to measure.
	rescan, reread, resize chan struct{}

	// mu guards what follows.
	mu       sync.Mutex
	config   web.Config
	content  string // of the policy file in force
	file     *policy.File
	policies []*state
	watch    *guard.Watch  // by the policy file in force
	rewatch  chan struct{} // closed when watch is another one
	database web.Database
	pauses   []ledger.Pause
	ready    bool   // the ledger is there
	ledger   string // why the ledger cannot be used; empty: it can
	leader   string
	leased   time.Time // when the lease was last asked for and told
}

// New makes a daemon, which must be given a valid policy file: its error is the
// file's.
func New(c Config) (*Daemon, error) {
	d := &Daemon{Config: c, started: time.Now(), shared: purge.NewShared(c.Connections), rescan: make(chan struct{}, 1), reread: make(chan struct{}, 1), resize: make(chan struct{}, 1)}
	d.config.File = c.FileName
	d.database = web.Database{Error: "the database was not reached yet"}
	d.ledger = "it was not looked at yet"
	if err := d.load(nil); err != nil {
		return nil, err
	}
	d.paint()
	return d, nil
}

// Status is the latest picture. It is answered from memory.
func (d *Daemon) Status() web.Status { return *d.picture.Load() }

// Run works until ctx is done, and then ends within the grace time: no run begins
// any more, those under way end after their batch, the last pings are sent.
func (d *Daemon) Run(ctx context.Context) {
	alive, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	stopping, stop := context.WithCancel(alive)
	defer stop()
	loops, end := context.WithCancel(alive)
	defer end()
	d.alive, d.stopping = alive, stopping

	var all sync.WaitGroup
	all.Go(func() { d.watchGuards(loops) })
	all.Go(func() { every(loops, pingEvery, nil, d.ping) })
	all.Go(func() { every(loops, controlEvery, d.reread, d.control) })
	all.Go(func() { every(loops, controlEvery, nil, d.reload) })
	all.Go(func() { every(loops, d.ScanEvery, d.rescan, d.scan) })
	all.Go(func() { every(loops, sizeEvery, d.resize, d.sizes) })
	all.Go(func() { every(loops, tickEvery, nil, func(context.Context) { d.paint() }) })
	if d.Observe {
		<-ctx.Done()
	} else {
		every(ctx, tickEvery, nil, d.due)
	}

	began := time.Now()
	d.Log.Info("ending: runs end after the batch at hand", "grace", d.Grace)
	stop()
	d.awaitRuns(kill)
	end()
	all.Wait()
	d.farewell(time.Until(began.Add(d.Grace)))
}

// awaitRuns waits until all runs have ended; those that take too long are killed,
// which rolls their batches back.
func (d *Daemon) awaitRuns(kill func()) {
	done := make(chan struct{})
	go func() {
		d.runs.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(d.Grace * 6 / 10):
		d.Log.Warn("a batch takes too long for the grace time, and is rolled back")
		kill()
		select {
		case <-done:
		case <-time.After(d.Grace / 10):
			d.Log.Warn("a run does not end: its connections are cut") // the server rolls back
		}
	}
}

// farewell gives the lease back and sends the last pings.
func (d *Daemon) farewell(left time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), max(left*8/10, time.Second))
	defer cancel()
	var both sync.WaitGroup
	if d.leads() {
		both.Go(func() {
			once, cancel := context.WithTimeout(ctx, time.Second)
			defer cancel()
			if err := d.Ledger.Release(once, d.Control, leaseName, d.Instance); err != nil {
				d.Log.Warn("the lease is left to lapse", "error", safe(err))
			}
		})
		d.Metrics.SetLeader(false)
	}
	if err := d.Pings.Close(ctx); err != nil {
		d.Log.Warn("not every ping was sent", "error", err)
	}
	both.Wait()
}

// every does something at once, and again after each pause or when it is asked to,
// until ctx is done.
func every(ctx context.Context, pause time.Duration, asked chan struct{}, do func(context.Context)) {
	t := time.NewTicker(pause)
	defer t.Stop()
	for ctx.Err() == nil {
		do(ctx)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-asked:
		}
	}
}

// ask asks for something to be done as soon as may be.
func ask(what chan struct{}) {
	select {
	case what <- struct{}{}:
	default: // it is asked for already
	}
}
