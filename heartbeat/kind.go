package heartbeat

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// Kind names a service.
type Kind string

// The kinds, as a policy file names them.
const (
	Healthchecks   Kind = "healthchecks"
	Cronitor       Kind = "cronitor"
	Sentry         Kind = "sentry"
	BetterStack    Kind = "better_stack"
	DeadMansSnitch Kind = "dead_mans_snitch"
	UptimeKuma     Kind = "uptime_kuma"
	Generic        Kind = "generic"
)

const kindsNamed = "healthchecks, cronitor, sentry, better_stack, dead_mans_snitch, uptime_kuma, generic"

// A service knows how a ping is put to it.
type service interface {
	// call is the request for a ping; false: the service has no such thing, and
	// anything sent in its place would count as a sign of life.
	call(p Ping) (call, bool, error)
}

// call is one HTTP request.
type call struct {
	method  string
	url     string
	headers map[string]string
	body    string
	// refusal finds in the body of a 2xx answer that the ping was not taken, in
	// words; nil: 2xx is enough.
	refusal func(body string) string
}

// kindOf tells the service by the form of its URLs; one that is like none of them
// is generic.
func kindOf(u *url.URL) Kind {
	switch {
	case isHealthchecks(u):
		return Healthchecks
	case isCronitor(u):
		return Cronitor
	case isSentry(u):
		return Sentry
	case isBetterStack(u):
		return BetterStack
	case isSnitch(u):
		return DeadMansSnitch
	case isKuma(u):
		return UptimeKuma
	}
	return Generic
}

func newService(kind Kind, t Target, u *url.URL) (service, error) {
	if kind != Generic {
		for event, r := range sorted(t.requests()) {
			if r != nil {
				return nil, fmt.Errorf("the heartbeat has a request of its own for %s, which only kind: generic has", event)
			}
		}
	}
	switch kind {
	case Healthchecks:
		return newHealthchecks(u)
	case Cronitor:
		return cronitor{u}, nil
	case Sentry:
		return sentry{u}, nil
	case BetterStack:
		return newBetterStack(u)
	case DeadMansSnitch:
		return snitch{u}, nil
	case UptimeKuma:
		return kuma{u}, nil
	case Generic:
		return newGeneric(t, u)
	}
	// The kind is not repeated: it may be the URL, written in the wrong place.
	return nil, fmt.Errorf("the heartbeat's kind is not known: write one of %s", kindsNamed)
}

// get is a call whose parameters say all.
func get(to string) call { return call{method: "GET", url: to} }

// post is a call with a text for the people who read the service's page.
func post(to, body string) call {
	return call{method: "POST", url: to, body: body, headers: map[string]string{"Content-Type": "text/plain; charset=utf-8"}}
}

// failPart is the exit status, or fail if that is not known. Never 0: that is a
// success.
func failPart(p Ping) string {
	if p.ExitStatus >= 1 && p.ExitStatus <= 255 {
		return strconv.Itoa(p.ExitStatus)
	}
	return "fail"
}

// runUUID is the run's id where the service demands a UUID, and answers 400 to
// anything else; empty: it has none.
func (p Ping) runUUID() string {
	id, err := uuid.Parse(p.RunID)
	if err != nil {
		return ""
	}
	return id.String()
}

// onHost reports whether the URL is on a host, or below it.
func onHost(u *url.URL, host string) bool {
	name := strings.ToLower(u.Hostname())
	return name == host || strings.HasSuffix(name, "."+host)
}
