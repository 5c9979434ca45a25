package main

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/web"
)

func TestOwnAddress(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]string{
		":8080": "127.0.0.1:8080", "0.0.0.0:80": "127.0.0.1:80", "[::]:80": "[::1]:80", "127.0.0.1:8080": "127.0.0.1:8080", "[fd00::7]:80": "[fd00::7]:80",
		"reaper.internal:8080": "reaper.internal:8080", ":http": "127.0.0.1:http",
		":0": "", ":": "", "8080": "", "": "",
	} {
		if got, err := ownAddress(listen); got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v, want %q", listen, got, err, want)
		}
	}
}

// The health check of a container says what the daemon's own endpoints say: it is well while the
// process works, and a failing policy is a matter of /health alone.
func TestHealthcheck(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	s := serve(t, db.DSN(), lettersPolicy("@every 1s", ", where: no_such_column > 1"))
	s.await("a run has failed", 20*time.Second, func() bool { _, body := s.get("/health"); return strings.Contains(body, "policy letters is failing") })
	address := strings.TrimPrefix(s.url, "http://")
	check := func(address, path string) (code int, out string) {
		t.Helper()
		cmd := program(t, "", "healthcheck", "--listen-addr", address, "--path", path)
		text, err := cmd.CombinedOutput()
		return exitCode(t, err), string(text)
	}
	for path, want := range map[string]struct {
		code int
		says string
	}{
		"/healthz": {0, "/healthz: ok\n"}, "/readyz/process": {0, "/readyz/process: ok\n"}, "/readyz": {0, "/readyz: ok\n"},
		"/health": {1, "/health: 503 Service Unavailable: policy letters is failing"},
		"/":       {2, "--path"},
	} {
		if code, out := check(address, path); code != want.code || !strings.Contains(out, want.says) {
			t.Errorf("%s: exit code %d, want %d and %q:\n%s", path, code, want.code, want.says, out)
		}
	}
	if text, err := program(t, "", "healthcheck", "--listen-addr", address, "-o", "json").Output(); err != nil || string(text) != "{\n  \"ok\": true\n}\n" {
		t.Errorf("in JSON: %v, %s", err, text)
	}
	if code, out := check(":0", web.PathProcess); code != exitUsage || !strings.Contains(out, "names no port") {
		t.Errorf("without a port: %d\n%s", code, out)
	}
	if code, out := check(closed(t), web.PathProcess); code != exitFailed || !strings.Contains(out, "nothing listens on") {
		t.Errorf("where nobody listens: %d\n%s", code, out)
	}
}

// closed is an address at which nobody listens.
func closed(t *testing.T) string {
	t.Helper()
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return l.Addr().String()
}
