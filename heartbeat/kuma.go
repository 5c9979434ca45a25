package heartbeat

import (
	"net/url"
	"slices"
	"strconv"
	"time"
)

// kuma is a push monitor of Uptime Kuma: status is up or down, msg is shown,
// and ping, in milliseconds, is drawn. What the URL that it shows has of these
// is replaced. The route is /api/push/:token in
// https://github.com/louislam/uptime-kuma/blob/master/server/routers/api-router.js
//
// Start and log are withheld: any request that does not say down is a sign of
// life.
type kuma struct{ url *url.URL }

const (
	// kumaMessage keeps the URL below what proxies in front of it allow.
	kumaMessage = 1000
	// kumaPing is the longest duration that is not answered with 400.
	kumaPing = 24 * time.Hour
)

func isKuma(u *url.URL) bool {
	parts := segments(u)
	at := slices.Index(parts, "push")
	return at > 0 && parts[at-1] == "api" && len(parts) == at+2
}

func (k kuma) call(p Ping) (call, bool, error) {
	params := url.Values{"msg": {cut(p.Summary(), kumaMessage)}, "ping": nil}
	switch p.Event {
	case Success:
		params.Set("status", "up")
	case Fail:
		params.Set("status", "down")
	default:
		return call{}, false, nil
	}
	if p.Duration > 0 && p.Duration <= kumaPing {
		params.Set("ping", strconv.FormatInt(p.Duration.Milliseconds(), 10))
	}
	return get(with(k.url, params)), true, nil
}
