package heartbeat

import (
	"errors"
	"net/url"
	"strings"
)

// betterStack is a heartbeat of Better Stack Uptime: the URL itself is a sign
// of life, /fail or /<exit status> below it an incident, with the body as its
// explanation. https://betterstack.com/docs/uptime/cron-and-heartbeat-monitor/
//
// Start and log are withheld: any request to the URL itself is a sign of life.
type betterStack struct{ url *url.URL }

func isBetterStack(u *url.URL) bool {
	return (onHost(u, "betterstack.com") || onHost(u, "betteruptime.com")) &&
		strings.Contains(u.Path, "/heartbeat/")
}

func newBetterStack(u *url.URL) (service, error) {
	parts := segments(u)
	if len(parts) == 0 {
		return nil, errors.New("the heartbeat's URL is no heartbeat of Better Stack: copy the one of its page, which ends in a long code")
	}
	if err := bare(parts); err != nil {
		return nil, err
	}
	return betterStack{u}, nil
}

func (b betterStack) call(p Ping) (call, bool, error) {
	switch p.Event {
	case Success:
		return get(below(b.url, "").String()), true, nil
	case Fail:
		return post(below(b.url, failPart(p)).String(), p.report()), true, nil
	}
	return call{}, false, nil
}
