package daemon

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/tracing"
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
	Tracer  *tracing.Tracer // nil: no traces
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

	only []string      // policies that are looked at; nil: all
	find time.Duration // how long finding the most overdue rows may take; 0: scanTimeout
}

// How often the daemon looks at what.
const (
	tickEvery    = 500 * time.Millisecond              // clock, and what it shows
	pingEvery    = time.Second                         // the database, which has pingTimeout to answer
	pingTimeout  = quickGuards + 1500*time.Millisecond // a guard may be at it
	controlEvery = 5 * time.Second                     // the ledger, its lease, and the policy file
	sizeEvery    = ledger.SizeEvery                    // the sizes of tables
	// askTimeout bounds everything that is read for the picture.
	askTimeout = 4 * time.Second
)

// Daemon is one process. What it knows is with its parts, each of which guards its own;
// the Daemon wires them together.
type Daemon struct {
	Config
	started time.Time
	shared  *purge.Shared
	book    book
	picture atomic.Pointer[web.Status]

	file      *policyFile
	timetable *timetable
	scheduler *scheduler
	runs      *runs
	pulse     *pulse
	outage    *outage
	presence  *presence
	control   *control
	lease     *lease
	pauses    *pauses
	erasures  *erasures
	holds     atomic.Pointer[[]ledger.Hold] // in force, by hand; nil: not read yet
	database  atomic.Pointer[string]        // what the latch says; nil: it was not asked yet
	history   *history
	scans     *scans
	targets   *targets
	sizes     *sizes
	watching  *watching
	pruning   pruning
	numbered  time.Time // when this process last gave ids to everybody's events; the control loop's alone
	copies    copies

	// What was measured or read is old: a run has ended, or more is known of what
	// there is to measure.
	rescan, reread, resize chan struct{}
	// This process has begun to lead, and looks which erasures are due.
	reerase chan struct{}
}

// New makes a daemon, which must be given a valid policy file: its error is the
// file's.
func New(c Config) (*Daemon, error) {
	d := &Daemon{
		Config: c, started: time.Now(), shared: purge.NewShared(c.Connections), book: book{c.Ledger, c.Control, c.Instance},
		rescan: make(chan struct{}, 1), reread: make(chan struct{}, 1), resize: make(chan struct{}, 1), reerase: make(chan struct{}, 1),
		targets: &targets{}, watching: &watching{},
	}
	d.pulse = newPulse(time.Now, c.Log, c.Metrics, askDatabase(c.Control))
	d.outage = newOutage(time.Now, c.Log, d.tellDown, d.tellBack)
	d.timetable = newTimetable(time.Now, c.Log)
	d.runs = newRuns(c.Log, d.timetable.inForce)
	d.presence = newPresence(d.book, d.runs.any, d.pulse.complain)
	d.lease = newLease(c.Instance, d.book, time.Now, c.Log, c.Metrics, func() {
		ask(d.rescan)
		ask(d.reerase)
	})
	d.pauses = newPauses(time.Now, c.Log, c.Metrics)
	d.erasures = newErasures(c.Metrics)
	d.history = newHistory(d.book, c.Metrics, d.lease.leads, d.ended)
	d.control = newControl(d.book, c.Observe, d.pulse.up, d.pulse.complain, d.lease.renew, d.readPauses, d.readHolds, d.readErasures, d.history.read, d.readScans, d.readCopies, d.publish, d.signOfLife, d.numberEvents)
	d.scans = newScans(survey{c.Pool, c.Ledger, cmp.Or(c.find, scanTimeout)}, d.book, d.planned, time.Now, c.Metrics, d.pulse.complain)
	d.scans.judgeBy(func(e entry) time.Duration { return e.lagLimit(d.history.of(e.name()).runs) })
	d.sizes = newSizes(d.takeSample, d.book, c.Metrics, d.pulse.complain)
	d.scheduler = &scheduler{
		timetable: d.timetable, claims: d.book, closed: d.watching.closed, running: d.runs.running, free: d.free, begin: d.begin, promote: d.runs.promote, complain: d.pulse.complain,
	}
	d.file = newPolicyFile(c, time.Now, d.adopt)
	if err := d.file.load(nil); err != nil {
		return nil, err
	}
	d.paint()
	return d, nil
}

// Status is the latest picture. It is answered from memory.
func (d *Daemon) Status() web.Status { return *d.picture.Load() }

// Reload looks at the policy file now.
func (d *Daemon) Reload(ctx context.Context) { d.file.reload(ctx) }

// Run works until ctx is done, and then ends within the grace time: no run begins
// any more, those under way end after their batch, the last pings are sent.
func (d *Daemon) Run(ctx context.Context) {
	defer d.runs.kill()
	loops, end := context.WithCancel(d.runs.lifetime())
	defer end()

	var all sync.WaitGroup
	all.Go(func() { d.watching.run(loops) })
	all.Go(func() { every(loops, pingEvery, nil, d.beat) })
	all.Go(func() { every(loops, ledger.PresenceEvery, nil, d.presence.beat) })
	all.Go(func() { every(loops, controlEvery, d.reread, d.control.round) })
	all.Go(func() { every(loops, controlEvery, nil, d.file.reload) })
	all.Go(func() { every(loops, d.ScanEvery, d.rescan, d.scan) })
	all.Go(func() { every(loops, sizeEvery, d.resize, d.size) })
	all.Go(func() { every(loops, verifyLook, nil, d.verify) })
	all.Go(func() { every(loops, tickEvery, nil, func(context.Context) { d.paint() }) })
	if d.Observe {
		<-ctx.Done()
	} else {
		d.runs.start(func() { every(d.runs.ending(), erasuresEvery, d.reerase, d.erase) })
		every(ctx, tickEvery, nil, d.due)
	}

	began := time.Now()
	d.Log.Info("shutting down: runs finish their current batch", "grace_seconds", d.Grace.Seconds())
	d.runs.await(d.Grace)
	end()
	all.Wait()
	d.farewell(time.Until(began.Add(d.Grace)))
}

// farewell gives the lease back and sends the last pings.
func (d *Daemon) farewell(left time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), max(left*8/10, time.Second))
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { d.lease.release(ctx) })
	all.Go(func() { d.leave(ctx) })
	if err := d.Pings.Close(ctx); err != nil {
		d.Log.Warn("some pings were not sent", "error", err)
	}
	all.Wait()
}

// leave ends this process's signs of life: whatever it has claimed has ended.
func (d *Daemon) leave(ctx context.Context) {
	if d.Observe || !d.control.ready() || !d.pulse.up() {
		return
	}
	once, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := d.book.Leave(once); err != nil {
		d.Log.Warn("sign of life not removed; it expires by itself", "error", safe(err))
	}
}

// beat asks the database, and tells of one that stays down.
func (d *Daemon) beat(ctx context.Context) {
	d.pulse.beat(ctx)
	d.outage.look(d.pulse.state())
}

// adopt puts a policy file in force; before is nil at first. The timetable comes first,
// for runs that begin meanwhile are then those of the new file.
func (d *Daemon) adopt(before, after *policy.File, entries []entry) {
	names := namesOf(entries)
	changed := d.timetable.adopt(entries)
	d.timetable.again(d.runs.adopt(entries))
	d.pauses.adopt(names)
	d.history.adopt(names)
	d.scans.adopt(names, changed)
	d.targets.adopt(names)
	if before == nil || !reflect.DeepEqual(unplacedValue(before.Guards), unplacedValue(after.Guards)) {
		d.watching.adopt(d.newWatch(after), d.targets.oids)
	}
	var known []metrics.Policy
	interval := intervals(time.Now())
	for _, e := range entries {
		known = append(known, metrics.Policy{Name: e.name(), Tables: d.targets.of(e.name()).tables, MaxLag: e.maxLag(), Interval: interval(e.schedule), Archive: e.policy.Archive})
	}
	d.Metrics.SetPolicies(known...)
	if before != nil {
		ask(d.resize) // the limit may be another one
	}
}

// intervals gives the length of a schedule's longest cycle, which takes milliseconds to find, once
// for all policies that share it.
func intervals(now time.Time) func(policy.Schedule) time.Duration {
	known := map[string]time.Duration{}
	return func(s policy.Schedule) time.Duration {
		length, found := known[s.String()]
		if !found {
			length = s.Longest(now)
			known[s.String()] = length
		}
		return length
	}
}

// newWatch makes what reads the guards of a policy file.
func (d *Daemon) newWatch(file *policy.File) *guard.Watch {
	c, pool := file.Guards, d.Guards
	c.Application = d.application()
	if c.Timeout <= quickGuards {
		c.Shared, pool = true, d.Control
	}
	return NewWatch(c, pool, d.Ledger, d.Log)
}

// free reports whether another run may begin: as many are under way as have a connection.
func (d *Daemon) free() bool { return d.runs.free(max(d.Connections, 1)) }

// due begins the runs that are due.
func (d *Daemon) due(ctx context.Context) {
	if d.control.ready() && d.pulse.up() {
		d.scheduler.due(ctx)
	}
}

// scan measures what is due of each policy, in the one process that has the lease.
func (d *Daemon) scan(ctx context.Context) {
	if d.control.ready() && d.lease.leads() {
		d.scans.round(ctx, d.timetable.entries())
	}
}

func (d *Daemon) readPauses(ctx context.Context) error {
	all, err := d.book.Pauses(ctx)
	if err == nil {
		d.pauses.see(all)
	}
	return err
}

func (d *Daemon) readHolds(ctx context.Context) error {
	all, err := d.book.Holds(ctx)
	if errors.Is(err, ledger.ErrHoldsDenied) {
		d.pulse.complain("the holds", err) // status is worth showing all the same
		err = nil
	}
	if err == nil {
		d.holds.Store(&all)
		d.Metrics.SetHolds(len(all))
	}
	return err
}

func (d *Daemon) readScans(ctx context.Context) error {
	return d.scans.read(ctx, d.timetable.entries())
}

func (d *Daemon) publish(context.Context) error {
	d.timetable.publish(d.Metrics)
	if d.scans.waiting(d.timetable.entries()) {
		ask(d.rescan)
	}
	return nil
}

// ended is told that the ledger has another last run of a policy than before. An
// observer measures it then, as others do after a run of their own.
func (d *Daemon) ended(name string) {
	if d.Observe {
		d.scans.again(name)
		ask(d.rescan)
	}
}

// planned takes over the tables that a policy's runs delete from.
func (d *Daemon) planned(name string, p *plan.Plan) {
	t := targetOf(p)
	if d.targets.note(name, t) {
		ask(d.resize)
	}
	d.watching.touch(t.oids)
}

// size looks at how large everything is, and how it grows.
func (d *Daemon) size(ctx context.Context) { d.sizes.round(ctx, d.sizing()) }

func (d *Daemon) takeSample(ctx context.Context, oids []uint32) (sample, error) {
	return takeSample(ctx, d.Control, oids)
}

// sizing is what there is to look at: the tables that are known to be deleted from. The
// ledger keeps nothing while a policy's tables will still become known.
func (d *Daemon) sizing() sizing {
	now, all := time.Now(), true
	s := sizing{cycles: map[string]time.Duration{}, readable: d.control.ready()}
	for _, e := range d.timetable.entries() {
		s.cycles[e.name()] = cycle(e.schedule, now)
		t, m := d.targets.of(e.name()), d.scans.of(e.name())
		all = all && (t.oids != nil || m.problem != "")
		if t.oids == nil {
			continue
		}
		r := root{policy: e.name(), table: t.root}
		if m.scan != nil && !stale(m.scan, now, d.ScanEvery) {
			r.backlog = m.scan.Rows
		}
		s.oids, s.roots = append(s.oids, t.oids...), append(s.roots, r)
	}
	s.keep = all && d.lease.leads()
	if limit := d.file.inForce().Guards.Storage.Limit; limit > 0 {
		s.limit = &limit
	}
	return s
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
