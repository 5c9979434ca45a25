package heartbeat

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
)

const (
	maxTries   = 4
	tryTimeout = 5 * time.Second
	// hurry is the pause between tries once the Client closes: the last word
	// matters more than good manners.
	hurry = 200 * time.Millisecond
	// maxRedirects are followed, from a service that has moved.
	maxRedirects = 3
	// answerLimit is how much of an answer is read, in bytes.
	answerLimit = 4096
)

var errShutdown = errors.New("interrupted by the shutdown")

// newHTTP keeps no connection open: pings are minutes to hours apart.
func newHTTP(transport http.RoundTripper) http.Client {
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true,
			MaxResponseHeaderBytes: 64 << 10,
		}
	}
	return http.Client{Transport: transport, CheckRedirect: checkRedirect}
}

// checkRedirect follows only where no secret can get lost: never out of TLS,
// and with headers of the user's own to no other host. What is not followed is
// an answer like any other, and no success.
func checkRedirect(req *http.Request, via []*http.Request) error {
	// net/http names the page one comes from; here that is the secret.
	req.Header.Del("Referer")
	first := via[0]
	switch {
	case len(via) > maxRedirects,
		first.URL.Scheme == "https" && req.URL.Scheme != "https",
		first.URL.Host != req.URL.Host && ownHeaders(first):
		return http.ErrUseLastResponse
	}
	return nil
}

// ownHeaders reports whether a request has headers that reaper does not write itself.
func ownHeaders(req *http.Request) bool {
	for name := range req.Header {
		if name != "User-Agent" && name != "Content-Type" {
			return true
		}
	}
	return false
}

// deliver tries a request until it is taken, refused for good, or the tries are
// used up.
func (c *Client) deliver(r call) delivery {
	begin := time.Now()
	pauses := backoff.ExponentialBackOff{InitialInterval: 2 * time.Second, Multiplier: 3, RandomizationFactor: 0.5, MaxInterval: time.Minute}
	for tries := 1; ; tries++ {
		f := c.try(r)
		if f == nil {
			return delivery{tries: tries, took: time.Since(begin)}
		}
		if f.passing && tries < maxTries && c.pause(max(pauses.NextBackOff(), f.after)) {
			continue
		}
		if c.ctx.Err() != nil {
			return delivery{tries: tries, took: time.Since(begin), err: errShutdown}
		}
		return delivery{tries: tries, took: time.Since(begin), err: f}
	}
}

// pause waits between two tries; false: the Client's time is up.
func (c *Client) pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	case <-c.closing:
	}
	timer.Reset(min(d, hurry))
	select {
	case <-timer.C:
		return true
	case <-c.ctx.Done():
		return false
	}
}

// try makes one request; nil: it was taken.
func (c *Client) try(r call) *failure {
	ctx, cancel := context.WithTimeout(c.ctx, tryTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, strings.NewReader(r.body))
	if err != nil {
		// Its text has the URL.
		return &failure{text: "the request could not be made"}
	}
	req.Header.Set("User-Agent", c.agent)
	for name, value := range r.headers {
		req.Header.Set(name, value)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return &failure{text: describe(err), passing: true}
	}
	defer func() { _ = resp.Body.Close() }()
	// What follows the status may be cut off: it changes nothing about it.
	body, _ := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	return judge(resp, r, string(body))
}
