package heartbeat_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
)

// How often a request is made, and with what pauses. Time is the bubble's.
func TestTries(t *testing.T) {
	t.Parallel()
	// The pauses are 2, 6 and 18 s, each half as long again at most, or half.
	usual := [][2]time.Duration{{time.Second, 3 * time.Second}, {3 * time.Second, 9 * time.Second}, {9 * time.Second, 27 * time.Second}}
	after := func(d time.Duration) [][2]time.Duration {
		return [][2]time.Duration{{d, d}, {d, d}, {d, d}}
	}
	longer := func(d time.Duration) [][2]time.Duration {
		var pauses [][2]time.Duration
		for _, p := range usual {
			pauses = append(pauses, [2]time.Duration{p[0] + d, p[1] + d})
		}
		return pauses
	}
	for name, c := range map[string]struct {
		answer  func(int, *http.Request) (reply, error)
		outcome heartbeat.Outcome
		error   string
		pauses  [][2]time.Duration // from the one try to the next, shortest and longest
	}{
		"taken":             {always(200, ""), heartbeat.Sent, "", nil},
		"accepted":          {always(202, ""), heartbeat.Sent, "", nil},
		"bad request":       {always(400, token), heartbeat.Failed, "answered 400 Bad Request", nil},
		"not found":         {always(404, token, "Retry-After", "1"), heartbeat.Failed, "answered 404 Not Found", nil},
		"a code of its own": {always(299, ""), heartbeat.Sent, "", nil},
		"one more":          {always(499, ""), heartbeat.Failed, "answered 499", nil},
		"request timeout":   {always(408, ""), heartbeat.Failed, "answered 408 Request Timeout", usual},
		"server error":      {always(500, token), heartbeat.Failed, "answered 500 Internal Server Error", usual},
		"too many":          {always(429, ""), heartbeat.Failed, "answered 429 Too Many Requests", usual},
		"for 40 s":          {always(429, "", "Retry-After", "40"), heartbeat.Failed, "answered 429 Too Many Requests", after(40 * time.Second)},
		"for a day":         {always(503, "", "Retry-After", "86400"), heartbeat.Failed, "answered 503 Service Unavailable", after(time.Minute)},
		"for ever":          {always(503, "", "Retry-After", "99999999999999999999"), heartbeat.Failed, "answered 503 Service Unavailable", after(time.Minute)},
		"for less than no":  {always(503, "", "Retry-After", "-9"), heartbeat.Failed, "answered 503 Service Unavailable", usual},
		"for words":         {always(503, "", "Retry-After", "a while"), heartbeat.Failed, "answered 503 Service Unavailable", usual},
		"until a date by the server's clock": {
			always(503, "", "Date", "Mon, 02 Jan 2006 15:00:00 GMT", "Retry-After", "Mon, 02 Jan 2006 15:00:45 GMT"),
			heartbeat.Failed, "answered 503 Service Unavailable", after(45 * time.Second),
		},
		// A bubble's time begins with the year 2000.
		"until yesterday": {
			always(503, "", "Retry-After", "Fri, 31 Dec 1999 12:00:00 GMT"), heartbeat.Failed, "answered 503 Service Unavailable", usual,
		},
		"until a date by our own clock": {
			always(503, "", "Retry-After", "Sat, 01 Jan 2000 00:00:45 GMT"), heartbeat.Failed, "answered 503 Service Unavailable",
			[][2]time.Duration{{45 * time.Second, 45 * time.Second}, usual[1], usual[2]},
		},
		"a black hole": {hang, heartbeat.Failed, "no answer within 5s", longer(5 * time.Second)},
		"no network": {
			func(int, *http.Request) (reply, error) { return reply{}, errors.New("dial " + token) },
			heartbeat.Failed, "the request failed (*errors.errorString)", usual,
		},
		"the third is taken": {
			func(n int, _ *http.Request) (reply, error) {
				if n < 3 {
					return answer(500, ""), nil
				}
				return answer(200, ""), nil
			},
			heartbeat.Sent, "", usual[:2],
		},
		"the second is refused": {
			func(n int, _ *http.Request) (reply, error) { return answer([]int{0, 500, 410}[n], ""), nil },
			heartbeat.Failed, "answered 410 Gone", usual[:1],
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w, told := &wire{answer: c.answer}, &results{}
				client := start(t, heartbeat.Config{Transport: w, Observe: told.observe})
				begin := time.Now()
				client.Send(monitor(t, hcURL), pingSuccess)
				flush(t, client)
				got := told.last(t)
				if got.Outcome != c.outcome || got.Error != c.error {
					t.Errorf("told %s, %q; want %s, %q", got.Outcome, got.Error, c.outcome, c.error)
				}
				if got.Tries != len(w.requests()) || got.Duration != time.Since(begin) || !got.At.Equal(time.Now()) {
					t.Errorf("told %+v after %s and %d requests", got, time.Since(begin), len(w.requests()))
				}
				if len(w.requests()) != len(c.pauses)+1 {
					t.Fatalf("%d requests, want %d", len(w.requests()), len(c.pauses)+1)
				}
				for i, want := range c.pauses {
					pause := w.requests()[i+1].at.Sub(w.requests()[i].at)
					if pause < want[0] || pause > want[1] {
						t.Errorf("pause %d is %s, want %s to %s", i+1, pause, want[0], want[1])
					}
				}
			})
		})
	}
}

// Two that fail at the same time do not come back at the same time.
func TestJitter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var pauses []time.Duration
		for range 5 {
			w := &wire{answer: always(500, "")}
			c := start(t, heartbeat.Config{Transport: w})
			c.Send(monitor(t, hcURL), pingSuccess)
			flush(t, c)
			pauses = append(pauses, w.requests()[1].at.Sub(w.requests()[0].at))
		}
		slices.Sort(pauses)
		if len(slices.Compact(pauses)) == 1 {
			t.Errorf("all pauses are %s", pauses[0])
		}
	})
}
