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
		go every(t.Context(), pingEvery, nil, func(ctx context.Context) {
			p.beat(ctx)
			o.look(p.state())
		})
		until(0, 22, 0) // from the start
		log.says(t, "database is still down", 4)
		log.says(t, "duration_seconds=1200", 1)
		up = true
		until(1, 0, 0)
		up = false
		until(1, 0, 59) // a failover
		up = true
		until(2, 0, 0)
		up = false
		until(2, 3, 0)
		up = true
		until(3, 0, 0)
		want := []string{"00:01:00 down: refused", "00:22:01 back after 22m1s", "02:01:01 down: refused", "02:03:01 back after 3m0s"}
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
		go every(t.Context(), time.Minute, nil, p.beat)
		until(0, 10, 30)
		running = true
		until(0, 12, 30)
		ledger.err = errors.New("no answer")
		until(0, 14, 30)
		ledger.err = nil
		until(0, 15, 30)
		running = false
		until(0, 20, 30)
		if diff := cmp.Diff([]string{"00:11:00", "00:12:00", "00:13:00", "00:14:00", "00:15:00"}, ledger.given); diff != "" {
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
