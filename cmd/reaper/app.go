package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/mistake"
	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
)

// settings are read from the environment; flags override them.
type settings struct {
	DatabaseURL     string        `env:"DATABASE_URL"`
	PolicyFile      string        `env:"REAPER_POLICY_FILE" envDefault:"reaper.yaml"`
	LedgerSchema    string        `env:"REAPER_LEDGER_SCHEMA" envDefault:"reaper"`
	LedgerRetention string        `env:"REAPER_LEDGER_RETENTION" envDefault:"400d"`
	LogLevel        slog.Level    `env:"REAPER_LOG_LEVEL" envDefault:"WARN"`
	LogFormat       string        `env:"REAPER_LOG_FORMAT" envDefault:"text"`
	Output          string        `env:"REAPER_OUTPUT" envDefault:"text"`
	Color           string        `env:"REAPER_COLOR" envDefault:"auto"`
	Policies        []string      `env:"REAPER_POLICY"`
	Tenants         []string      `env:"REAPER_TENANT"`
	OlderThan       string        `env:"REAPER_OLDER_THAN"`
	MaxRows         *int64        `env:"REAPER_MAX_ROWS"` // nil: no limit
	MaxDuration     string        `env:"REAPER_MAX_DURATION"`
	MaxRate         int64         `env:"REAPER_MAX_RATE"`
	Connections     int           `env:"REAPER_CONNECTIONS" envDefault:"2"`
	Yes             bool          `env:"REAPER_YES"`
	Patience        time.Duration `env:"REAPER_PATIENCE" envDefault:"30s"`
	VacuumTime      time.Duration `env:"REAPER_VACUUM_TIME" envDefault:"10m"`
	ListenAddr      string        `env:"REAPER_LISTEN_ADDR" envDefault:":8080"`
	Schedule        string        `env:"REAPER_SCHEDULE" envDefault:"0 */6 * * *"`
	TimeZone        string        `env:"REAPER_TIME_ZONE" envDefault:"UTC"`
	Jitter          time.Duration `env:"REAPER_JITTER" envDefault:"1m"`
	Heartbeat       string        `env:"REAPER_HEARTBEAT"`
	HeartbeatKind   string        `env:"REAPER_HEARTBEAT_KIND"`
	Instance        string        `env:"REAPER_INSTANCE"`
	Observe         bool          `env:"REAPER_OBSERVE"`
	ScanInterval    time.Duration `env:"REAPER_SCAN_INTERVAL" envDefault:"1m"`
	Grace           time.Duration `env:"REAPER_GRACE" envDefault:"10s"`
	// Traces are sent if either is set; what they say is read by OpenTelemetry's SDK.
	OTLPEndpoint    string `env:"OTEL_EXPORTER_OTLP_ENDPOINT"`
	TracesEndpoint  string `env:"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"`
	TracesExporter  string `env:"OTEL_TRACES_EXPORTER" envDefault:"otlp"`
	TracingDisabled bool   `env:"OTEL_SDK_DISABLED"`
}

// app is one invocation of the program.
type app struct {
	settings
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	// terminal: stdin is a terminal, so a person can be asked.
	terminal bool
	// running is not canceled by the first signal, which cancels a command's own context, but by
	// the second. A purge must use it, to finish the current batch.
	running context.Context
	// progressEvery is how often a purge reports progress without a terminal; 0: 10 s.
	progressEvery time.Duration
	// What stdout and stderr are promised to be; see asksFor.
	document, records bool
	log               *slog.Logger
}

// command builds the tree of commands.
func (a *app) command() (*cobra.Command, error) {
	if err := env.Parse(&a.settings); err != nil {
		return nil, mistake.Environment(a.settings, err)
	}
	root := &cobra.Command{
		Use:   "reaper",
		Short: "Delete expired rows of a multi-tenant PostgreSQL, on time and gently",
		Long: `reaper reads from a policy file how long each tenant keeps its rows, and deletes
the expired ones in small transactions, with all the rows that depend on them.

To get started:  reaper init > reaper.yaml, then reaper check, reaper plan and
reaper purge. To try it without a database: reaper demo.

The database is DATABASE_URL (a URL or key=value), or libpq's PG* variables.
Settings are environment variables; flags of the same name override them.

Exit codes: 0 everything due was deleted · 1 failed · 2 usage, configuration or
schema error, nothing was touched · 3 incomplete · 4 refused.`,
		SilenceUsage: true, SilenceErrors: true, DisableSuggestions: true, Version: version,
		PersistentPreRunE: func(*cobra.Command, []string) error { return a.prepare() },
	}
	root.SetVersionTemplate(versionText() + "\n")
	root.SetFlagErrorFunc(mistake.Flag)
	f := root.PersistentFlags()
	f.StringVar(&a.PolicyFile, "policy-file", a.PolicyFile, "the policy file (REAPER_POLICY_FILE)")
	f.StringVar(&a.LedgerSchema, "ledger-schema", a.LedgerSchema, "schema of reaper's own tables (REAPER_LEDGER_SCHEMA)")
	f.StringVar(&a.LedgerRetention, "ledger-retention", a.LedgerRetention, "how long the ledger keeps ended runs (REAPER_LEDGER_RETENTION)")
	f.TextVar(&a.LogLevel, "log-level", a.LogLevel, "debug, info, warn or error, to stderr (REAPER_LOG_LEVEL)")
	f.StringVar(&a.LogFormat, "log-format", a.LogFormat, "text or json (REAPER_LOG_FORMAT)")
	f.StringVarP(&a.Output, "output", "o", a.Output, "text or json (REAPER_OUTPUT)")
	f.StringVar(&a.Color, "color", a.Color, "auto, always or never (REAPER_COLOR)")
	root.AddCommand(a.initCommand(), a.checkCommand(), a.planCommand(), a.explainCommand(), a.purgeCommand(), a.runCommand(), a.statusCommand(), a.pauseCommand(), a.resumeCommand(), a.holdCommand(), a.holdsCommand(), a.releaseCommand(), a.eraseCommand(), a.erasuresCommand(), a.approveCommand(), a.archiveCommand(), a.restoreCommand(),
		a.migrateCommand(), a.grantsCommand(), a.healthcheckCommand(), a.demoCommand(), a.versionCommand(), a.manCommand(root))
	mistake.Groups(root, usage)
	mistake.RefuseEmpty(root)
	return root, a.completions(root)
}

// prepare checks the settings that every command shares.
func (a *app) prepare() error {
	if a.Output != "text" && a.Output != "json" {
		return usage(fmt.Errorf("--output %q: write text or json", a.Output))
	}
	if a.LogFormat != "text" && a.LogFormat != "json" {
		return usage(fmt.Errorf("--log-format %q: write text or json", a.LogFormat))
	}
	others, err := mistake.Variables(a.settings, os.Environ())
	if err != nil {
		return usage(err)
	}
	if err := a.colors(); err != nil {
		return err
	}
	if a.document {
		a.Output = "json"
	}
	if a.records || a.LogFormat == "json" {
		a.log = a.recorder()
	} else {
		a.log = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: a.LogLevel}))
	}
	for _, name := range others {
		a.log.Warn("this variable is not a setting, and has no effect", "variable", name)
	}
	return nil
}

// colors gives stdout and stderr theirs.
func (a *app) colors() error {
	for _, to := range []io.Writer{a.stdout, a.stderr} {
		on, err := terminal.Colors(a.Color, terminal.Of(to).Terminal, os.Getenv)
		if err != nil {
			return usage(fmt.Errorf("--color %q: %w", a.Color, err))
		}
		if w, ok := to.(*terminal.Writer); ok {
			w.SetColor(on && !a.records)
		}
	}
	return nil
}

// recorder logs in JSON.
func (a *app) recorder() *slog.Logger {
	return slog.New(slog.NewJSONHandler(visible.NewJSONWriter(a.stderr), &slog.HandlerOptions{Level: a.LogLevel}))
}

func (a *app) json() bool { return a.Output == "json" }

func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.stdout)
	if !a.records { // which are one a line, too
		e.SetIndent("", "  ")
	}
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func (a *app) printf(format string, args ...any) { fmt.Fprintf(a.stdout, format, args...) }

// readPolicy reads and parses the policy file.
func (a *app) readPolicy() (*policy.File, error) {
	data, err := os.ReadFile(a.PolicyFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, usage(fmt.Errorf("there is no policy file %s: name one with --policy-file, or write a first one with `reaper init > %s`", a.PolicyFile, a.PolicyFile))
	}
	if err != nil {
		return nil, usage(fmt.Errorf("--policy-file %s: %s; name a file that can be read", a.PolicyFile, cause(err)))
	}
	f, err := policy.Parse(a.PolicyFile, data)
	if err != nil {
		return nil, usage(err)
	}
	return f, nil
}

func (a *app) ledger() (*ledger.Ledger, error) {
	d, err := policy.ParseDuration(a.LedgerRetention)
	if err != nil {
		return nil, usage(fmt.Errorf("--ledger-retention: %w", err))
	}
	l := ledger.New(a.LedgerSchema, d.Approximately())
	l.Log = a.log
	return l, nil
}

// ledgerFailed wraps a failure of the ledger. An untrusted ledger is an error in the database's
// setup; nothing was changed.
func ledgerFailed(err error) error {
	if _, ok := errors.AsType[*ledger.UntrustedError](err); ok {
		return usage(err)
	}
	return failed(err)
}

func (a *app) selection(cmd *cobra.Command) {
	cmd.Flags().StringSliceVar(&a.Policies, "policy", a.Policies, "only this policy; repeatable (REAPER_POLICY)")
}

// narrowing adds the flags that restrict a purge or its preview.
func (a *app) narrowing(cmd *cobra.Command) {
	a.selection(cmd)
	cmd.Flags().StringArrayVar(&a.Tenants, "tenant", a.Tenants, "only this tenant's key; repeatable (REAPER_TENANT)")
	cmd.Flags().StringVar(&a.OlderThan, "older-than", a.OlderThan, "an additional cutoff, such as 90d; the earlier one counts (REAPER_OLDER_THAN)")
}

// maxConnections is more than benefits any server.
const maxConnections = 64

func (a *app) options() (purge.Options, error) {
	o := purge.Options{Trigger: "manual"}
	if len(a.Tenants) > 0 {
		o.Tenants = a.Tenants
	}
	if err := checkKeys("--tenant", a.Tenants); err != nil {
		return o, err
	}
	if a.OlderThan != "" {
		d, err := policy.ParseDuration(a.OlderThan)
		if err != nil {
			return o, usage(fmt.Errorf("--older-than: %w", err))
		}
		if d.Forever || d.IsZero() {
			return o, usage(fmt.Errorf("--older-than %s: write a duration, such as 90d", a.OlderThan))
		}
		o.OlderThan = &d
	}
	if a.MaxRows != nil {
		if *a.MaxRows < 1 {
			return o, usage(fmt.Errorf("--max-rows %d: write a positive number, or leave it out", *a.MaxRows))
		}
		o.MaxRows = *a.MaxRows
	}
	if a.MaxRate < 0 {
		return o, usage(fmt.Errorf("--max-rate %d: write a positive number of rows a second, or leave it out", a.MaxRate))
	}
	o.MaxRate = a.MaxRate
	if a.Connections < 1 || a.Connections > maxConnections {
		return o, usage(fmt.Errorf("--connections %d: write a number from 1 to %d", a.Connections, maxConnections))
	}
	if a.MaxDuration != "" {
		d, err := policy.ParseDuration(a.MaxDuration)
		if err != nil || d.Forever || d.IsZero() {
			return o, usage(fmt.Errorf("--max-duration %s: write a duration, such as 10m", a.MaxDuration))
		}
		o.MaxDuration = d.Approximately()
	}
	return o, nil
}
