package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// What is given to the archive, and the steps that can fail: writing a copy down on this machine, and
// giving either to the store.
const (
	ArchiveSegment = "segment"
	ArchiveList    = "list"
	ArchiveSpool   = "spool"
)

// archived are the metrics of the archive.
type archived struct {
	objects, bytes, seconds, failures *prometheus.CounterVec
	missing, oldestMissing            *prometheus.GaugeVec
	verified, loaded, interval        *prometheus.GaugeVec
	damaged, segments, size           *prometheus.GaugeVec
}

func newArchived(f promauto.Factory) *archived {
	return &archived{
		objects:       counters(f, "reaper_archive_objects_total", "Objects that the store has confirmed: segments, and lists of what was deleted of them.", "policy", "object"),
		bytes:         counters(f, "reaper_archive_sent_bytes_total", "Size of the segments that the store has confirmed.", "policy"),
		seconds:       counters(f, "reaper_archive_send_seconds_total", "Time that the store took to take and confirm segments and lists.", "policy"),
		failures:      counters(f, "reaper_archive_failures_total", "Failed tries to write a segment down, or to give it or a list to the store.", "policy", "step"),
		missing:       gauges(f, "reaper_archive_missing_lists", "Lists of deleted rows that only the ledger has.", "policy"),
		oldestMissing: gauges(f, "reaper_archive_oldest_missing_list_timestamp_seconds", "When the rows of the oldest of these lists were deleted; absent: the store has all lists.", "policy"),
		verified:      gauges(f, "reaper_archive_last_verified_timestamp_seconds", "When a verification of the daemon last found nothing wrong."),
		loaded:        gauges(f, "reaper_archive_last_loaded_timestamp_seconds", "When everything that a verification drew could last be loaded."),
		interval:      gauges(f, "reaper_archive_verify_interval_seconds", "The longest time between two verifications of the schedule."),
		damaged:       gauges(f, "reaper_archive_damaged_segments", "Segments that the last verification found damaged, or could not load."),
		segments:      gauges(f, "reaper_archive_segments", "Segments that the store held at the last verification."),
		size:          gauges(f, "reaper_archive_size_bytes", "Their size."),
	}
}

func (a *archived) perPolicy() []series {
	return []series{a.objects, a.bytes, a.seconds, a.failures, a.missing, a.oldestMissing}
}

// begin makes the series of a policy with an archive.
func (a *archived) begin(policy string) {
	for _, o := range objects {
		a.objects.WithLabelValues(policy, o)
	}
	for _, s := range steps {
		a.failures.WithLabelValues(policy, s)
	}
	a.bytes.WithLabelValues(policy)
	a.seconds.WithLabelValues(policy)
}

// ArchiveSent records that the store has confirmed an object, an ArchiveSegment or an ArchiveList, and how
// long it took. bytes is the size of a segment; 0 for a list.
func (m *Metrics) ArchiveSent(policy, object string, bytes int64, took time.Duration) {
	m.known(policy, func() {
		m.archive.objects.WithLabelValues(policy, oneOf(objects, object)).Inc()
		m.archive.bytes.WithLabelValues(policy).Add(float64(max(bytes, 0)))
		m.archive.seconds.WithLabelValues(policy).Add(took.Seconds())
	})
}

// ArchiveFailed tells of a try that has failed, by its step.
func (m *Metrics) ArchiveFailed(policy, step string) {
	m.known(policy, func() { m.archive.failures.WithLabelValues(policy, oneOf(steps, step)).Inc() })
}

// SetMissingLists says how many lists of a policy only the ledger has, and when the rows of the oldest
// were deleted; the zero time: there is none.
func (m *Metrics) SetMissingLists(policy string, lists int64, oldest time.Time) {
	m.known(policy, func() { m.archive.missing.WithLabelValues(policy).Set(float64(lists)) })
	m.setTime(m.archive.oldestMissing, policy, oldest)
}

// Verification is what verifications of the archive have found.
type Verification struct {
	// Verified is when one last found nothing wrong, Loaded when everything could last be loaded; zero:
	// never.
	Verified, Loaded time.Time
	Interval         time.Duration // of the schedule, at most; 0: there is none
	Damaged          int64         // segments, by the last one
	Segments, Bytes  int64         // held, by the last one
	Done             bool          // there was one, so the three before are known
}

// SetVerification says what verifications have found.
func (m *Metrics) SetVerification(v Verification) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.archive
	set := func(g *prometheus.GaugeVec, value float64, known bool) {
		if !known {
			g.DeleteLabelValues()
			return
		}
		g.WithLabelValues().Set(value)
	}
	set(a.verified, seconds(v.Verified), !v.Verified.IsZero())
	set(a.loaded, seconds(v.Loaded), !v.Loaded.IsZero())
	set(a.interval, v.Interval.Seconds(), v.Interval > 0)
	set(a.damaged, float64(v.Damaged), v.Done)
	set(a.segments, float64(v.Segments), v.Done)
	set(a.size, float64(v.Bytes), v.Done)
}
