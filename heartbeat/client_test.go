package heartbeat_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
)

// Whatever the server does, Send returns at once, and pings arrive in the order
// in which they were sent. Another monitor does not wait for it.
func TestOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w, told := &wire{}, &results{}
		w.answer = func(n int, r *http.Request) (reply, error) {
			switch {
			case strings.Contains(r.URL.Path, "other"):
				return answer(200, ""), nil
			case n <= 2:
				return hang(n, r)
			case n%2 == 0:
				return answer(429, "", "Retry-After", "50"), nil
			}
			time.Sleep(4 * time.Second)
			return answer(200, ""), nil
		}
		c := start(t, heartbeat.Config{Transport: w, Observe: told.observe})
		m, other := monitor(t, hcURL), monitor(t, "https://hc-ping.com/key/other")
		begin := time.Now()
		for _, p := range []heartbeat.Ping{pingStart, pingLog, pingFail, pingStart, pingSuccess} {
			c.Send(m, p)
		}
		c.Send(other, pingSuccess)
		if waited := time.Since(begin); waited != 0 {
			t.Errorf("Send took %s", waited)
		}
		synctest.Wait()
		if got := told.told(); !slices.Equal(got, []string{"success sent emails"}) {
			t.Errorf("before any time has gone by: %q", got)
		}
		flush(t, c)
		want := []string{"success sent emails", "start sent emails", "log sent emails", "fail sent emails", "start sent emails", "success sent emails"}
		if got := told.told(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		ends := map[string]string{"start": "start", "log": "log", "3": "fail", token: "success"}
		var order []string
		for _, r := range w.requests() {
			path := strings.Split(strings.SplitN(r.url, "?", 2)[0], "/")
			if end := ends[path[len(path)-1]]; end != "" {
				order = append(order, end)
			}
		}
		if got, want := slices.Compact(order), []string{"start", "log", "fail", "start", "success"}; !slices.Equal(got, want) {
			t.Errorf("arrived %q, want %q", got, want)
		}
	})
}

// Two monitors written alike, as before and after a reload, are one line.
func TestSameMonitorTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		under, most := 0, 0
		w := &wire{answer: func(int, *http.Request) (reply, error) {
			under++
			most = max(most, under)
			time.Sleep(time.Second)
			under--
			return answer(200, ""), nil
		}}
		c := start(t, heartbeat.Config{Transport: w})
		named, err := heartbeat.Parse(hcURL, "healthchecks")
		if err != nil {
			t.Fatal(err)
		}
		c.Send(monitor(t, hcURL), pingStart)
		c.Send(named, pingSuccess)
		flush(t, c)
		if most != 1 || len(w.requests()) != 2 {
			t.Errorf("%d at once, %d in all; want 1 and 2", most, len(w.requests()))
		}
		if s := c.Status(named); !s.LastSuccess.Equal(time.Now()) {
			t.Errorf("last success %s", s.LastSuccess)
		}
	})
}

// A line that is full loses logs first, then starts, then verdicts that are
// overtaken; the last word of every policy stays as long as there is room.
func TestFullLine(t *testing.T) {
	t.Parallel()
	ping := func(event heartbeat.Event, policy string) heartbeat.Ping {
		return heartbeat.Ping{Event: event, Policy: policy}
	}
	const (
		start0, success, fail, log = heartbeat.Start, heartbeat.Success, heartbeat.Fail, heartbeat.Log
	)
	for name, c := range map[string]struct {
		pings []heartbeat.Ping
		want  []string // told at once
	}{
		"a log goes before a start": {
			[]heartbeat.Ping{ping(start0, "a"), ping(log, "a"), ping(success, "a"), ping(start0, "b")}, []string{"log dropped a"},
		},
		"a new log goes itself": {
			[]heartbeat.Ping{ping(fail, "a"), ping(fail, "b"), ping(fail, "c"), ping(log, "a")}, []string{"log dropped a"},
		},
		"a start goes before a verdict": {
			[]heartbeat.Ping{ping(success, "a"), ping(start0, "b"), ping(fail, "b"), ping(success, "c")}, []string{"start dropped b"},
		},
		"the oldest start goes": {
			[]heartbeat.Ping{ping(start0, "a"), ping(start0, "b"), ping(fail, "b"), ping(fail, "a"), ping(success, "c")},
			[]string{"start dropped a", "start dropped b"},
		},
		"an overtaken verdict goes": {
			[]heartbeat.Ping{ping(success, "a"), ping(fail, "b"), ping(success, "c"), ping(success, "b")}, []string{"fail dropped b"},
		},
		"else the oldest": {
			[]heartbeat.Ping{ping(success, "a"), ping(fail, "b"), ping(success, "c"), ping(fail, "d")}, []string{"success dropped a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				free := make(chan struct{})
				w, told := &wire{answer: func(int, *http.Request) (reply, error) {
					<-free
					return answer(200, ""), nil
				}}, &results{}
				client := start(t, heartbeat.Config{Transport: w, Observe: told.observe, Queue: 3})
				m := monitor(t, hcURL)
				client.Send(m, ping(start0, "under way"))
				synctest.Wait()
				for _, p := range c.pings {
					client.Send(m, p)
				}
				if got := told.told(); !slices.Equal(got, c.want) {
					t.Errorf("told %q, want %q", got, c.want)
				}
				if s := client.Status(m); s.Queued != 3 || s.Dropped != len(c.want) {
					t.Errorf("%d wait, %d dropped; want 3 and %d", s.Queued, s.Dropped, len(c.want))
				}
				close(free)
				flush(t, client)
				if got, want := len(w.requests()), 1+3; got != want {
					t.Errorf("%d arrived, want %d", got, want)
				}
			})
		})
	}
}

func TestFlushIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := start(t, heartbeat.Config{Transport: &wire{answer: hang}})
		flush(t, c)
		c.Send(monitor(t, hcURL), pingStart)
		c.Send(monitor(t, hcURL), pingSuccess)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		err := c.Flush(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 left") {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// What Close cannot send in time it drops, and says so; nothing is taken after it.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := &results{}
		c := heartbeat.New(heartbeat.Config{Transport: &wire{answer: hang}, Observe: told.observe})
		m := monitor(t, hcURL)
		c.Send(m, pingStart)
		synctest.Wait()
		c.Send(m, pingSuccess)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %s", took)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Errorf("a second time: %v", err)
		}
		c.Send(m, pingFail)
		want := []string{"start failed emails", "success dropped emails", "fail dropped emails"}
		if got := told.told(); !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
		if s := c.Status(m); s.LastError != "interrupted by the shutdown" || s.Dropped != 2 || s.Queued != 0 {
			t.Errorf("status %+v", s)
		}
	})
}

// A pause between tries, however long, is cut short by Close: the last word gets
// its chance.
func TestCloseHurries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told := &results{}
		w := &wire{answer: func(n int, _ *http.Request) (reply, error) {
			if n <= 4 {
				return answer(503, "", "Retry-After", "60"), nil
			}
			return answer(200, ""), nil
		}}
		c := heartbeat.New(heartbeat.Config{Transport: w, Observe: told.observe})
		c.Send(monitor(t, hcURL), pingStart)
		c.Send(monitor(t, hcURL), pingSuccess)
		synctest.Wait()
		begin := time.Now()
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("took %s", took)
		}
		if got, want := told.told(), []string{"start failed emails", "success sent emails"}; !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

// A transport that ignores its context holds up the end by a second, not for ever.
func TestCloseLeavesTheStubborn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		free := make(chan struct{})
		w := &wire{answer: func(int, *http.Request) (reply, error) {
			<-free
			return answer(200, ""), nil
		}}
		c := heartbeat.New(heartbeat.Config{Transport: w})
		c.Send(monitor(t, hcURL), pingStart)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		if err := c.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("took %s", took)
		}
		close(free)
		flush(t, c)
	})
}

func TestStatus(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		code := 200
		w := &wire{answer: func(int, *http.Request) (reply, error) { return answer(code, ""), nil }}
		c := start(t, heartbeat.Config{Transport: w})
		m := monitor(t, hcURL)
		if got, want := c.Status(m), (heartbeat.Status{Monitor: "https://hc-ping.com/…", Kind: heartbeat.Healthchecks}); got != want {
			t.Errorf("at first %+v, want %+v", got, want)
		}
		say := func(answered int, p heartbeat.Ping) time.Time {
			time.Sleep(time.Minute)
			code = answered
			c.Send(m, p)
			flush(t, c)
			return time.Now()
		}
		success := say(200, pingSuccess)
		failed := say(404, pingSuccess)
		sent := say(200, pingFail)
		want := heartbeat.Status{
			Monitor: "https://hc-ping.com/…", Kind: heartbeat.Healthchecks,
			LastSent: sent, LastSuccess: success, LastError: "answered 404 Not Found", LastErrorAt: failed,
		}
		if got := c.Status(m); got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	})
}

// A policy without a heartbeat has no monitor.
func TestNoMonitor(t *testing.T) {
	t.Parallel()
	told := &results{}
	c := start(t, heartbeat.Config{Observe: told.observe})
	var none heartbeat.Monitor
	c.Send(none, pingSuccess)
	if len(told.told()) != 0 || none.String() != "" || !none.IsZero() || c.Status(none) != (heartbeat.Status{}) {
		t.Errorf("told %q, status %+v", told.told(), c.Status(none))
	}
}
