package heartbeat

import (
	"net/url"
	"strconv"
)

// sentry is a cron monitor of Sentry, by its check-in URL: status says what
// happened, and check_in_id, a UUID, joins start and end of a run. An
// environment in the URL stays.
// https://docs.sentry.io/product/crons/getting-started/http/
//
// A check-in has no place for a reason. Log is withheld: there is no status for
// it. Sentry answers 202 also to check-ins above its limit of six a minute.
type sentry struct{ url *url.URL }

// isSentry: …/api/<project>/cron/<monitor>/<key>/, on Sentry's hosts or one's own.
func isSentry(u *url.URL) bool {
	parts := segments(u)
	if len(parts) < 5 {
		return false
	}
	parts = parts[len(parts)-5:]
	return parts[0] == "api" && parts[2] == "cron"
}

func (s sentry) call(p Ping) (call, bool, error) {
	params := url.Values{"check_in_id": {p.runUUID()}}
	switch p.Event {
	case Start:
		params.Set("status", "in_progress")
	case Success:
		params.Set("status", "ok")
	case Fail:
		params.Set("status", "error")
	default:
		return call{}, false, nil
	}
	// The duration is in seconds, and counts only with an end:
	// https://develop.sentry.dev/sdk/telemetry/check-ins/
	if p.Event.final() && p.Duration > 0 {
		params.Set("duration", strconv.FormatFloat(p.Seconds(), 'f', 3, 64))
	}
	return get(with(s.url, params)), true, nil
}
