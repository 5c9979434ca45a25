package heartbeat

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxRetryAfter bounds what a server may ask for.
const maxRetryAfter = time.Minute

// failure is why a try did not succeed. It wraps nothing: the errors of net/http
// have the URL in them, and its answers may have it too, so every text here is
// our own.
type failure struct {
	text string
	// passing: another try may help.
	passing bool
	// after is how long the server asks to be left alone. Zero: it did not ask.
	after time.Duration
}

func (f *failure) Error() string { return f.text }

// judge reads an answer; nil: the ping was taken.
func judge(resp *http.Response, r call, body string) *failure {
	code := resp.StatusCode
	if code >= 200 && code < 300 {
		if r.refusal == nil || r.refusal(body) == "" {
			return nil
		}
		return &failure{text: r.refusal(body)}
	}
	// Not resp.Status: that text is the server's.
	f := &failure{text: strings.TrimSpace(fmt.Sprintf("answered %d %s", code, http.StatusText(code)))}
	switch {
	case code == http.StatusRequestTimeout, code == http.StatusTooManyRequests, code >= 500:
		f.passing = true
		f.after = retryAfter(resp.Header, time.Now())
	case code >= 300 && code < 400:
		f.text += ", a redirect that is not followed"
	}
	return f
}

// retryAfter reads Retry-After, seconds or a date, up to a minute. A date is
// taken against the server's own clock, where the answer has it.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := strings.TrimSpace(h.Get("Retry-After"))
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(max(0, min(seconds, int64(maxRetryAfter/time.Second)))) * time.Second
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0
	}
	if date, err := http.ParseTime(h.Get("Date")); err == nil {
		now = date
	}
	return max(0, min(at.Sub(now), maxRetryAfter))
}

// describe puts an error of the transport in words of our own.
func describe(err error) string {
	var text string
	var timeout net.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		text = fmt.Sprintf("no answer within %s", tryTimeout)
	case errors.Is(err, syscall.ECONNREFUSED):
		text = "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		text = "connection reset"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		text = "host unreachable"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		text = "connection closed without an answer"
	default:
		text = describeType(err)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "proxyconnect" {
		return "the proxy: " + text
	}
	return text
}

func describeType(err error) string {
	if dns, ok := errors.AsType[*net.DNSError](err); ok && dns.IsNotFound {
		return "no such host"
	} else if ok {
		return "the host's name could not be resolved"
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "the certificate is by an authority that is not known"
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "the certificate is another host's"
	}
	if _, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		return "the certificate is not valid, or no more"
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return "the server does not speak TLS there"
	}
	if strings.Contains(err.Error(), "malformed HTTP") {
		return "the server does not speak HTTP there"
	}
	// What kind of error it is can be told; what it says may hold a secret.
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return fmt.Sprintf("the request failed (%T)", err)
		}
		err = inner
	}
}
