package daemon

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/policy"
)

// logbook is what was logged.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// complain is pulse.complain's, of a database that is up.
func (l *logbook) complain(what string, err error) {
	l.logger().Warn("still failing", "for", what, "error", err)
}

// says wants a text to have been logged so many times.
func (l *logbook) says(t *testing.T, text string, times int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := strings.Count(l.text.String(), text); n != times {
		t.Errorf("%q is logged %d times, want %d:\n%s", text, n, times, l.text.String())
	}
}

func noMetrics() *metrics.Metrics {
	return metrics.New(prometheus.NewRegistry(), metrics.Build{})
}

// entriesOf are the policies of a file, by these settings.
func entriesOf(t *testing.T, c Config, text string) []entry {
	t.Helper()
	file, err := policy.Parse("reaper.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c.FileName, c.Zone = "reaper.yaml", time.UTC
	if c.Schedule == "" {
		c.Schedule = "@daily"
	}
	entries, err := c.entries(file)
	if err != nil {
		t.Fatal(err)
	}
	return entries
}

// until lets the time of a bubble pass, until so long after its midnight: what is to
// happen at that moment has happened then.
func until(hours, minutes, seconds int) {
	at := time.Date(2000, 1, 1, hours, minutes, seconds, 0, time.UTC)
	time.Sleep(time.Until(at))
	synctest.Wait()
}

// clock is the time of day in a bubble.
func clock(t time.Time) string { return t.UTC().Format("15:04:05") }
