package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/heartbeat"
)

// A database that stays down is told to the monitors once, and again when it is back; the
// log says so every five minutes. One that is away for a moment is the pulse's alone.
func TestOutage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, up, told := &logbook{}, false, []string(nil)
		p := newPulse(time.Now, log.logger(), noMetrics(), func(context.Context) error {
			if up {
				return nil
			}
			return errors.New("refused")
		})
		o := newOutage(time.Now, log.logger(),
			func(reason string) { told = append(told, clock(time.Now())+" down: "+reason) },
			func(after time.Duration) { told = append(told, fmt.Sprint(clock(time.Now()), " back after ", after)) })
		pass := func(length time.Duration, isUp bool) {
			up = isUp
			for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(pingEvery) {
				p.beat(t.Context())
				o.look(p.state())
			}
		}
		pass(22*time.Minute, false) // from the start
		log.says(t, "database is still down", 4)
		log.says(t, "duration_seconds=1200", 1)
		pass(38*time.Minute, true)
		pass(59*time.Second, false) // a failover
		pass(time.Hour, true)
		pass(3*time.Minute, false)
		pass(time.Minute, true)
		want := []string{"00:01:00 down: refused", "00:22:00 back after 22m0s", "02:01:59 down: refused", "02:03:59 back after 3m0s"}
		if diff := cmp.Diff(want, told); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
		log.says(t, "database is still down", 4)
	})
}

// signs is the ledger's side of signs of life.
type signs struct {
	err   error
	given []string
}

func (s *signs) Present(context.Context) error {
	s.given = append(s.given, clock(time.Now()))
	return s.err
}

func (s *signs) Leave(context.Context) error { return nil }

// A process gives signs of life while it runs something, and costs nothing while it does
// not.
func TestPresence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, ledger, running := &logbook{}, &signs{}, false
		p := newPresence(ledger, func() bool { return running }, log.complain)
		pass := func(length time.Duration) {
			over(length-time.Minute, time.Minute, func() { p.beat(t.Context()) })
			time.Sleep(time.Minute)
		}
		pass(10 * time.Minute)
		running = true
		pass(2 * time.Minute)
		ledger.err = errors.New("no answer")
		pass(2 * time.Minute)
		ledger.err = nil
		pass(time.Minute)
		running = false
		pass(5 * time.Minute)
		if diff := cmp.Diff([]string{"00:10:00", "00:11:00", "00:12:00", "00:13:00", "00:14:00"}, ledger.given); diff != "" {
			t.Errorf("signs of life (-want +got):\n%s", diff)
		}
		log.says(t, "no answer", 1)
	})
}

// Every monitor hears of it once, however many policies share it.
func TestOutage_Monitors(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var got []string
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		first, _, _ := strings.Cut(string(body), "\n")
		got = append(got, strings.TrimPrefix(r.URL.Path, "/ping/0b7b2f0a-92b0-4d3c-9d0b-4a0f3a1f2b3")+" "+first)
	}))
	t.Cleanup(server.Close)
	url := func(last string) string { return server.URL + "/ping/0b7b2f0a-92b0-4d3c-9d0b-4a0f3a1f2b3" + last }
	d := &Daemon{Config: Config{Pings: heartbeat.New(heartbeat.Config{})}, timetable: newTimetable(time.Now, nil)}
	d.timetable.adopt(entriesOf(t, Config{}, fmt.Sprintf(`version: 1
policies:
  - {name: a, table: a, age: at, tenant: none, retention: 1d, heartbeat: %q}
  - {name: b, table: b, age: at, tenant: none, retention: 1d, heartbeat: %q}
  - {name: c, table: c, age: at, tenant: none, retention: 1d, heartbeat: %q}
  - {name: d, table: d, age: at, tenant: none, retention: 1d}
`, url("c"), url("c"), url("d"))))
	d.tellDown("refused")
	if err := d.Pings.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.tellBack(90 * time.Second)
	if err := d.Pings.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	slices.Sort(got)
	const down, back = "failed: the database does not answer: refused", "note: the database answers again, after 1m30s"
	want := []string{"c/fail " + down, "c/log " + back, "d/fail " + down, "d/log " + back}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("pings (-want +got):\n%s", diff)
	}
}
