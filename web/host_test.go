package web_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/web"
)

// A page that makes its own name resolve to a loopback address (DNS rebinding) reads
// nothing. On other addresses any name may lead to reaper.
func TestForeignHost(t *testing.T) {
	t.Parallel()
	loopback, mapped, six := net.IPv4(127, 0, 0, 1), net.ParseIP("::ffff:127.0.0.2"), net.IPv6loopback
	for _, c := range []struct {
		ip    net.IP
		name  string
		hosts string
		want  int
	}{
		{loopback, "127.0.0.1:8080", "localhost localhost:8080 LOCALHOST:1 localhost. 127.0.0.1 127.0.0.1:80 127.9.9.9 [::1]:8080 [::1]", http.StatusOK},
		{loopback, "reaper.internal:8080", "reaper.internal reaper.internal:9090 Reaper.Internal.:80", http.StatusOK},
		{loopback, "127.0.0.1:8080", "evil.example evil.example:8080 localhost.evil.example 10.0.0.1 10.0.0.1:8080 [fe80::1]:8080 0.0.0.0 reaper.internal 127.0.0.1.evil.example", http.StatusForbidden},
		{mapped, "[::ffff:127.0.0.2]:8080", "evil.example", http.StatusForbidden},
		{six, "localhost:8080", "evil.example:8080", http.StatusForbidden},
		{six, "localhost:8080", "localhost:8080", http.StatusOK},
		{net.IPv4zero, ":8080", "evil.example 10.0.0.1:8080", http.StatusOK},
		{net.IPv6unspecified, ":8080", "reaper.example", http.StatusOK},
		{net.IPv4(10, 0, 0, 1), "10.0.0.1:8080", "reaper.example", http.StatusOK},
	} {
		h := web.New(web.Options{
			Status: still(fine()), Addr: &net.TCPAddr{IP: c.ip, Port: 8080}, Name: c.name, Now: func() time.Time { return now },
			Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
		})
		for host := range strings.FieldsSeq(c.hosts) {
			for _, path := range paths {
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, http.NoBody)
				r.Host = host
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				if w.Code != c.want || w.Header().Get("Content-Security-Policy") == "" {
					t.Errorf("listening on %s (%s), %s for %s: %d, want %d", c.ip, c.name, path, host, w.Code, c.want)
				}
				if body := w.Body.String(); c.want == http.StatusForbidden && !strings.Contains(body, "loopback") {
					t.Errorf("%s for %s: %q", path, host, body)
				}
			}
		}
	}
}

// HTTP/1.0 may omit the host, as simple health checks do.
func TestNoHost(t *testing.T) {
	t.Parallel()
	h := web.New(web.Options{Status: still(fine()), Addr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/healthz", http.NoBody)
	r.Host = ""
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("%d, want 200", w.Code)
	}
}
