package heartbeat

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// parseURL reads the address of a monitor. Its errors go on from "the URL …",
// and never repeat it: net/url's own do. User and password are allowed, for
// services behind basic authentication.
func parseURL(s string) (*url.URL, error) {
	if s == "" {
		return nil, errors.New("is missing")
	}
	u, err := url.Parse(s)
	if err != nil || strings.ContainsFunc(s, blank) {
		return nil, errors.New("is not a URL: copy it whole from the service's page")
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, errors.New("must begin with https:// or http://")
	case u.Hostname() == "":
		return nil, errors.New("names no host")
	case u.Fragment != "":
		return nil, errors.New("holds a # and what follows it, which is never sent: leave it out")
	}
	return u, nil
}

func blank(r rune) bool { return r <= ' ' || r == 0x7f }

// redact leaves of a URL what is no secret.
func redact(u *url.URL) string { return u.Scheme + "://" + u.Host + "/…" }

// segments are the parts of the path.
func segments(u *url.URL) []string {
	path := strings.Trim(u.Path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}

// with is the URL with parameters set, in place of those of the same name; an
// empty value takes the parameter away. Others stay.
func with(u *url.URL, params url.Values) string {
	to := *u
	query := to.Query()
	for name, values := range params {
		query[name] = values
		if len(values) == 0 || values[0] == "" {
			delete(query, name)
		}
	}
	to.RawQuery = query.Encode()
	return to.String()
}

// below is the URL with one more part of its path; empty: the URL itself.
func below(u *url.URL, part string) *url.URL {
	to := *u
	to.Path = strings.TrimRight(to.Path, "/")
	to.RawPath = strings.TrimRight(to.RawPath, "/")
	if part != "" {
		return to.JoinPath(part)
	}
	return &to
}

// bare refuses a URL that says an event already: another one goes below it.
func bare(parts []string) error {
	last := parts[len(parts)-1]
	_, err := strconv.ParseUint(last, 10, 8)
	if err == nil || slices.Contains([]string{"start", "fail", "log"}, last) {
		return errors.New("the heartbeat's URL ends in an event or an exit status: leave that part out, it is added as a run goes")
	}
	return nil
}
