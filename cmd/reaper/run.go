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
		Long: `run keeps every policy on time: it purges by each policy's schedule, pings cron
monitors, and serves a status page, health and Prometheus metrics. Any number of
processes may run on one database: each time of a schedule is claimed by one, and
all share the work. A changed policy file is taken over by itself, or at once by
SIGHUP; a broken one changes nothing. SIGTERM ends it after the batch at hand.

With --once it makes one run of every policy now, asks nothing, and ends with the
exit codes of purge: for a CronJob.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := a.talkative(cmd); err != nil {
				return err
			}
			if once {
				return a.runOnce(cmd.Context())
			}
			return a.daemon(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.BoolVar(&once, "once", false, "one run of every policy now, then end")
	f.StringVar(&a.ListenAddr, "listen-addr", a.ListenAddr, "where page, health and metrics are served (REAPER_LISTEN_ADDR)")
	f.StringVar(&a.Schedule, "schedule", a.Schedule, "cron expression for policies without a schedule (REAPER_SCHEDULE)")
	f.StringVar(&a.TimeZone, "time-zone", a.TimeZone, "of the schedules (REAPER_TIME_ZONE)")
	f.DurationVar(&a.Jitter, "jitter", a.Jitter, "runs begin up to so much later than the schedule says, each policy by its own share (REAPER_JITTER)")
	f.StringVar(&a.Instance, "instance", a.Instance, "name of this process, unlike all others'; empty: host and a number (REAPER_INSTANCE)")
	f.DurationVar(&a.ScanInterval, "scan-interval", a.ScanInterval, "how often lag and backlog are measured (REAPER_SCAN_INTERVAL)")
	f.DurationVar(&a.Grace, "grace", a.Grace, "how long the end may take after SIGTERM (REAPER_GRACE)")
	f.StringVar(&a.MaxDuration, "max-duration", a.MaxDuration, "end each run after this time: 10m (REAPER_MAX_DURATION)")
	f.Int64Var(&a.MaxRate, "max-rate", a.MaxRate, "delete at most this many rows a second in each run (REAPER_MAX_RATE)")
	f.IntVar(&a.Connections, "connections", a.Connections, "how many connections delete at a time; one more is used for the rest (REAPER_CONNECTIONS)")
	return cmd
}

// talkative makes a daemon log each run, unless it was told otherwise.
func (a *app) talkative(cmd *cobra.Command) error {
	if _, told := os.LookupEnv("REAPER_LOG_LEVEL"); told || cmd.Flags().Changed("log-level") {
		return nil
	}
	a.LogLevel = slog.LevelInfo
	return a.prepare()
}

// monitor is the one that is pinged for policies without their own.
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

// daemonConfig is what the settings say of a daemon.
func (a *app) daemonConfig() (c daemon.Config, err error) {
	o, err := a.options()
	if err != nil {
		return c, err
	}
	c = daemon.Config{
		Log: a.log, Version: version, Instance: cmp.Or(a.Instance, instanceName()), FileName: a.PolicyFile,
		Read: func() ([]byte, error) { return os.ReadFile(a.PolicyFile) }, Schedule: a.Schedule, Jitter: a.Jitter,
		Connections: a.Connections, Deadline: o.MaxDuration, MaxRate: o.MaxRate,
		// A run waits for a database that is away rather than fail.
		Patience: max(a.Patience, 5*time.Minute), VacuumTime: a.VacuumTime, ScanEvery: a.ScanInterval, Grace: a.Grace,
	}
	if a.ScanInterval < time.Second || a.Grace < time.Second || a.Jitter < 0 {
		return c, usage(errors.New("--scan-interval and --grace: a second at least; --jitter: not below zero"))
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
	if c.Pool, err = a.pool(ctx); err != nil {
		return err
	}
	defer c.Pool.Close()
	return a.serve(ctx, c)
}

// serve listens, runs the daemon until ctx is done, and ends both.
func (a *app) serve(ctx context.Context, c daemon.Config) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), metrics.Pool(poolStats(c.Pool)))
	c.Metrics = metrics.New(registry, metrics.Build{Version: version, Revision: revision(), GoVersion: runtime.Version()})
	c.Pings = heartbeat.New(heartbeat.Config{Version: version, Logger: a.log, Observe: func(r heartbeat.Result) {
		if r.Outcome == heartbeat.Sent {
			c.Metrics.HeartbeatSent(string(r.Event), r.At)
		} else {
			c.Metrics.HeartbeatNotSent(string(r.Event), string(r.Outcome))
		}
	}})
	d, err := daemon.New(c)
	if err != nil {
		return usage(err)
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", a.ListenAddr)
	if err != nil {
		return usage(fmt.Errorf("--listen-addr %s: %w", a.ListenAddr, err))
	}
	server := &http.Server{
		Handler: web.New(web.Options{
			Status: d.Status, Log: a.log,
			Metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
		}),
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 1 << 16,
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	a.log.Info("serving", "addr", listener.Addr().String(), "instance", c.Instance)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	go func() {
		for {
			select {
			case <-hangups:
				d.Reload()
			case err := <-served: // before it was asked to end
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
		a.log.Warn("requests were cut short", "error", err)
	}
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return failed(err)
	}
	return nil
}

// instanceName is the host's name and something that no other process has: after
// a restart nobody takes the one before for alive.
func instanceName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "reaper"
	}
	return fmt.Sprintf("%s-%s", host, uuid.NewString()[:8])
}

func poolStats(pool *pgxpool.Pool) func() metrics.PoolStats {
	return func() metrics.PoolStats {
		s := pool.Stat()
		return metrics.PoolStats{
			Acquired: int64(s.AcquiredConns()), Idle: int64(s.IdleConns()), Total: int64(s.TotalConns()), Max: int64(s.MaxConns()),
			Acquires: s.AcquireCount(), AcquireWait: s.AcquireDuration(), Canceled: s.CanceledAcquireCount(),
		}
	}
}

// runOnce makes one run of every policy, and tells the monitors.
func (a *app) runOnce(ctx context.Context) error {
	a.Yes, a.Policies = true, nil
	opts, err := a.options()
	if err != nil {
		return err
	}
	opts.Trigger, opts.RunID = "once", uuid.NewString()
	global, err := a.monitor()
	if err != nil {
		return err
	}
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.pool.Close()
	pings := heartbeat.New(heartbeat.Config{Version: version, Logger: a.log})
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.Grace)
		defer cancel()
		if err := pings.Close(end); err != nil {
			a.log.Warn("not every ping was sent", "error", err)
		}
	}()
	report, err := a.purgePinged(ctx, s, opts, global, pings)
	if err != nil {
		return err
	}
	return a.report(report)
}

func (a *app) purgePinged(ctx context.Context, s *session, opts purge.Options, global heartbeat.Monitor, pings *heartbeat.Client) (*purge.Report, error) {
	monitors := map[string]heartbeat.Monitor{}
	for _, p := range s.file.Policies {
		m, err := daemon.MonitorOf(p, a.PolicyFile, global)
		if err != nil {
			return nil, usage(err)
		}
		monitors[p.Name] = m
		pings.Send(m, heartbeat.Ping{Event: heartbeat.Start, RunID: opts.RunID, Policy: p.Name})
	}
	report, err := a.purgeAs(ctx, s, opts)
	for _, p := range s.file.Policies {
		ping := heartbeat.Ping{Event: heartbeat.Fail, RunID: opts.RunID, Policy: p.Name, Status: string(purge.Failed)}
		switch {
		case err != nil:
			ping.Reason = err.Error()
		default:
			for _, r := range report.Policies {
				if r.Name == p.Name {
					ping = daemon.Verdict(p, report.RunID, r)
				}
			}
		}
		pings.Send(monitors[p.Name], ping)
	}
	return report, err
}
