package heartbeat

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"time"
)

// generic is any service that takes an HTTP request for an event.
type generic struct{ requests map[Event]prepared }

// prepared is a checked Request.
type prepared struct {
	method  string
	url     string
	headers map[string]string
	body    *template.Template // nil: no body
}

// genericBody is the longest body that a template may write, in bytes.
const genericBody = 64_000

func newGeneric(t Target, u *url.URL) (service, error) {
	g := generic{map[Event]prepared{}}
	for event, r := range sorted(t.requests()) {
		if r == nil {
			continue
		}
		p, err := prepare(*r, u)
		if err != nil {
			return nil, fmt.Errorf("the heartbeat's request for %s: %w", event, err)
		}
		g.requests[event] = p
	}
	if len(g.requests) > 0 {
		if _, ok := g.requests[Success]; !ok {
			return nil, errors.New("the heartbeat has no request for success: without it no run is ever a success there")
		}
		return g, nil
	}
	if u == nil {
		return nil, errors.New("the heartbeat has neither a URL nor requests of its own: add url, or success")
	}
	g.requests[Success] = prepared{method: "GET", url: u.String()}
	return g, nil
}

func prepare(r Request, u *url.URL) (prepared, error) {
	p := prepared{method: r.Method, headers: r.Headers}
	if r.URL != "" || u == nil {
		own, err := parseURL(r.URL)
		if err != nil {
			return prepared{}, fmt.Errorf("the URL %w", err)
		}
		u = own
	}
	p.url = u.String()
	if p.method == "" {
		p.method = "GET"
		if r.Body != "" {
			p.method = "POST"
		}
	}
	if !slices.Contains([]string{"GET", "HEAD", "POST", "PUT", "PATCH"}, p.method) {
		return prepared{}, errors.New("the method is not known: write GET, HEAD, POST, PUT or PATCH")
	}
	if err := checkHeaders(r.Headers); err != nil {
		return prepared{}, err
	}
	if r.Body == "" {
		return p, nil
	}
	body, err := parseBody(r.Body)
	p.body = body
	return p, err
}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// checkHeaders refuses what net/http would refuse at every ping, and what it
// writes itself.
func checkHeaders(headers map[string]string) error {
	for name, value := range sorted(headers) {
		switch textproto.CanonicalMIMEHeaderKey(name) {
		case "Host", "Content-Length", "Transfer-Encoding", "Connection":
			return fmt.Errorf("the header %s is written by reaper itself: leave it out", name)
		}
		if !headerName.MatchString(name) {
			return errors.New("a header's name is not valid: write the name alone, and its value after the colon")
		}
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return fmt.Errorf("the value of the header %s holds a control character", name)
		}
	}
	return nil
}

// parseBody reads a template, and tries it: what fails should fail now. The
// errors of text/template quote the template, which may hold a secret, so only
// the line is taken from them.
func parseBody(text string) (*template.Template, error) {
	t, err := template.New("body").Funcs(template.FuncMap{"json": inJSON}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the body is not a valid template%s; see https://pkg.go.dev/text/template", lineOf(err))
	}
	sample := Ping{
		Event: Fail, RunID: "0199a0c8-0000-7000-8000-000000000000", Policy: "emails", Status: "incomplete", Reason: "paused",
		ExitStatus: 3, Rows: 1, Tables: map[string]int64{"public.emails": 1}, Batches: 1, Duration: time.Second,
	}
	if err := t.Execute(&bounded{}, sample); err != nil {
		return nil, fmt.Errorf("the body cannot be written%s: it may use Event, RunID, Policy, Status, Reason, ExitStatus, Rows, "+
			"Tables, Batches, Duration, Seconds and Summary, and be %d bytes long", lineOf(err), genericBody)
	}
	return t, nil
}

var templateLine = regexp.MustCompile(`^template: body:(\d+)`)

func lineOf(err error) string {
	if found := templateLine.FindStringSubmatch(err.Error()); found != nil {
		return " in line " + found[1]
	}
	return ""
}

func inJSON(v any) (string, error) {
	text, err := json.Marshal(v)
	return string(text), err
}

func (g generic) call(p Ping) (call, bool, error) {
	r, ok := g.requests[p.Event]
	if !ok {
		return call{}, false, nil
	}
	c := call{method: r.method, url: r.url, headers: r.headers}
	if r.body == nil {
		return c, true, nil
	}
	var b bounded
	if err := r.body.Execute(&b, p); err != nil {
		return call{}, true, fmt.Errorf("the body could not be written%s", lineOf(err))
	}
	c.body = b.text.String()
	return c, true, nil
}

// bounded is a text that may not grow over genericBody.
type bounded struct{ text strings.Builder }

func (b *bounded) Write(p []byte) (int, error) {
	if b.text.Len()+len(p) > genericBody {
		return 0, errors.New("too long")
	}
	return b.text.Write(p)
}
