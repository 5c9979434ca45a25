package heartbeat_test

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
)

// A service is a monitor's server on a real socket.
type service struct {
	*httptest.Server
	mu   sync.Mutex
	seen []string // method, path, body
}

func serve(t *testing.T, handle http.HandlerFunc) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.seen = append(s.seen, r.Method+" "+r.URL.Path+" "+string(body))
		s.mu.Unlock()
		handle(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

// got is what arrived, and forgets it.
func (s *service) got() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := s.seen
	s.seen = nil
	return got
}

func ok(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "OK") }

// One ping after the other, over real sockets, with a slow server and a caller
// that does not wait for it.
func TestOverSockets(t *testing.T) {
	t.Parallel()
	slow := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, r *http.Request) {
		<-slow
		ok(w, r)
	})
	told := &results{}
	c := start(t, heartbeat.Config{Observe: told.observe})
	m := monitor(t, s.URL+"/ping/"+token)
	for _, p := range []heartbeat.Ping{pingStart, pingLog, pingFail} {
		c.Send(m, p)
	}
	if got := told.told(); len(got) != 0 {
		t.Errorf("before the server answers: %q", got)
	}
	close(slow)
	flush(t, c)
	var paths []string
	for _, got := range s.got() {
		paths = append(paths, strings.Fields(got)[1])
	}
	base := "/ping/" + token
	if want := []string{base + "/start", base + "/log", base + "/3"}; !slices.Equal(paths, want) {
		t.Errorf("got %q, want %q", paths, want)
	}
	if got, want := told.told(), []string{"start sent emails", "log sent emails", "fail sent emails"}; !slices.Equal(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// One try over a real socket is enough to know how an error reads: Close cuts the
// pauses short.
func lastWord(t *testing.T, url string) heartbeat.Result {
	t.Helper()
	told := &results{}
	c := heartbeat.New(heartbeat.Config{Observe: told.observe})
	m, err := heartbeat.Parse(url, "healthchecks")
	if err != nil {
		t.Fatal(err)
	}
	c.Send(m, pingSuccess)
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return told.last(t)
}

func TestBrokenServers(t *testing.T) {
	t.Parallel()
	closed := httptest.NewServer(http.HandlerFunc(ok))
	closed.Close()
	secure := httptest.NewUnstartedServer(http.HandlerFunc(ok))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	t.Cleanup(secure.Close)
	gone := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_ = conn.Close()
	})
	babble := listen(t, "I am no web server, "+token+"\r\n\r\n")
	endless := serve(t, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			if _, err := fmt.Fprint(w, strings.Repeat("OK", 4096)); err != nil {
				return
			}
		}
	})
	for name, c := range map[string]struct{ url, want string }{
		"refused":               {closed.URL, "connection refused"},
		"unknown authority":     {secure.URL, "the certificate is by an authority that is not known"},
		"no TLS":                {strings.Replace(gone.URL, "http:", "https:", 1), "the server does not speak TLS there"},
		"closed":                {gone.URL, "connection closed without an answer"},
		"no HTTP":               {"http://" + babble, "the server does not speak HTTP there"},
		"no such name":          {"http://no-such-host.invalid", "no such host"},
		"an answer without end": {endless.URL, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := lastWord(t, c.url+"/"+token)
			if c.want == "no such host" && got.Error == "the host's name could not be resolved" {
				return // a machine without a name server
			}
			if got.Error != c.want {
				t.Errorf("got %q, want %q", got.Error, c.want)
			}
			if got.Duration >= 5*time.Second {
				t.Errorf("it took %s: the answer was read to its end", got.Duration)
			}
			notIn(t, "the result", fmt.Sprintf("%+v", got))
		})
	}
}

// listen answers anything with one text.
func listen(t *testing.T, text string) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, text)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// A redirect is followed, a few times, without telling where it came from.
func TestRedirects(t *testing.T) {
	t.Parallel()
	var referers []string
	end := serve(t, func(w http.ResponseWriter, r *http.Request) {
		referers = append(referers, r.Header.Get("Referer"))
		ok(w, r)
	})
	var hops *service
	hops = serve(t, func(w http.ResponseWriter, r *http.Request) {
		n := strings.Count(r.URL.Path, "/again")
		switch {
		case strings.HasPrefix(r.URL.Path, "/loop"):
			http.Redirect(w, r, hops.URL+r.URL.Path, http.StatusFound)
		case n > 0:
			http.Redirect(w, r, hops.URL+strings.Replace(r.URL.Path, "/again", "", 1), http.StatusTemporaryRedirect)
		default:
			http.Redirect(w, r, end.URL+"/"+token, http.StatusPermanentRedirect)
		}
	})
	if got := lastWord(t, hops.URL+"/again/again/"+token); got.Outcome != heartbeat.Sent {
		t.Errorf("three redirects: %+v", got)
	}
	if got := end.got(); len(got) != 1 || !strings.HasPrefix(got[0], "POST /"+token+" emails: complete") {
		t.Errorf("arrived %q", got)
	}
	if !slices.Equal(referers, []string{""}) {
		t.Errorf("Referer is %q", referers)
	}
	for _, path := range []string{"/loop/", "/again/again/again/"} {
		hops.got()
		got := lastWord(t, hops.URL+path+token)
		if got.Error != "answered 302 Found, a redirect that is not followed" && got.Error != "answered 308 Permanent Redirect, a redirect that is not followed" {
			t.Errorf("%s: %+v", path, got)
		}
		if n := len(hops.got()); got.Tries != 1 || n != 4 {
			t.Errorf("%s: %d tries, %d requests; want 1 and 4", path, got.Tries, n)
		}
	}
}

// Headers are for one host, and what began over TLS stays there.
func TestRedirectsThatLeak(t *testing.T) {
	t.Parallel()
	m, err := generic(heartbeat.Request{Headers: map[string]string{"X-Key": "hunter2"}}).Monitor()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		m     heartbeat.Monitor
		to    string
		wires int
	}{
		"headers to another host": {m, "https://evil.example/", 1},
		"headers to the same":     {m, "https://example.com/moved", 2},
		"out of TLS":              {monitor(t, hcURL), "http://hc-ping.com/" + token, 1},
		"to another host":         {monitor(t, hcURL), "https://hc-ping.example/" + token, 2},
	} {
		w, told := &wire{}, &results{}
		w.answer = func(n int, _ *http.Request) (reply, error) {
			if n > 1 {
				return answer(200, ""), nil
			}
			return answer(302, "", "Location", c.to), nil
		}
		client := start(t, heartbeat.Config{Transport: w, Observe: told.observe})
		client.Send(c.m, pingSuccess)
		flush(t, client)
		if got := len(w.requests()); got != c.wires {
			t.Errorf("%s: %d requests, want %d", name, got, c.wires)
		}
		if sent := told.last(t).Outcome == heartbeat.Sent; sent != (c.wires == 2) {
			t.Errorf("%s: told %+v", name, told.last(t))
		}
	}
}
