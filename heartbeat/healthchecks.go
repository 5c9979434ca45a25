package heartbeat

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// healthchecks is https://healthchecks.io, or one's own: success is the URL
// itself, and /start, /fail, /log and /<exit status> go below it, for the uuid
// and the slug form alike. rid joins start and end of a run, and must be a
// UUID. https://healthchecks.io/docs/http_api/
type healthchecks struct{ url *url.URL }

// pingKey is the first part of a slug URL. The form is that of the examples on
// https://healthchecks.io/docs/http_api/.
var pingKey = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

func isHealthchecks(u *url.URL) bool {
	parts := segments(u)
	if onHost(u, "hc-ping.com") {
		return true
	}
	// One's own server has them below /ping/:
	// https://healthchecks.io/docs/self_hosted_configuration/ (PING_ENDPOINT)
	at := slices.Index(parts, "ping")
	if at < 0 {
		return false
	}
	parts = parts[at+1:]
	return len(parts) == 1 && isUUID(parts[0]) || len(parts) == 2 && pingKey.MatchString(parts[0])
}

func isUUID(s string) bool { return len(s) == 36 && uuid.Validate(s) == nil }

func newHealthchecks(u *url.URL) (service, error) {
	parts := segments(u)
	if len(parts) == 0 {
		return nil, errors.New("the heartbeat's URL is no ping URL of Healthchecks: copy the one of the check, which ends in its UUID or slug")
	}
	if err := bare(parts); err != nil {
		return nil, err
	}
	return healthchecks{u}, nil
}

func (h healthchecks) call(p Ping) (call, bool, error) {
	part := ""
	switch p.Event {
	case Success:
	case Start, Log:
		part = string(p.Event)
	case Fail:
		part = failPart(p)
	default:
		return call{}, false, nil
	}
	to := with(below(h.url, part), url.Values{"rid": {p.runUUID()}})
	c := post(to, p.report())
	c.refusal = healthchecksRefusal
	return c, true, nil
}

// healthchecksRefusal: https://healthchecks.io/docs/http_api/ promises 404 for a
// check that is not there, but the hosted service has been seen to answer 200
// for that, and for a ping too many, and to tell by the text alone.
func healthchecksRefusal(body string) string {
	switch {
	case strings.Contains(body, "not found"):
		return "answered that there is no such check"
	case strings.Contains(body, "rate limited"):
		return "answered that it was pinged too often"
	}
	return ""
}
