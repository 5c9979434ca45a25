package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/daemon"
	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

func (a *app) runCommand() *cobra.Command {
	var once bool
	cmd := &cobra.Command{
		Use: "run", Short: "The daemon: purge by schedule, ping monitors, show metrics and a status page", Args: noArgs,
		Long: `run is the daemon: it purges by each policy's schedule, pings cron monitors, and
serves a status page, health and Prometheus metrics. Any number of processes may run
on one database: each scheduled run is claimed by one of them, and the others assist. A changed policy file is reloaded automatically, or at once on
SIGHUP; an invalid one changes nothing. SIGTERM ends run after the current batch.

With --once it runs every policy once now, without asking, and exits with the exit
codes of purge: for a CronJob. It waits up to REAPER_PATIENCE for a database that is
away. With -o json or --log-format json both streams are JSON: stdout has the report,
stderr one log record a line.

With --observe it serves the same page, health and metrics next to such a CronJob,
whose schedule is then --schedule: it measures and reads the ledger, runs nothing,
and pings no monitor.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.talkative(cmd); err != nil {
				return err
			}
			if once && a.Observe {
				return usage(errors.New("--once and --observe (REAPER_OBSERVE): use only one of them"))
			}
			if once {
				return a.runOnce(cmd.Context())
			}
			return a.daemon(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&once, "once", false, "run every policy once now, then exit")
	f.BoolVar(&a.Observe, "observe", a.Observe, "run nothing: measure, and show what other processes do (REAPER_OBSERVE)")
	f.StringVar(&a.ListenAddr, "listen-addr", a.ListenAddr, "address of the status page, health and metrics (REAPER_LISTEN_ADDR)")
	f.StringVar(&a.Schedule, "schedule", a.Schedule, "cron expression for policies without a schedule (REAPER_SCHEDULE)")
	f.StringVar(&a.TimeZone, "time-zone", a.TimeZone, "of the schedules (REAPER_TIME_ZONE)")
	f.DurationVar(&a.Jitter, "jitter", a.Jitter, "maximum delay of a run after its scheduled time, different for each policy (REAPER_JITTER)")
	f.StringVar(&a.Instance, "instance", a.Instance, "unique name of this process; default: the host and a random suffix (REAPER_INSTANCE)")
	f.DurationVar(&a.ScanInterval, "scan-interval", a.ScanInterval, "how often lag and backlog are measured (REAPER_SCAN_INTERVAL)")
	f.DurationVar(&a.Grace, "grace", a.Grace, "how long shutdown may take after SIGTERM (REAPER_GRACE)")
	f.StringVar(&a.MaxDuration, "max-duration", a.MaxDuration, "end each run after this time: 10m (REAPER_MAX_DURATION)")
	f.Int64Var(&a.MaxRate, "max-rate", a.MaxRate, "delete at most this many rows a second in each run (REAPER_MAX_RATE)")
	f.IntVar(&a.Connections, "connections", a.Connections, "how many connections delete at a time; one more is used for everything else (REAPER_CONNECTIONS)")
	return cmd
}

// talkative makes a daemon log each run by default.
func (a *app) talkative(cmd *cobra.Command) error {
	if _, set := os.LookupEnv("REAPER_LOG_LEVEL"); set || cmd.Flags().Changed("log-level") {
		return nil
	}
	a.LogLevel = slog.LevelInfo
	return a.prepare()
}

// monitor is the one pinged for policies without their own.
func (a *app) monitor() (heartbeat.Monitor, error) {
	if a.Heartbeat == "" {
		return heartbeat.Monitor{}, nil
	}
	m, err := heartbeat.Parse(a.Heartbeat, a.HeartbeatKind)
	if err != nil {
		return m, usage(fmt.Errorf("REAPER_HEARTBEAT: %w", err))
	}
	return m, nil
}

// daemonConfig is the daemon's configuration from the settings.
func (a *app) daemonConfig() (c daemon.Config, err error) {
	o, err := a.options()
	if err != nil {
		return c, err
	}
	c = daemon.Config{
		Log: a.log, Version: version, Instance: cmp.Or(a.Instance, instanceName()), FileName: a.PolicyFile,
		Read: func() ([]byte, error) { return os.ReadFile(a.PolicyFile) }, Schedule: a.Schedule, Jitter: a.Jitter, Observe: a.Observe,
		Connections: a.Connections, Deadline: o.MaxDuration, MaxRate: o.MaxRate,
		// A run waits for an unreachable database instead of failing.
		Patience: max(a.Patience, 5*time.Minute), VacuumTime: a.VacuumTime, ScanEvery: a.ScanInterval, Grace: a.Grace,
	}
	if a.ScanInterval < time.Second || a.Grace < time.Second || a.Jitter < 0 {
		return c, usage(errors.New("--scan-interval and --grace: at least one second; --jitter: not negative"))
	}
	if _, port, err := net.SplitHostPort(a.ListenAddr); err != nil || port == "" {
		return c, usage(fmt.Errorf("--listen-addr %s: write an address with a port, like :8080 or 127.0.0.1:8080", a.ListenAddr))
	}
	if c.Zone, err = time.LoadLocation(a.TimeZone); err != nil {
		return c, usage(fmt.Errorf("--time-zone %q: write one like Europe/Paris", a.TimeZone))
	}
	if _, err := policy.ParseSchedule(a.Schedule, c.Zone); err != nil {
		return c, usage(fmt.Errorf("--schedule %q: %w", a.Schedule, err))
	}
	if c.Monitor, err = a.monitor(); err != nil {
		return c, err
	}
	c.Ledger, err = a.ledger()
	return c, err
}

func (a *app) daemon(ctx context.Context) error {
	c, err := a.daemonConfig()
	if err != nil {
		return err
	}
	if _, err := a.readPolicy(); err != nil {
		return err
	}
	if c.Pool, err = a.pool(ctx, a.Connections); err != nil {
		return err
	}
	defer closeSoon(c.Pool)
	if c.Control, err = a.pool(ctx, 1); err != nil {
		return err
	}
	defer closeSoon(c.Control)
	if c.Guards, err = a.pool(ctx, 1); err != nil {
		return err
	}
	defer closeSoon(c.Guards)
	return a.serve(ctx, c)
}

// closeSoon closes a pool without waiting long for a server that does not answer.
func closeSoon(pool *pgxpool.Pool) {
	done := make(chan struct{})
	go func() {
		pool.Close()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(500 * time.Millisecond):
	}
}

// serve listens and runs the daemon until ctx is done, then stops both.
func (a *app) serve(ctx context.Context, c daemon.Config) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), metrics.Pool(poolStats(c.Pool, c.Control, c.Guards)))
	c.Metrics = metrics.New(registry, metrics.Build{Version: version, Revision: revision(), GoVersion: runtime.Version()})
	c.Pings = heartbeat.New(heartbeat.Config{Version: version, Logger: a.log, Observe: func(r heartbeat.Result) {
		if r.Outcome == heartbeat.Sent {
			c.Metrics.HeartbeatSent(string(r.Event), r.At)
		} else {
			c.Metrics.HeartbeatNotSent(string(r.Event), string(r.Outcome))
		}
	}})
	a.started("instance", c.Instance, "observe", c.Observe)
	tracer, err := a.tracer(ctx)
	if err != nil {
		return err
	}
	defer a.closeTracer(tracer)
	c.Tracer = tracer
	d, err := daemon.New(c)
	if err != nil {
		return usage(err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", a.ListenAddr)
	if err != nil {
		return usage(fmt.Errorf("--listen-addr %s: %s; write another one", a.ListenAddr, notListening(err)))
	}
	server := &http.Server{
		Handler: web.New(web.Options{
			Status: d.Status, Log: a.log, Addr: listener.Addr(), Name: a.ListenAddr,
			Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		}),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 1 << 16, ErrorLog: slog.NewLogLogger(a.log.Handler(), slog.LevelWarn),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	a.log.Info("serving", "addr", listener.Addr().String())

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	go func() {
		for {
			select {
			case <-hangups:
				d.Reload(ctx)
			case err := <-served: // ended unexpectedly
				cancel(fmt.Errorf("serving on %s: %w", a.ListenAddr, err))
				return
			case <-ctx.Done():
				return
			}
		}
	}()
	d.Run(ctx)
	end, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer stop()
	if err := server.Shutdown(end); err != nil {
		a.log.Warn("HTTP requests were aborted", "error", err)
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return failed(err)
	}
	return nil
}

// notListening says why nothing can listen on an address.
func notListening(err error) string {
	if system, ok := errors.AsType[*os.SyscallError](err); ok {
		return system.Err.Error()
	}
	return "there is no such address here"
}

// started is the first line of the log.
func (a *app) started(more ...any) {
	attrs := []any{"version", version}
	if r := revision(); r != "" {
		attrs = append(attrs, "revision", r)
	}
	a.log.Info("reaper started", append(attrs, more...)...)
}

// instanceName is the host's name and a unique suffix: after a restart, the previous process is not
// taken for alive.
func instanceName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "reaper"
	}
	return fmt.Sprintf("%s-%s", host, uuid.NewString()[:8])
}

func poolStats(pools ...*pgxpool.Pool) func() metrics.PoolStats {
	return func() (all metrics.PoolStats) {
		for _, pool := range pools {
			s := pool.Stat()
			all.Acquired += int64(s.AcquiredConns())
			all.Idle += int64(s.IdleConns())
			all.Total += int64(s.TotalConns())
			all.Max += int64(s.MaxConns())
			all.Acquires += s.AcquireCount()
			all.AcquireWait += s.AcquireDuration()
			all.Canceled += s.CanceledAcquireCount()
		}
		return all
	}
}

// runOnce makes one run of every policy and notifies the monitors, even if the run could not start.
func (a *app) runOnce(ctx context.Context) error {
	// Flags and settings that restrict a purge do not apply here.
	a.Yes, a.Policies, a.Tenants, a.OlderThan, a.MaxRows = true, nil, nil, "", nil
	opts, err := a.options()
	if err != nil {
		return err
	}
	id, err := uuid.NewV7() // as purge makes them
	if err != nil {
		return failed(err)
	}
	opts.Trigger, opts.RunID = triggerOnce, id.String()
	a.started("run_id", opts.RunID)
	o := &once{app: a, runID: opts.RunID, pings: heartbeat.New(heartbeat.Config{Version: version, Logger: a.log})}
	defer o.flush(ctx)
	if err := o.read(); err != nil {
		return err
	}
	for _, p := range o.policies {
		o.pings.Send(o.monitors[p.Name], heartbeat.Ping{Event: heartbeat.Start, RunID: o.runID, Policy: p.Name})
	}
	report, err := o.purge(ctx, opts)
	o.tell(report, err)
	if err != nil {
		return err
	}
	return a.report(report)
}

// once is a run of every policy, and the monitors it notifies.
type once struct {
	app      *app
	runID    string
	policies []policy.Policy
	monitors map[string]heartbeat.Monitor
	pings    *heartbeat.Client
}

func (o *once) read() error {
	global, err := o.app.monitor()
	if err != nil {
		return err
	}
	file, err := o.app.readPolicy()
	if err != nil {
		return err
	}
	o.policies, o.monitors = file.Policies, map[string]heartbeat.Monitor{}
	for _, p := range file.Policies {
		if o.monitors[p.Name], err = daemon.MonitorOf(p, o.app.PolicyFile, global); err != nil {
			return usage(err)
		}
	}
	return nil
}

func (o *once) purge(ctx context.Context, opts purge.Options) (*purge.Report, error) {
	s, err := o.app.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.pool.Close()
	report, err := o.app.purgeAs(ctx, s, opts)
	if err == nil && s.file.Erasure != nil {
		o.app.eraseOnce(ctx, s)
	}
	return report, err
}

// tell sends the results to the monitors.
func (o *once) tell(report *purge.Report, failure error) {
	verdicts := map[string]heartbeat.Ping{}
	for _, p := range o.policies {
		verdicts[p.Name] = heartbeat.Ping{Event: heartbeat.Fail, RunID: o.runID, Policy: p.Name, Status: string(purge.Failed)}
	}
	if failure != nil {
		for name, v := range verdicts {
			v.Reason = failure.Error()
			verdicts[name] = v
		}
	} else {
		for _, r := range report.Policies {
			daemon.LogRun(o.app.log, o.runID, triggerOnce, r)
			for _, p := range o.policies {
				if p.Name == r.Name {
					verdicts[p.Name] = daemon.Verdict(p, o.runID, r)
				}
			}
		}
	}
	// A monitor shared by several policies gets no success if one of them failed.
	for _, p := range o.policies {
		v := verdicts[p.Name]
		for _, q := range o.policies {
			if v.Event == heartbeat.Success && verdicts[q.Name].Event == heartbeat.Fail && o.monitors[p.Name].Same(o.monitors[q.Name]) {
				v = daemon.BesideFailure(v, q.Name)
			}
		}
		o.pings.Send(o.monitors[p.Name], v)
	}
}

func (o *once) flush(ctx context.Context) {
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.app.Grace)
	defer cancel()
	if err := o.pings.Close(end); err != nil {
		o.app.log.Warn("some pings were not sent", "error", err)
	}
}
