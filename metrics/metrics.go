package metrics

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics are the metrics of one process. The methods may be called from any
// goroutine.
type Metrics struct {
	mu       sync.Mutex
	policies map[string]bool // those that have series
	many     bool            // there are more than manyPolicies
	leads    bool
	database string // its name; empty: not known

	leader          prometheus.Gauge
	databaseUp      prometheus.Gauge
	configOK        prometheus.Gauge
	configSuccess   *prometheus.GaugeVec
	databaseSize    *prometheus.GaugeVec
	info            *prometheus.GaugeVec
	tables          *tables
	guards          *guards
	paused          prometheus.Gauge
	holds           prometheus.Gauge
	erasures        *prometheus.GaugeVec
	erasureOverdue  prometheus.Gauge
	leftovers       *prometheus.GaugeVec
	policyPaused    *prometheus.GaugeVec
	pauseEnd        *prometheus.GaugeVec
	storageLimit    *prometheus.GaugeVec
	storageUsed     *prometheus.GaugeVec
	storageGrowth   *prometheus.GaugeVec
	storageFull     *prometheus.GaugeVec
	arrival         *prometheus.GaugeVec
	deletion        *prometheus.GaugeVec
	clear           *prometheus.GaugeVec
	heartbeats      *prometheus.CounterVec
	heartbeatBeat   *prometheus.GaugeVec
	archive         *archived
	retries         *prometheus.CounterVec
	runDuration     *prometheus.HistogramVec
	oldest          *prometheus.GaugeVec
	lag             *prometheus.GaugeVec
	backlog         *prometheus.GaugeVec
	overdue         *prometheus.GaugeVec
	scanned         *prometheus.GaugeVec
	runs            *prometheus.CounterVec
	lastRun         *prometheus.GaugeVec
	lastSuccess     *prometheus.GaugeVec
	nextRun         *prometheus.GaugeVec
	failing         *prometheus.GaugeVec
	approvalNeeded  *prometheus.GaugeVec
	maxLag          *prometheus.GaugeVec
	interval        *prometheus.GaugeVec
	inProgress      *prometheus.GaugeVec
	rows            *prometheus.CounterVec
	batches         *prometheus.CounterVec
	batchDuration   *prometheus.HistogramVec
	perPolicy       []series // every metric above that has the label policy
	untilRemeasured []series // those of them that only the leader may show
}

// series is what the metrics of any kind have in common: series that can go.
type series interface {
	DeletePartialMatch(prometheus.Labels) int
	Reset()
}

// Build says which program it is. Empty fields are shown empty.
type Build struct{ Version, Revision, GoVersion string }

// New registers reaper's metrics; like promauto it panics where one of them is
// registered already. The process starts as no leader, with a database that
// nobody has reached, and with no policies: see SetPolicies.
func New(reg prometheus.Registerer, b Build) *Metrics {
	m := &Metrics{policies: map[string]bool{}, tables: &tables{}, guards: &guards{}}
	f := promauto.With(reg)
	m.process(f, b)
	m.work(f)
	m.measured(f)
	m.held(f)
	m.growth(f)
	m.archive = newArchived(f)
	m.erasing(f)
	reg.MustRegister(m.tables, m.guards)
	m.perPolicy = []series{
		m.oldest, m.lag, m.backlog, m.overdue, m.scanned, m.runs, m.lastRun, m.lastSuccess,
		m.nextRun, m.failing, m.approvalNeeded, m.maxLag, m.interval, m.inProgress, m.rows, m.batches, m.batchDuration, m.runDuration,
		m.policyPaused, m.pauseEnd, m.arrival, m.deletion, m.clear,
	}
	m.perPolicy = append(m.perPolicy, m.archive.perPolicy()...)
	m.untilRemeasured = []series{m.oldest, m.lag, m.backlog, m.overdue, m.scanned}
	m.zero()
	return m
}

// process registers what belongs to the process and to no policy.
func (m *Metrics) process(f promauto.Factory, b Build) {
	f.NewGaugeVec(prometheus.GaugeOpts{
		Name: "reaper_build_info", Help: "Always 1; the labels say which program this is.",
	}, []string{"version", "revision", "goversion"}).WithLabelValues(b.Version, b.Revision, b.GoVersion).Set(1)
	m.info = gauges(f, "reaper_info", "Always 1; the label says which database this is. Absent while it is not known.", "database")
	m.leader = gauge(f, "reaper_leader", "1 while this process holds the lease of the one that measures the lag, else 0.")
	m.databaseUp = gauge(f, "reaper_database_up", "1 while the database answers; 0 when it does not, or was never reached.")
	m.configOK = gauge(f, "reaper_config_last_reload_successful", "1 when the policy file was valid at the last look; at 0 the one before is in force.")
	m.configSuccess = gauges(f, "reaper_config_last_reload_success_timestamp_seconds", "When the policy file in force was loaded.")
	m.heartbeats = counters(f, "reaper_heartbeats_total", "Pings to cron monitors, by event and by what became of them.", "event", "outcome")
	m.heartbeatBeat = gauges(f, "reaper_heartbeat_last_success_timestamp_seconds", "When a cron monitor last took a ping.")
}

// work registers what runs and batches count.
func (m *Metrics) work(f promauto.Factory) {
	m.runs = counters(f, "reaper_runs_total", "Runs that ended, by what started them and how they ended.", "policy", "trigger", "status")
	m.runDuration = f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "reaper_run_duration_seconds", Help: "How long the runs of a policy took.",
		Buckets: []float64{.5, 5, 30, 120, 600, 1800, 7200, 28800, 86400}, // few: each is a series a policy
	}, []string{"policy"})
	m.lastRun = gauges(f, "reaper_last_run_timestamp_seconds", "When the last run of the policy ended, however it ended.", "policy")
	m.lastSuccess = gauges(f, "reaper_last_success_timestamp_seconds", "When the policy's last success ended: a whole run that found nothing more.", "policy")
	m.nextRun = gauges(f, "reaper_next_run_timestamp_seconds", "When the policy is to run next.", "policy")
	m.interval = gauges(f, "reaper_schedule_interval_seconds", "The longest time between two runs of the policy's schedule.", "policy")
	m.approvalNeeded = gauges(f, "reaper_approval_needed", "1 while the gate has the policy's runs wait for reaper approve, else 0.", "policy", "gate")
	m.failing = gauges(f, "reaper_policy_failing", "1 while the policy is failing, as /health has it: its newest run was no success, or none began when it was due; else 0.", "policy")
	m.inProgress = gauges(f, "reaper_run_in_progress", "1 while a run of the policy is under way in this process, else 0.", "policy")
	m.rows = counters(f, "reaper_rows_deleted_total", "Rows deleted, dependents and dropped partitions included.", "policy", "table")
	m.batches = counters(f, "reaper_batches_total", "Batches: committed, overrun (rolled back as larger than the limits), retried.", "policy", "outcome")
	m.batchDuration = f.NewHistogramVec(prometheus.HistogramOpts{
		Name: "reaper_batch_duration_seconds", Help: "How long the committed batches took, BEGIN to COMMIT.",
		// Dense around 200 ms, the time that batches are aimed at.
		Buckets: []float64{.01, .025, .05, .1, .15, .2, .25, .3, .4, .6, 1, 2.5, 5, 10, 30},
	}, []string{"policy"})
	m.retries = counters(f, "reaper_batch_retries_total", "Batches tried again, by the reason.", "reason")
}

// measured registers what is measured now and then.
func (m *Metrics) measured(f promauto.Factory) {
	m.oldest = gauges(f, "reaper_oldest_expired_row_timestamp_seconds", "Age column of the oldest expired row; absent while nothing is due.", "policy")
	m.lag = gauges(f, "reaper_retention_lag_seconds", "For how long the row that is most overdue has been due; 0 while nothing is.", "policy")
	m.backlog = gauges(f, "reaper_expired_rows", "Rows of the policy's table that are due; absent when counting took too long.", "policy")
	m.overdue = gauges(f, "reaper_overdue_tenants", "Tenants that have something due.", "policy")
	m.maxLag = gauges(f, "reaper_max_lag_seconds", "The lag above which the policy is late: its max_lag; absent where it has none.", "policy")
	m.scanned = gauges(f, "reaper_lag_scan_timestamp_seconds", "When lag and backlog of the policy were last measured.", "policy")
	m.databaseSize = gauges(f, "reaper_database_size_bytes", "Size of the database on disk, without WAL.")
}

// held registers what holds deleting back, besides the guards.
func (m *Metrics) held(f promauto.Factory) {
	m.paused = gauge(f, "reaper_paused", "1 while anything is paused by hand, else 0.")
	m.holds = gauge(f, "reaper_holds", "Holds by hand that are in force.")
	m.policyPaused = gauges(f, "reaper_policy_paused", "1 while the policy is paused by hand, alone or with all others, else 0.", "policy")
	m.pauseEnd = gauges(f, "reaper_pause_end_timestamp_seconds", "When the policy goes on by itself; absent while it is not paused by hand.", "policy")
}

// growth registers where sizes lead.
func (m *Metrics) growth(f promauto.Factory) {
	m.storageLimit = gauges(f, "reaper_storage_limit_bytes", "The room that the policy file gives the database and its WAL.")
	m.storageUsed = gauges(f, "reaper_storage_used_bytes", "Size of the database on disk, with its WAL where that may be read.")
	m.storageGrowth = gauges(f, "reaper_storage_growth_bytes_per_second", "How fast that grew in the last week; below 0 it shrank.")
	m.storageFull = gauges(f, "reaper_storage_full_timestamp_seconds", "When the limit is reached at this rate; absent: not at this rate.")
	m.arrival = gauges(f, "reaper_arrival_rows_per_second", "Rows that came into the policy's table, over the last week.", "policy")
	m.deletion = gauges(f, "reaper_deletion_rows_per_second", "Rows that went from the policy's table, whoever deleted them, over the last week.", "policy")
	m.clear = gauges(f, "reaper_backlog_clear_seconds", "How long it takes at these rates until nothing is due; absent: it never is.", "policy")
}

func gauge(f promauto.Factory, name, help string) prometheus.Gauge {
	return f.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
}

// gauges makes a gauge that has no series before it is set, also without labels.
func gauges(f promauto.Factory, name, help string, labels ...string) *prometheus.GaugeVec {
	return f.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
}

func counters(f promauto.Factory, name, help string, labels ...string) *prometheus.CounterVec {
	return f.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// seconds is a time as Prometheus wants it.
func seconds(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
