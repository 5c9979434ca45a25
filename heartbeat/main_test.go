package heartbeat_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reaperdb/reaper/heartbeat"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// token is in every URL, header and body of these tests, and nowhere else: what
// holds it has leaked.
const token = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"

const (
	hcURL = "https://hc-ping.com/" + token
	runID = "0199a0c8-1111-7222-8333-944455556666"
)

func monitor(t *testing.T, url string) heartbeat.Monitor {
	t.Helper()
	m, err := heartbeat.Parse(url, "")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// A request as the service sees it.
type request struct {
	at                time.Time
	method, url, body string
	header            http.Header
}

// A wire carries requests to a function, which answers like a service would.
// Inside a synctest bubble there can be no sockets.
type wire struct {
	answer func(n int, r *http.Request) (reply, error)

	mu  sync.Mutex
	got []request
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	got := request{at: time.Now(), method: r.Method, url: r.URL.String(), header: r.Header.Clone()}
	if r.Body != nil {
		body, _ := io.ReadAll(r.Body)
		got.body = string(body)
	}
	w.mu.Lock()
	w.got = append(w.got, got)
	n := len(w.got)
	w.mu.Unlock()
	said, err := answer(200, "OK"), error(nil)
	if w.answer != nil {
		said, err = w.answer(n, r)
	}
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: said.code, Header: said.header, Body: io.NopCloser(strings.NewReader(said.body))}, nil
}

func (w *wire) requests() []request {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.got
}

// A reply is a response before it is one.
type reply struct {
	code   int
	body   string
	header http.Header
}

// answer makes a reply; headers are pairs.
func answer(code int, body string, headers ...string) reply {
	h := http.Header{}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return reply{code, body, h}
}

// hang answers never, as a black hole does.
func hang(_ int, r *http.Request) (reply, error) {
	<-r.Context().Done()
	return reply{}, r.Context().Err()
}

// results collects what a Client tells.
type results struct {
	mu  sync.Mutex
	all []heartbeat.Result
}

func (r *results) observe(one heartbeat.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, one)
}

// told is what was told so far: event, outcome, policy.
func (r *results) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var told []string
	for _, one := range r.all {
		told = append(told, strings.TrimSpace(string(one.Event)+" "+string(one.Outcome)+" "+one.Policy))
	}
	return told
}

// last is the only result, or the last.
func (r *results) last(t *testing.T) heartbeat.Result {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		t.Fatal("nothing was told")
	}
	return r.all[len(r.all)-1]
}

// start makes a client that the test need not close.
func start(t *testing.T, cfg heartbeat.Config) *heartbeat.Client {
	t.Helper()
	c := heartbeat.New(cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Millisecond)
		defer cancel()
		if err := c.Close(ctx); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
	return c
}

func flush(t *testing.T, c *heartbeat.Client) {
	t.Helper()
	if err := c.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// always gives the same answer.
func always(code int, body string, headers ...string) func(int, *http.Request) (reply, error) {
	return func(int, *http.Request) (reply, error) { return answer(code, body, headers...), nil }
}
