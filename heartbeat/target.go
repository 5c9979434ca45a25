package heartbeat

import (
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// Target is a monitor as somebody wrote it down. It is all secret: it prints,
// logs and marshals as its redacted form.
type Target struct {
	// Kind names the service. Empty: the URL tells; one that is like no known
	// service's is generic.
	Kind Kind
	// URL is the one that the service shows. Of a generic monitor it is what its
	// requests have in place of their own; empty: they all have their own.
	URL string
	// Start, Success, Fail and Log are the requests of a generic monitor, and
	// nil for all others. Nil: that event is withheld. All nil: Success is a GET
	// of URL, and nothing else is sent.
	Start, Success, Fail, Log *Request
}

// Request is what a generic monitor is sent for one event.
type Request struct {
	// URL; empty: the target's.
	URL string
	// Method is GET, HEAD, POST, PUT or PATCH. Empty: POST if there is a body,
	// else GET.
	Method string
	// Headers go with the request. Nil: only User-Agent.
	Headers map[string]string
	// Body is a text/template over the Ping; `json` writes a value as JSON:
	// {"run": {{json .RunID}}}. Empty: no body.
	Body string
}

// Monitor is a checked Target: where pings go, and how.
type Monitor struct {
	kind    Kind
	service service
	url     *url.URL
	key     string // equal for monitors that are the same
}

// Parse makes a monitor of its URL and the name of its kind. An empty kind is
// told by the URL. Errors do not repeat the URL.
func Parse(rawURL, kind string) (Monitor, error) {
	return Target{Kind: Kind(kind), URL: rawURL}.Monitor()
}

// Monitor checks the target. Errors repeat no part of it but the names of
// headers.
func (t Target) Monitor() (Monitor, error) {
	m := Monitor{kind: t.Kind}
	if t.URL != "" || t.Kind != Generic {
		u, err := parseURL(t.URL)
		if err != nil {
			return Monitor{}, fmt.Errorf("the heartbeat's URL %w", err)
		}
		m.url = u
	}
	if m.kind == "" {
		m.kind = kindOf(m.url)
	}
	s, err := newService(m.kind, t, m.url)
	if err != nil {
		return Monitor{}, err
	}
	t.Kind = m.kind
	m.service, m.key = s, t.key()
	if m.url == nil {
		// Only to have a host to print: the requests have their own URLs.
		m.url, _ = parseURL(t.Success.URL)
	}
	return m, nil
}

// IsZero tells a Monitor that nobody has made; a ping to it is dropped in silence.
func (m Monitor) IsZero() bool { return m.service == nil }

// Same reports whether two monitors are written alike, and so share one line.
func (m Monitor) Same(o Monitor) bool { return m.key == o.key }

// Kind is the service's.
func (m Monitor) Kind() Kind { return m.kind }

// String is the monitor without its secrets: scheme, host, and nothing else.
func (m Monitor) String() string {
	if m.IsZero() {
		return ""
	}
	return redact(m.url)
}

// Format keeps the secrets out of %#v and the like too.
func (m Monitor) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(m.String())) }

// LogValue is the redacted form.
func (m Monitor) LogValue() slog.Value { return slog.StringValue(m.String()) }

// String is the target without its secrets.
func (t Target) String() string {
	if u, err := parseURL(t.URL); err == nil {
		return redact(u)
	}
	return "…"
}

// Format keeps the secrets out of %#v and the like too.
func (t Target) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue is the redacted form.
func (t Target) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalText is the redacted form; it stands for JSON too.
func (t Target) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// String tells nothing: URL, headers and body may all be secret.
func (r Request) String() string { return "…" }

// Format keeps the secrets out of %#v and the like too.
func (r Request) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(r.String())) }

// LogValue is the redacted form.
func (r Request) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText is the redacted form; it stands for JSON too.
func (r Request) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// requests are those of the target by event; absent ones are nil.
func (t Target) requests() map[Event]*Request {
	return map[Event]*Request{Start: t.Start, Success: t.Success, Fail: t.Fail, Log: t.Log}
}

// key is the whole target in one string: two that are written alike are one
// monitor, and share the order of their pings.
func (t Target) key() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%q %q", string(t.Kind), t.URL)
	for event, r := range sorted(t.requests()) {
		if r == nil {
			continue
		}
		fmt.Fprintf(&b, " %s %q %q %q", event, r.URL, r.Method, r.Body)
		for name, value := range sorted(r.Headers) {
			fmt.Fprintf(&b, " %q %q", name, value)
		}
	}
	return b.String()
}

// sorted walks a map in the order of its keys.
func sorted[K ~string, V any](m map[K]V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for _, k := range slices.Sorted(maps.Keys(m)) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}
