package heartbeat_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/reaperdb/reaper/heartbeat"
)

// secretTarget has a secret in everything.
func secretTarget() heartbeat.Target {
	r := func() *heartbeat.Request {
		return &heartbeat.Request{
			URL: "https://user:hunter2@example.com/" + token + "?key=" + token, Headers: map[string]string{"X-Key": token},
			Body: token + ` {{.Summary}}`,
		}
	}
	return heartbeat.Target{Kind: heartbeat.Generic, URL: "https://example.com/" + token, Start: r(), Success: r(), Fail: r(), Log: r()}
}

// However a target or a monitor is printed, it is redacted.
func TestPrinting(t *testing.T) {
	t.Parallel()
	target := secretTarget()
	m, err := target.Monitor()
	if err != nil {
		t.Fatal(err)
	}
	plain := monitor(t, hcURL)
	all := []any{
		target, &target, *target.Success, target.Success, m, &m, plain, &plain,
		[]any{target, m},
		map[string]any{"a": &target},
		struct{ A, B any }{target, m},
		heartbeat.Target{URL: "::" + token},
	}
	for _, v := range all {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
			text := fmt.Sprintf(verb, v)
			notIn(t, verb, text)
			notIn(t, verb, strings.ToLower(text))
			if strings.Contains(strings.ToLower(text), fmt.Sprintf("%x", token[:8])) {
				t.Errorf("%s leaks in hex: %s", verb, text)
			}
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Errorf("%T: %v", v, err)
		}
		notIn(t, "JSON", string(text))
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
		notIn(t, "slog", log.String())
	}
	if got := fmt.Sprint(plain); got != "https://hc-ping.com/…" {
		t.Errorf("redacted to %q", got)
	}
	if got := fmt.Sprint(m); got != "https://example.com/…" {
		t.Errorf("redacted to %q", got)
	}
	if got := target.String(); got != "https://example.com/…" {
		t.Errorf("redacted to %q", got)
	}
}

// Every way in which a ping can end: no result, no status, no line of the log
// holds a part of the URL, of a header or of the body, nor what a server said.
func TestNothingLeaks(t *testing.T) {
	t.Parallel()
	fail := func(err error) func(int, *http.Request) (reply, error) {
		return func(int, *http.Request) (reply, error) { return reply{}, err }
	}
	op := func(name string, err error) error {
		return &net.OpError{Op: name, Net: "tcp", Err: err}
	}
	for name, c := range map[string]struct {
		answer func(int, *http.Request) (reply, error)
		want   string
	}{
		"sent":               {always(200, token), ""},
		"refused":            {fail(op("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED))), "connection refused"},
		"reset":              {fail(op("read", os.NewSyscallError("read", syscall.ECONNRESET))), "connection reset"},
		"unreachable":        {fail(op("dial", os.NewSyscallError("connect", syscall.EHOSTUNREACH))), "host unreachable"},
		"proxy":              {fail(op("proxyconnect", errors.New("http://user:hunter2@proxy"))), "the proxy: the request failed (*errors.errorString)"},
		"EOF":                {fail(io.ErrUnexpectedEOF), "connection closed without an answer"},
		"hangs":              {hang, "no answer within 5s"},
		"DNS":                {fail(&net.DNSError{Err: token, Name: token, IsNotFound: true}), "no such host"},
		"DNS, for now":       {fail(&net.DNSError{Err: token, Name: token}), "the host's name could not be resolved"},
		"authority":          {fail(x509.UnknownAuthorityError{}), "the certificate is by an authority that is not known"},
		"name":               {fail(x509.HostnameError{Host: token, Certificate: &x509.Certificate{}}), "the certificate is another host's"},
		"expired":            {fail(x509.CertificateInvalidError{Reason: x509.Expired, Detail: token}), "the certificate is not valid, or no more"},
		"plain text":         {fail(tls.RecordHeaderError{Msg: token}), "the server does not speak TLS there"},
		"url.Error":          {fail(&url.Error{Op: "Get", URL: hcURL, Err: errors.New(token)}), "the request failed (*errors.errorString)"},
		"anything":           {fail(fmt.Errorf("%s: %w", token, errors.New(token))), "the request failed (*errors.errorString)"},
		"400":                {always(400, token), "answered 400 Bad Request"},
		"500":                {always(500, token), "answered 500 Internal Server Error"},
		"429":                {always(429, token, "Retry-After", token), "answered 429 Too Many Requests"},
		"a redirect":         {always(302, token, "Location", "http://"+token+"/"), "answered 302 Found, a redirect that is not followed"},
		"a bad redirect":     {always(302, token, "Location", "https://%zz"+token), "the request failed (*errors.errorString)"},
		"redirect, no place": {always(302, token), "answered 302 Found, a redirect that is not followed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				told := &results{}
				m, err := secretTarget().Monitor()
				if err != nil {
					t.Fatal(err)
				}
				client := start(t, heartbeat.Config{
					Transport: &wire{answer: c.answer}, Observe: told.observe,
					Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
				})
				client.Send(m, pingSuccess)
				flush(t, client)
				if got := told.last(t).Error; got != c.want {
					t.Errorf("error %q, want %q", got, c.want)
				}
				client.Send(m, heartbeat.Ping{Event: "surprise"})
				if err := client.Close(t.Context()); err != nil {
					t.Error(err)
				}
				client.Send(m, pingSuccess)
				notIn(t, "the results", fmt.Sprintf("%+v", told.all))
				notIn(t, "the status", fmt.Sprintf("%+v", client.Status(m)))
				notIn(t, "the log", log.String())
				for _, word := range []string{`level=DEBUG msg="heartbeat withheld" event=surprise`, `level=WARN msg="heartbeat dropped" event=success`, "monitor=https://example.com/…"} {
					if !strings.Contains(log.String(), word) {
						t.Errorf("no %s in the log:\n%s", word, log.String())
					}
				}
			})
		})
	}
}
